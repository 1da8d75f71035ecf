//! One call of an exported function: core values in, the function, core values out.
//!
//! The attribute sees the tokens of a signature, not their meaning: how many core values a
//! parameter is passed as follows from its type, which may be an alias. So every export has the
//! maximum number of parameters, and the type of each is computed. Those left over are `()`, which
//! is not passed at all.

use crate::encode::Function;
use crate::lift::{Lift, Slots};
use crate::lower::{Kept, Lower};
use crate::ty::{MAX_FLAT, POINTER, Ty, kind};
use std::alloc::{Layout, dealloc};
use std::ptr;

/// A type that may follow `&` as the type of a parameter.
#[diagnostic::on_unimplemented(
    message = "`&{Self}` cannot be a parameter of a task's function",
    label = "cannot be a parameter",
    note = "`&str` and `&[T]` can, and `&T` if `T` can be an argument"
)]
pub trait Parameter {
    /// The value that is lifted, and borrowed for the duration of the call.
    type Owned: Lift;

    /// Borrows it.
    fn lend(owned: &Self::Owned) -> &Self;
}

impl Parameter for str {
    type Owned = String;

    #[inline(always)]
    fn lend(owned: &String) -> &Self {
        owned
    }
}

impl<T: Lift> Parameter for [T] {
    type Owned = Vec<T>;

    #[inline(always)]
    fn lend(owned: &Vec<T>) -> &Self {
        owned
    }
}

impl<T: Lift> Parameter for T {
    type Owned = T;

    #[inline(always)]
    fn lend(owned: &T) -> &Self {
        owned
    }
}

/// The kinds of core values as types.
pub struct Slot<const KIND: u8>;

/// The core type of a [`Slot`].
pub trait CoreType {
    /// The type that it is passed as.
    type Value;
    /// Its bits.
    fn bits(value: Self::Value) -> u64;
    /// The value of these bits.
    fn of_bits(bits: u64) -> Self::Value;
}

macro_rules! core_types {
    ($($kind:ident: $rust:ty, $value:ident => $bits:expr, $of:ident => $made:expr;)*) => {$(
        impl CoreType for Slot<{ kind::$kind }> {
            type Value = $rust;

            #[inline(always)]
            fn bits($value: $rust) -> u64 {
                $bits
            }

            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "the rest are not its bits")]
            fn of_bits($of: u64) -> $rust {
                $made
            }
        }
    )*};
}

core_types! {
    NONE: (), _value => 0, _bits => ();
    I32: u32, value => value.into(), bits => bits as u32;
    I64: u64, value => value, bits => bits;
    F32: f32, value => value.to_bits().into(), bits => f32::from_bits(bits as u32);
    F64: f64, value => value.to_bits(), bits => f64::from_bits(bits);
}

/// The source of arguments.
pub trait Arguments {
    /// The next one.
    ///
    /// # Safety
    /// As of [`Lift::lift`].
    unsafe fn take<T: Lift>(&mut self) -> T;
}

impl Arguments for Slots {
    #[inline(always)]
    unsafe fn take<T: Lift>(&mut self) -> T {
        // SAFETY: the caller guarantees it.
        unsafe { T::lift(self) }
    }
}

/// Arguments that are too many to be passed as core values, and are in memory instead.
struct Spilled {
    start: *mut u8,
    at: usize,
    layout: Layout,
}

impl Arguments for Spilled {
    unsafe fn take<T: Lift>(&mut self) -> T {
        let (size, align) = const { (T::TY.size(POINTER), T::TY.align(POINTER)) };
        let at = self.at.next_multiple_of(align);
        self.at = at + size;
        // SAFETY: the caller guarantees it; they lie as the fields of a tuple do.
        unsafe { T::load(self.start.add(at)) }
    }
}

impl Drop for Spilled {
    fn drop(&mut self) {
        // SAFETY: it is the memory that the host was given, and its content has been taken.
        unsafe { dealloc(self.start, self.layout) };
    }
}

/// An exported function.
pub trait Export {
    /// Its description in the module.
    const FUNCTION: Function;
    /// What it returns.
    type Result: Lower;

    /// Takes the arguments, in order, and calls the function.
    ///
    /// # Safety
    /// As of [`Lift::lift`].
    unsafe fn call(arguments: &mut impl Arguments) -> Self::Result;
}

const fn arguments(function: &Function) -> Ty {
    Ty::Tuple(function.types)
}

const fn is_spilled(function: &Function) -> bool {
    arguments(function).flat().len > MAX_FLAT
}

const fn is_kept<E: Export>() -> bool {
    E::FUNCTION.result.flat().len > 1
}

const ADDRESS: u8 = if POINTER == 8 { kind::I64 } else { kind::I32 };

/// The kind of the core parameter with this number.
#[must_use]
pub const fn parameter<E: Export>(number: usize) -> u8 {
    let flat = arguments(&E::FUNCTION).flat();
    match (flat.len > MAX_FLAT, number) {
        (false, _) => flat.kinds[number],
        (true, 0) => ADDRESS,
        (true, _) => kind::NONE,
    }
}

/// The kind of the core result.
#[must_use]
pub const fn result<E: Export>() -> u8 {
    if is_kept::<E>() {
        ADDRESS
    } else {
        E::FUNCTION.result.flat().kinds[0]
    }
}

/// Calls the function: bits of core values in, the bits of one out.
///
/// # Safety
/// The host made the core values, by the canonical ABI, of arguments of this function.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an address is as large as a pointer"
)]
pub unsafe fn run<E: Export>(values: [u64; MAX_FLAT]) -> u64 {
    crate::panics::watch();
    let result = if const { is_spilled(&E::FUNCTION) } {
        let tuple = const { arguments(&E::FUNCTION) };
        let mut spilled = Spilled {
            start: ptr::with_exposed_provenance_mut(values[0] as usize),
            at: 0,
            // SAFETY: types have sizes and alignments that are valid.
            layout: unsafe {
                Layout::from_size_align_unchecked(tuple.size(POINTER), tuple.align(POINTER))
            },
        };
        // SAFETY: the caller guarantees it.
        unsafe { E::call(&mut spilled) }
    } else {
        // SAFETY: the caller guarantees it.
        unsafe { E::call(&mut Slots::new(values)) }
    };
    if const { is_kept::<E>() } {
        Kept::keep(result).expose_provenance() as u64
    } else {
        result.flat()
    }
}

/// Frees the result once the host has read it.
///
/// # Safety
/// `run` returned it, and it has not been freed.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an address is as large as a pointer"
)]
pub unsafe fn free<E: Export>(result: u64) {
    if const { is_kept::<E>() } {
        // SAFETY: the caller guarantees it.
        unsafe { Kept::<E::Result>::drop(ptr::with_exposed_provenance_mut(result as usize)) };
    }
}
