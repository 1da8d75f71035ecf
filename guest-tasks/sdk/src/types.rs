//! The trait that says which WIT type a Rust type is.

use crate::lift::Lift;
use crate::lower::Lower;
use crate::ty::Ty;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

/// A Rust type that has a type in WIT. `#[derive(rwasm_task::Type)]` makes one of a struct or an enum.
///
/// # Safety
///
/// What [`TY`](Self::TY) says must be what the type's [`Lift`](crate::Lift) and [`Lower`](crate::Lower) read and write, and only
/// where a value lies in memory as the canonical ABI has it, every bit of it being defined, may `PLAIN` be true.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no WIT type, so it cannot be passed between a task and its host",
    label = "cannot be passed",
    note = "`bool`, `char`, numbers of 8 to 64 bits, `String`, `Vec`, `Option`, `Result`, tuples, `HashMap`, `BTreeMap` and `Box` can; instead of a type whose size depends on the machine, like `usize`, use `u32` or `u64`",
    note = "a struct or an enum can if it has `#[derive(rwasm_task::Type)]`"
)]
pub unsafe trait Type {
    /// What it is in WIT.
    const TY: Ty;
    #[doc(hidden)]
    const REF: &'static Ty = &Self::TY;
    /// Whether it lies in memory as the canonical ABI has it.
    #[doc(hidden)]
    const PLAIN: bool = false;
}

macro_rules! plain {
    ($($rust:ty => $wit:ident),*) => {$(
        // SAFETY: numbers, truth values and characters are in memory what the canonical ABI makes of them.
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
    // What an error says is what the host has use for.
    [T: Type, E: Display] Result<T, E> => Ty::Result(T::REF, &Ty::String);
    [T: Type, E: Type] Result<T, Typed<E>> => Ty::Result(T::REF, E::REF);
}

/// An error that crosses as what it is, and not as what it says: `Result<T, Typed<E>>` is `result<t, e>`.
///
/// `?` makes it of an `E`. `Typed<()>` is the error of a result that carries none.
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

/// What a parameter's type is in WIT.
#[must_use]
pub const fn argument<T: Lift>() -> &'static Ty {
    T::REF
}

/// What a result's type is in WIT.
#[must_use]
pub const fn given<T: Lower>() -> &'static Ty {
    T::REF
}

/// What the type of a part is in WIT, which is to be lifted and lowered.
#[must_use]
pub const fn both<T: Lift + Lower>() -> &'static Ty {
    T::REF
}
