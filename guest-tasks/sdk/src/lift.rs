//! Lifting: turns an argument, as core values or in memory that the host has filled, into a Rust
//! value.
//!
//! Strings and lists of numbers take over the memory as it is. `cabi_realloc` allocates like Rust's
//! own collections, with exactly the length that is used, so they can free it.

use crate::json::{Json, Mismatch};
use crate::ty::{MAX_FLAT, POINTER, Ty};
use crate::types::{Type, Typed};
use std::alloc::{Layout, dealloc};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};
use std::ptr;

/// The core values of a call, each as the bits of a 64-bit number.
pub struct Slots {
    values: [u64; MAX_FLAT],
    at: usize,
}

impl Slots {
    /// The values of a call; those after its parameters are not read.
    #[inline(always)]
    #[must_use]
    pub fn new(values: [u64; MAX_FLAT]) -> Self {
        Self { values, at: 0 }
    }

    /// The next one.
    #[inline(always)]
    pub fn take(&mut self) -> u64 {
        let value = self.values[self.at];
        self.at += 1;
        value
    }

    /// Lifts a value with several cases: passes on the number of the case, and skips the values
    /// that the case does not use.
    ///
    /// # Safety
    /// As of [`Lift::lift`].
    #[inline(always)]
    pub unsafe fn case<T: Type, R>(&mut self, lift: impl FnOnce(&mut Self, u32) -> R) -> R {
        let end = self.at + const { T::TY.flat().len };
        let case = number(self.take());
        let value = lift(self, case);
        self.at = end;
        value
    }
}

/// A type whose values the host can pass to a function.
///
/// Derived along with [`Type`](derive@crate::Type); not to be implemented by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a task's function",
    label = "cannot be an argument",
    note = "`bool`, `char`, numbers of 8 to 64 bits, `String`, `Vec`, `Option`, `Result`, tuples, `HashMap`, `BTreeMap` and `Box` can; instead of a type whose size depends on the machine, like `usize`, use `u32` or `u64`",
    note = "a struct or an enum can if it has `#[derive(rwasm_task::Type)]`",
    note = "`&str` and `&[T]` can be parameters, but not parts of them: `Vec<String>` can, `Vec<&str>` cannot"
)]
pub trait Lift: Type + Sized {
    /// Returns the value of these core values.
    ///
    /// # Safety
    /// The host made them from a value of this type by the canonical ABI, and nothing else uses the
    /// memory they point to.
    #[doc(hidden)]
    unsafe fn lift(slots: &mut Slots) -> Self;

    /// Returns the value at this address, including ownership of what it points to.
    ///
    /// # Safety
    /// The host put it there by the canonical ABI, and nothing else uses it.
    #[doc(hidden)]
    unsafe fn load(at: *const u8) -> Self;

    /// Returns the pushed value, from its JSON.
    #[doc(hidden)]
    fn read(json: &Json) -> Result<Self, Mismatch>;

