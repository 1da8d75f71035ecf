//! The parameters of a typed function: a tuple of types, or a single type.

use super::super::argument::{Argument, ArgumentError, PackedArgument, Reference};
use super::super::{Packed, PackedError, Type};
use super::ToWit;
use bytes::Bytes;
use place::{Fill, Place};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A Rust type for one parameter of a function: any [`ToWit`], a [`Reference`], which fits every
/// type, or an [`Argument`]. The trait is sealed.
pub trait ToArgument: Place {}

impl<T: Place> ToArgument for T {}

/// Rust types for all parameters of a typed function.
///
/// Usually a tuple of at most eight [`ToArgument`]s, with `()` for none. A single parameter may
/// also be that type without the tuple, unless it is a tuple, [`Value`](crate::value::Value) or `()`.
/// `Vec<Argument>` stands for the parameters of any function, which are checked at each call. The
/// trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the parameters of a function",
    note = "write the parameters as a tuple, such as `(u32,)` or `(&str, u64)`"
)]
pub trait Params: Fill {
    /// The same types with `'a` for their lifetimes, so that each call may borrow its arguments for
    /// as long as it needs: for `(&str,)` it is `(&'a str,)`.
    type At<'a>: Params + 'a;
}

/// Why types do not fit the parameters of a function. Public in name only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The number of types.
    Count(usize),
    /// A type does not fit.
    Type {
        /// The parameter's index, from 0.
        index: usize,
        /// The WIT type that the Rust type corresponds to.
        expected: String,
    },
}

/// The foundation of the public traits. Other crates can neither name nor implement it.
pub(crate) mod place {
    use super::{ArgumentError, PackedArgument, PackedError, Type, Unfit};

    /// A type for one parameter.
    pub trait Place: Sized {
        /// The same type, with `'a` for its lifetimes.
        type Here<'a>: Place + 'a;

        /// Whether it can be an argument of type `ty`.
        fn takes(ty: &Type) -> bool;

        /// The corresponding WIT type, in words for an error.
        fn described() -> String;

        /// Returns the argument for a parameter of type `ty`.
        fn packed(self, ty: &Type) -> Result<PackedArgument, PackedError>;
    }

    /// Types for all parameters.
    pub trait Fill: Sized {
        /// Checks whether a function with these parameters can be called with them.
        fn check(params: &[(String, Type)]) -> Result<(), Unfit>;

        /// Returns the arguments for these parameters, which were checked.
        fn pack(self, params: &[(String, Type)]) -> Result<Vec<PackedArgument>, ArgumentError>;
    }
}

impl<T: ToWit> Place for T {
    type Here<'a> = T::At<'a>;

    fn takes(ty: &Type) -> bool {
        T::fits(ty)
    }

    fn described() -> String {
        T::wit()
    }

    fn packed(self, ty: &Type) -> Result<PackedArgument, PackedError> {
        Packed::pack_from(&self, ty).map(PackedArgument::Value)
    }
}

impl Place for Reference {
    type Here<'a> = Self;

    fn takes(_: &Type) -> bool {
        true
    }

    fn described() -> String {
        "a reference".to_owned()
    }

    fn packed(self, ty: &Type) -> Result<PackedArgument, PackedError> {
        Ok(PackedArgument::Reference {
            name: self.into_name(),
            ty: ty.clone(),
        })
    }
}

impl Place for Argument {
    type Here<'a> = Self;

    fn takes(_: &Type) -> bool {
        true
    }

    fn described() -> String {
        "any argument".to_owned()
    }

    fn packed(self, ty: &Type) -> Result<PackedArgument, PackedError> {
        match self {
            Self::Value(value) => value.packed(ty),
            Self::Reference(reference) => reference.packed(ty),
        }
    }
}

/// Returns the argument for the parameter at `index`.
fn pack_one<T: Place>(
    value: T,
    index: usize,
    (name, ty): &(String, Type),
) -> Result<PackedArgument, ArgumentError> {
    value
        .packed(ty)
        .map_err(|error| ArgumentError::packing(index, name, error))
}

