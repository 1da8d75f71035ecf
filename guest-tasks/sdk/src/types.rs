//! The trait that maps Rust types to WIT types.

use crate::lift::Lift;
use crate::lower::Lower;
use crate::ty::Ty;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

/// A Rust type that has a WIT type. `#[derive(rwasm_task::Type)]` implements it for a struct or an
/// enum.
///
/// # Safety
///
/// [`TY`](Self::TY) must describe what the type's [`Lift`](crate::Lift) and [`Lower`](crate::Lower)
/// read and write. `PLAIN` may only be true if values are laid out in memory as in the canonical
/// ABI, with every bit defined.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no WIT type, so it cannot be passed between a task and its host",
    label = "cannot be passed",
    note = "`bool`, `char`, numbers of 8 to 64 bits, `String`, `Vec`, `Option`, `Result`, tuples, `HashMap`, `BTreeMap` and `Box` can; instead of a type whose size depends on the machine, like `usize`, use `u32` or `u64`",
    note = "a struct or an enum can if it has `#[derive(rwasm_task::Type)]`"
)]
pub unsafe trait Type {
    /// The WIT type.
    const TY: Ty;
    #[doc(hidden)]
    const REF: &'static Ty = &Self::TY;
    /// Whether its layout in memory is that of the canonical ABI.
    #[doc(hidden)]
    const PLAIN: bool = false;
}

macro_rules! plain {
    ($($rust:ty => $wit:ident),*) => {$(
        // SAFETY: in memory, numbers, booleans and characters are as in the canonical ABI.
        unsafe impl Type for $rust {
            const TY: Ty = Ty::$wit;
            const PLAIN: bool = true;
        }
    )*};
}

plain!(bool => Bool, i8 => S8, u8 => U8, i16 => S16, u16 => U16, i32 => S32, u32 => U32, i64 => S64, u64 => U64);
plain!(f32 => F32, f64 => F64, char => Char);

macro_rules! described {
    ($([$($of:tt)*] $rust:ty => $wit:expr;)*) => {$(
        // SAFETY: `lift` and `lower` keep to this description.
        unsafe impl<$($of)*> Type for $rust {
            const TY: Ty = $wit;
        }
    )*};
}

described! {
    [] () => Ty::Unit;
    [] str => Ty::String;
    [] String => Ty::String;
    [] Cow<'_, str> => Ty::String;
    [T: Type] [T] => Ty::List(T::REF);
    [T: Type] Vec<T> => Ty::List(T::REF);
    [T: Type] Option<T> => Ty::Option(T::REF);
    [K: Type, V: Type, S] HashMap<K, V, S> => Ty::List(<(K, V)>::REF);
    [K: Type, V: Type] BTreeMap<K, V> => Ty::List(<(K, V)>::REF);
    [T: Type + ?Sized] Box<T> => T::TY;
    [T: Type + ?Sized] &T => T::TY;
    // The host uses an error's text.
    [T: Type, E: Display] Result<T, E> => Ty::Result(T::REF, &Ty::String);
    [T: Type, E: Type] Result<T, Typed<E>> => Ty::Result(T::REF, E::REF);
}

/// An error that is passed as a value instead of as its text: `Result<T, Typed<E>>` is `result<t,
/// e>`.
///
/// `?` makes one from an `E`. `Typed<()>` is the error of a result without a payload for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typed<E>(pub E);

impl<E> From<E> for Typed<E> {
    fn from(error: E) -> Self {
        Self(error)
    }
}

macro_rules! tuples {
    ($($name:ident)*) => {
        // SAFETY: `lift` and `lower` keep to this description.
        unsafe impl<$($name: Type),*> Type for ($($name,)*) {
            const TY: Ty = Ty::Tuple(const { &[$($name::REF),*] });
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
tuples!(A B C D E F G H I);
tuples!(A B C D E F G H I J);
tuples!(A B C D E F G H I J K);
tuples!(A B C D E F G H I J K L);

/// Returns the WIT type of a parameter.
#[must_use]
pub const fn argument<T: Lift>() -> &'static Ty {
    T::REF
}

/// Returns the WIT type of a result.
#[must_use]
pub const fn given<T: Lower>() -> &'static Ty {
    T::REF
}

/// Returns the WIT type of a part, which is to be lifted and lowered.
#[must_use]
pub const fn both<T: Lift + Lower>() -> &'static Ty {
    T::REF
}