    /// Returns the pushed value, from its bytes.
    #[doc(hidden)]
    fn read_bytes(bytes: Vec<u8>) -> Result<Self, Mismatch> {
        Self::read(&crate::json::parse(&bytes)?)
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the rest are not its bits")]
fn number(slot: u64) -> u32 {
    slot as u32
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an address is as large as a pointer"
)]
fn address(slot: u64) -> usize {
    slot as usize
}

/// Panics for an invalid case number.
#[cold]
pub fn no_such_case(case: u32) -> ! {
    panic!("the host passed case {case} of a type with fewer cases");
}

/// Lifts the field of a tuple or record at the offset `at`.
///
/// # Safety
/// As of [`Lift::load`].
#[inline(always)]
pub unsafe fn load_field<T: Type, F: Lift, const NUMBER: usize>(at: *const u8) -> F {
    // SAFETY: the field lies there.
    unsafe { F::load(at.add(const { T::TY.offset(NUMBER, POINTER) })) }
}

/// Lifts the payload of a case, of a value at `at`.
///
/// # Safety
/// As of [`Lift::load`].
#[inline(always)]
pub unsafe fn load_payload<T: Type, F: Lift>(at: *const u8) -> F {
    // SAFETY: the payload lies there.
    unsafe { F::load(at.add(const { T::TY.payload(POINTER) })) }
}

/// Returns the case number of a value at `at`.
///
/// # Safety
/// As of [`Lift::load`].
#[inline(always)]
pub unsafe fn load_case<T: Type>(at: *const u8) -> u32 {
    // SAFETY: this many bytes are there.
    unsafe {
        match const { T::TY.discriminant() } {
            1 => (*at).into(),
            2 => at.cast::<u16>().read().into(),
            _ => at.cast::<u32>().read(),
        }
    }
}

/// Returns the bits of flags at `at`.
///
/// # Safety
/// As of [`Lift::load`].
#[inline(always)]
pub unsafe fn load_flags<T: Type>(at: *const u8) -> u32 {
    // SAFETY: this many bytes are there.
    unsafe {
        match const { T::TY.size(POINTER) } {
            1 => (*at).into(),
            2 => at.cast::<u16>().read().into(),
            _ => at.cast::<u32>().read(),
        }
    }
}

macro_rules! numbers {
    ($($rust:ty: $slot:ident => $lifted:expr, $read:expr;)*) => {$(
        impl Lift for $rust {
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "the rest are not its bits")]
            unsafe fn lift(slots: &mut Slots) -> Self {
                let $slot = slots.take();
                $lifted
            }

            #[inline(always)]
            unsafe fn load(at: *const u8) -> Self {
                // SAFETY: it lies there.
                unsafe { at.cast::<Self>().read() }
            }

            fn read(json: &Json) -> Result<Self, Mismatch> {
                $read(json)
            }
        }
    )*};
}

numbers! {
    u8: slot => slot as u8, crate::json::integer;
    u16: slot => slot as u16, crate::json::integer;
    u32: slot => slot as u32, crate::json::integer;
    u64: slot => slot, crate::json::integer;
    i8: slot => (slot as u8).cast_signed(), crate::json::integer;
    i16: slot => (slot as u16).cast_signed(), crate::json::integer;
    i32: slot => (slot as u32).cast_signed(), crate::json::integer;
    i64: slot => slot.cast_signed(), crate::json::integer;
    f32: slot => f32::from_bits(slot as u32), crate::json::single;
    f64: slot => f64::from_bits(slot), crate::json::float;
}

impl Lift for bool {
    #[inline(always)]
    unsafe fn lift(slots: &mut Slots) -> Self {
        number(slots.take()) != 0
    }

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: a byte lies there.
        unsafe { *at != 0 }
    }

    fn read(json: &Json) -> Result<Self, Mismatch> {
        json.as_bool().ok_or_else(|| Mismatch::of(json, "bool"))
    }
}

impl Lift for char {
    #[inline(always)]
    unsafe fn lift(slots: &mut Slots) -> Self {
        Self::from_u32(number(slots.take())).unwrap_or(Self::REPLACEMENT_CHARACTER)
    }

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: a number lies there.
        Self::from_u32(unsafe { at.cast::<u32>().read() }).unwrap_or(Self::REPLACEMENT_CHARACTER)
    }

    fn read(json: &Json) -> Result<Self, Mismatch> {
        let mut chars = json.as_str().unwrap_or_default().chars();
        match (chars.next(), chars.next()) {
            (Some(char), None) => Ok(char),
            _ => Err(Mismatch::of(json, "char")),
        }
    }
}

impl Lift for () {
    #[inline(always)]
    unsafe fn lift(_: &mut Slots) -> Self {}

    #[inline(always)]
    unsafe fn load(_: *const u8) -> Self {}

    fn read(json: &Json) -> Result<Self, Mismatch> {
        json.as_null().ok_or_else(|| Mismatch::of(json, "null"))
    }
}