fn check_one<T: Place>(index: usize, (_, ty): &(String, Type)) -> Result<(), Unfit> {
    if T::takes(ty) {
        return Ok(());
    }
    let expected = T::described();
    Err(Unfit::Type { index, expected })
}

impl Params for () {
    type At<'a> = Self;
}

impl Fill for () {
    fn check(params: &[(String, Type)]) -> Result<(), Unfit> {
        match params {
            [] => Ok(()),
            _ => Err(Unfit::Count(0)),
        }
    }

    fn pack(self, params: &[(String, Type)]) -> Result<Vec<PackedArgument>, ArgumentError> {
        match params {
            [] => Ok(Vec::new()),
            _ => Err(ArgumentError::count(0, params)),
        }
    }
}

macro_rules! tuple {
    ($count:literal: $($name:ident $param:ident $index:tt),+) => {
        impl<$($name: ToArgument),+> Params for ($($name,)+) {
            type At<'a> = ($($name::Here<'a>,)+);
        }

        impl<$($name: ToArgument),+> Fill for ($($name,)+) {
            fn check(params: &[(String, Type)]) -> Result<(), Unfit> {
                let [$($param),+] = params else {
                    return Err(Unfit::Count($count));
                };
                $(check_one::<$name>($index, $param)?;)+
                Ok(())
            }

            fn pack(self, params: &[(String, Type)]) -> Result<Vec<PackedArgument>, ArgumentError> {
                let [$($param),+] = params else {
                    return Err(ArgumentError::count($count, params));
                };
                Ok(vec![$(pack_one(self.$index, $index, $param)?),+])
            }
        }
    };
}

tuple!(1: A a 0);
tuple!(2: A a 0, B b 1);
tuple!(3: A a 0, B b 1, C c 2);
tuple!(4: A a 0, B b 1, C c 2, D d 3);
tuple!(5: A a 0, B b 1, C c 2, D d 3, E e 4);
tuple!(6: A a 0, B b 1, C c 2, D d 3, E e 4, F f 5);
tuple!(7: A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6);
tuple!(8: A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7);

/// A type for the only parameter of a function, without a tuple around it.
macro_rules! bare {
    ($([$($generics:tt)*] $rust:ty),+ $(,)?) => {$(
        impl<$($generics)*> Params for $rust {
            type At<'a> = <Self as Place>::Here<'a>;
        }

        impl<$($generics)*> Fill for $rust {
            fn check(params: &[(String, Type)]) -> Result<(), Unfit> {
                <(Self,)>::check(params)
            }

            fn pack(self, params: &[(String, Type)]) -> Result<Vec<PackedArgument>, ArgumentError> {
                (self,).pack(params)
            }
        }
    )+};
}

bare! {
    [] bool, [] i8, [] u8, [] i16, [] u16, [] i32, [] u32, [] i64, [] u64, [] f32, [] f64,
    [] char, [] String, [] &str, [] Arc<str>, [] Bytes, [] Reference,
    [T: ToWit] Vec<T>, [T: ToWit] &[T], [T: ToWit, const N: usize] [T; N],
    [T: ToWit] Option<T>, [T: ToWit, E: ToWit] Result<T, E>,
    [K: ToWit, V: ToWit, S: 'static] HashMap<K, V, S>, [K: ToWit, V: ToWit] BTreeMap<K, V>,
}

impl Params for Vec<Argument> {
    type At<'a> = Self;
}

/// The parameters of any function.
impl Fill for Vec<Argument> {
    fn check(_: &[(String, Type)]) -> Result<(), Unfit> {
        Ok(())
    }

    fn pack(self, params: &[(String, Type)]) -> Result<Vec<PackedArgument>, ArgumentError> {
        if self.len() != params.len() {
            return Err(ArgumentError::count(self.len(), params));
        }
        let each = self.into_iter().zip(params).enumerate();
        each.map(|(index, (argument, param))| pack_one(argument, index, param))
            .collect()
    }
}