impl Lift for String {
    #[inline(always)]
    unsafe fn lift(slots: &mut Slots) -> Self {
        // SAFETY: a string is passed as a list of bytes which are UTF-8.
        unsafe { Self::from_utf8_unchecked(Vec::lift(slots)) }
    }

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: a string lies in memory as a list of bytes which are UTF-8.
        unsafe { Self::from_utf8_unchecked(Vec::load(at)) }
    }

    fn read(json: &Json) -> Result<Self, Mismatch> {
        let text = json.as_str().ok_or_else(|| Mismatch::of(json, "string"))?;
        Ok(text.to_owned())
    }

    fn read_bytes(bytes: Vec<u8>) -> Result<Self, Mismatch> {
        Self::from_utf8(bytes).map_err(|_| Mismatch::new("bytes that are not UTF-8", "string"))
    }
}

/// Returns the list with this address and length.
///
/// # Safety
/// As of [`Lift::load`].
#[inline(always)]
unsafe fn list<T: Lift>(start: usize, len: usize) -> Vec<T> {
    if len == 0 {
        return Vec::new();
    }
    let start = ptr::with_exposed_provenance_mut::<u8>(start);
    if T::PLAIN {
        // SAFETY: the host has put `len` values there, where it was given room for just them, aligned as they are.
        return unsafe { Vec::from_raw_parts(start.cast(), len, len) };
    }
    let (size, align) = const { (T::TY.size(POINTER), T::TY.align(POINTER)) };
    let mut list = Vec::with_capacity(len);
    for number in 0..len {
        // SAFETY: that many lie there, one behind the other, and each is taken once.
        list.push(unsafe { T::load(start.add(number * size)) });
    }
    // SAFETY: this is the room the host was given, whose values have been taken.
    unsafe { dealloc(start, Layout::from_size_align_unchecked(len * size, align)) };
    list
}

impl<T: Lift> Lift for Vec<T> {
    #[inline(always)]
    unsafe fn lift(slots: &mut Slots) -> Self {
        let start = address(slots.take());
        // SAFETY: the caller guarantees it.
        unsafe { list(start, address(slots.take())) }
    }

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        let at = at.cast::<usize>();
        // SAFETY: place and length lie there.
        unsafe { list(at.read(), at.add(1).read()) }
    }

    fn read(json: &Json) -> Result<Self, Mismatch> {
        crate::json::list(json)
    }

    fn read_bytes(bytes: Vec<u8>) -> Result<Self, Mismatch> {
        if matches!(T::TY, Ty::U8) {
            return bytes
                .into_iter()
                .map(|byte| T::read(&byte.into()))
                .collect();
        }
        Self::read(&crate::json::parse(&bytes)?)
    }
}

impl<K: Lift + Ord, V: Lift> Lift for BTreeMap<K, V> {
    unsafe fn lift(slots: &mut Slots) -> Self {
        // SAFETY: the caller guarantees it; a map is a list of pairs.
        unsafe { Vec::<(K, V)>::lift(slots) }.into_iter().collect()
    }

    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: the caller guarantees it; a map is a list of pairs.
        unsafe { Vec::<(K, V)>::load(at) }.into_iter().collect()
    }

    fn read(json: &Json) -> Result<Self, Mismatch> {
        crate::json::list::<(K, V)>(json).map(|pairs| pairs.into_iter().collect())
    }
}

impl<K: Lift + Hash + Eq, V: Lift, S: BuildHasher + Default> Lift for HashMap<K, V, S> {
    unsafe fn lift(slots: &mut Slots) -> Self {
        // SAFETY: the caller guarantees it; a map is a list of pairs.
        unsafe { Vec::<(K, V)>::lift(slots) }.into_iter().collect()
    }

    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: the caller guarantees it; a map is a list of pairs.
        unsafe { Vec::<(K, V)>::load(at) }.into_iter().collect()
    }

    fn read(json: &Json) -> Result<Self, Mismatch> {
        crate::json::list::<(K, V)>(json).map(|pairs| pairs.into_iter().collect())
    }
}

impl<T: Lift> Lift for Box<T> {
    unsafe fn lift(slots: &mut Slots) -> Self {
        // SAFETY: the caller guarantees it.
        Self::new(unsafe { T::lift(slots) })
    }

    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: the caller guarantees it.
        Self::new(unsafe { T::load(at) })
    }

    fn read(json: &Json) -> Result<Self, Mismatch> {
        T::read(json).map(Self::new)
    }

    fn read_bytes(bytes: Vec<u8>) -> Result<Self, Mismatch> {
        T::read_bytes(bytes).map(Self::new)
    }
}

impl<T: Lift> Lift for Option<T> {
    #[inline(always)]
    unsafe fn lift(slots: &mut Slots) -> Self {
        // SAFETY: the caller guarantees it.
        unsafe {
            slots.case::<Self, _>(|slots, case| match case {
                0 => None,
                1 => Some(T::lift(slots)),
                case => no_such_case(case),
            })
        }
    }

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: the caller guarantees it.
        unsafe {
            match load_case::<Self>(at) {
                0 => None,
                1 => Some(load_payload::<Self, T>(at)),
                case => no_such_case(case),
            }
        }
    }

    fn read(json: &Json) -> Result<Self, Mismatch> {
        match json {
            Json::Null => Ok(None),
            _ if matches!(T::TY, Ty::Option(_)) => match crate::json::entry(json) {
                Some(("some", json)) => T::read(json)
                    .map(Some)
                    .map_err(|error| error.within("some")),
                _ => Err(Mismatch::of(json, "{\"some\": …} or null")),
            },
            _ => T::read(json).map(Some),
        }
    }
}

macro_rules! results {
    ([$($of:tt)*] $err:ty, $payload:ty, $wrap:expr) => {
        impl<T: Lift, $($of)*> Lift for Result<T, $err> {
            #[inline(always)]
            unsafe fn lift(slots: &mut Slots) -> Self {
                // SAFETY: the caller guarantees it.
                unsafe {
                    slots.case::<Self, _>(|slots, case| match case {
                        0 => Ok(T::lift(slots)),
                        1 => Err($wrap(<$payload>::lift(slots))),
                        case => no_such_case(case),
                    })
                }
            }

            #[inline(always)]
            unsafe fn load(at: *const u8) -> Self {
                // SAFETY: the caller guarantees it.
                unsafe {
                    match load_case::<Self>(at) {
                        0 => Ok(load_payload::<Self, T>(at)),
                        1 => Err($wrap(load_payload::<Self, $payload>(at))),
                        case => no_such_case(case),
                    }
                }
            }

            fn read(json: &Json) -> Result<Self, Mismatch> {
                match crate::json::entry(json) {
                    Some(("ok", json)) => T::read(json).map(Ok).map_err(|error| error.within("ok")),
                    Some(("err", json)) => match <$payload>::read(json) {
                        Ok(error) => Ok(Err($wrap(error))),
                        Err(error) => Err(error.within("err")),
                    },
                    _ => Err(Mismatch::of(json, "{\"ok\": …} or {\"err\": …}")),
                }
            }
        }
    };
}

results!([] String, String, std::convert::identity);
results!([E: Lift] Typed<E>, E, Typed);

macro_rules! tuples {
    ($count:literal $($name:ident $number:tt)*) => {
        impl<$($name: Lift),*> Lift for ($($name,)*) {
            #[inline(always)]
            unsafe fn lift(slots: &mut Slots) -> Self {
                // SAFETY: the caller guarantees it; the fields are evaluated in their order.
                unsafe { ($($name::lift(slots),)*) }
            }

            #[inline(always)]
            unsafe fn load(at: *const u8) -> Self {
                // SAFETY: the caller guarantees it.
                unsafe { ($(load_field::<Self, $name, $number>(at),)*) }
            }

            fn read(json: &Json) -> Result<Self, Mismatch> {
                let items = crate::json::tuple(json, $count)?;
                Ok(($($name::read(&items[$number]).map_err(|error| error.within_item($number))?,)*))
            }
        }
    };
}

tuples!(1 A 0);
tuples!(2 A 0 B 1);
tuples!(3 A 0 B 1 C 2);
tuples!(4 A 0 B 1 C 2 D 3);
tuples!(5 A 0 B 1 C 2 D 3 E 4);
tuples!(6 A 0 B 1 C 2 D 3 E 4 F 5);
tuples!(7 A 0 B 1 C 2 D 3 E 4 F 5 G 6);
tuples!(8 A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
tuples!(9 A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8);
tuples!(10 A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9);
tuples!(11 A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10);
tuples!(12 A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11);
