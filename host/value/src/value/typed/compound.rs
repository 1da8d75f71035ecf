//! Types composed of others: lists, options, results, tuples, pointers, and [`Value`], which stands
//! for any type. Maps are in `maps`.

use super::super::codec::Malformed;
use super::super::mismatch::{Mismatch, Step};
use super::super::pack::{Packer, inside};
use super::super::unpack::Decoder;
use super::super::{PackedError, ResultType, Type, Value};
use super::sealed::{Read, Stands, Write};

/// The error of a type that was not checked before it was written. This crate never causes it; it
/// replaces a panic.
#[cold]
pub(super) fn unfit<T: Stands>(ty: &Type) -> PackedError {
    Mismatch::of_type(T::wit(), ty).into()
}

/// Likewise, for a type that was not checked before it was read.
pub(super) const UNFIT: Malformed = Malformed::BadCase;

fn element(ty: &Type) -> Option<&Type> {
    match ty {
        Type::List(element) => Some(element),
        _ => None,
    }
}

fn option(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Option(inner) => Some(inner),
        _ => None,
    }
}

fn sides(ty: &Type) -> Option<&ResultType> {
    match ty {
        Type::Result(sides) => Some(sides),
        _ => None,
    }
}

fn fields(ty: &Type) -> Option<&[Type]> {
    match ty {
        Type::Tuple(fields) => Some(fields),
        _ => None,
    }
}

macro_rules! list {
    ([$($generics:tt)*] $rust:ty, $at:ty) => {
        impl<$($generics)*> Stands for $rust
        where
            T: Stands,
        {
            fn fits(ty: &Type) -> bool {
                element(ty).is_some_and(T::fits)
            }

            fn wit() -> String {
                format!("list<{}>", T::wit())
            }
        }

        impl<$($generics)*> Write for $rust
        where
            T: Write,
        {
            type At<'a> = $at;

            fn write(&self, ty: &Type, depth: usize, out: &mut Packer) -> Result<(), PackedError> {
                let element = element(ty).ok_or_else(|| unfit::<Self>(ty))?;
                T::write_list(&self[..], element, depth + 1, out)
            }
        }
    };
}

list!([T] Vec<T>, Vec<T::At<'a>>);
list!([T] & [T], &'a [T::At<'a>]);
list!([T, const N: usize] [T; N], [T::At<'a>; N]);

impl<T: Read> Read for Vec<T> {
    fn read(ty: &Type, depth: usize, from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        T::read_list(element(ty).ok_or(UNFIT)?, depth + 1, from)
    }
}

impl<T: Stands> Stands for Option<T> {
    fn fits(ty: &Type) -> bool {
        option(ty).is_some_and(T::fits)
    }

    fn wit() -> String {
        format!("option<{}>", T::wit())
    }
}

impl<T: Write> Write for Option<T> {
    type At<'a> = Option<T::At<'a>>;

    fn write(&self, ty: &Type, depth: usize, out: &mut Packer) -> Result<(), PackedError> {
        let inner = option(ty).ok_or_else(|| unfit::<Self>(ty))?;
        out.out.put_bool(self.is_some());
        match self {
            Some(value) => inside(value.write(inner, depth + 1, out), || Step::Part("some")),
            None => Ok(()),
        }
    }
}

impl<T: Read> Read for Option<T> {
    fn read(ty: &Type, depth: usize, from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let inner = option(ty).ok_or(UNFIT)?;
        if from.reader.bool()? {
            T::read(inner, depth + 1, from).map(Some)
        } else {
            Ok(None)
        }
    }
}

impl<T: Stands, E: Stands> Stands for Result<T, E> {
    fn fits(ty: &Type) -> bool {
        sides(ty).is_some_and(|sides| {
            T::fits_side(sides.ok.as_ref()) && E::fits_side(sides.err.as_ref())
        })
    }

    fn wit() -> String {
        match (T::wit_side(), E::wit_side()) {
            (Some(ok), Some(err)) => format!("result<{ok}, {err}>"),
            (Some(ok), None) => format!("result<{ok}>"),
            (None, Some(err)) => format!("result<_, {err}>"),
            (None, None) => "result".to_owned(),
        }
    }
}

impl<T: Write, E: Write> Write for Result<T, E> {
    type At<'a> = Result<T::At<'a>, E::At<'a>>;

    fn write(&self, ty: &Type, depth: usize, out: &mut Packer) -> Result<(), PackedError> {
        let sides = sides(ty).ok_or_else(|| unfit::<Self>(ty))?;
        out.out.put_bool(self.is_err());
        match self {
            Ok(value) => {
                let written = value.write_side(sides.ok.as_ref(), depth + 1, out);
                inside(written, || Step::Part("ok"))
            }
            Err(error) => {
                let written = error.write_side(sides.err.as_ref(), depth + 1, out);
                inside(written, || Step::Part("err"))
            }
        }
    }
}

impl<T: Read, E: Read> Read for Result<T, E> {
    fn read(ty: &Type, depth: usize, from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let sides = sides(ty).ok_or(UNFIT)?;
        Ok(if from.reader.bool()? {
            Err(E::read_side(sides.err.as_ref(), depth + 1, from)?)
        } else {
            Ok(T::read_side(sides.ok.as_ref(), depth + 1, from)?)
        })
    }
}

/// Nothing: the result of a function without one, and a side of a `result` without a payload.
impl Stands for () {
    fn fits(ty: &Type) -> bool {
        fields(ty).is_some_and(<[Type]>::is_empty)
    }

    fn wit() -> String {
        "nothing".to_owned()
    }

    fn fits_side(side: Option<&Type>) -> bool {
        side.is_none_or(Self::fits)
    }

    fn wit_side() -> Option<String> {
        None
    }
}

impl Write for () {
    type At<'a> = Self;

    fn write(&self, _: &Type, _: usize, _: &mut Packer) -> Result<(), PackedError> {
        Ok(())
    }

    fn write_side(&self, _: Option<&Type>, _: usize, _: &mut Packer) -> Result<(), PackedError> {
        Ok(())
    }
}

impl Read for () {
    fn read(_: &Type, _: usize, _: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(())
    }

    fn read_side(_: Option<&Type>, _: usize, _: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(())
    }
}

macro_rules! tuple {
    ($($name:ident $place:ident $index:tt),+) => {
        impl<$($name: Stands),+> Stands for ($($name,)+) {
            fn fits(ty: &Type) -> bool {
                matches!(fields(ty), Some([$($place),+]) if $($name::fits($place))&&+)
            }

            fn wit() -> String {
                format!("tuple<{}>", [$($name::wit()),+].join(", "))
            }
        }

        impl<$($name: Write),+> Write for ($($name,)+) {
            type At<'a> = ($($name::At<'a>,)+);

            fn write(&self, ty: &Type, depth: usize, out: &mut Packer) -> Result<(), PackedError> {
                let Some([$($place),+]) = fields(ty) else {
                    return Err(unfit::<Self>(ty));
                };
                $(inside(self.$index.write($place, depth + 1, out), || Step::Field($index))?;)+
                Ok(())
            }
        }

        impl<$($name: Read),+> Read for ($($name,)+) {
            fn read(
                ty: &Type,
                depth: usize,
                from: &mut Decoder<'_>,
            ) -> Result<Self, Malformed> {
                let Some([$($place),+]) = fields(ty) else {
                    return Err(UNFIT);
                };
                Ok(($($name::read($place, depth + 1, from)?,)+))
            }
        }
    };
}

tuple!(A a 0);
tuple!(A a 0, B b 1);
tuple!(A a 0, B b 1, C c 2);
tuple!(A a 0, B b 1, C c 2, D d 3);
tuple!(A a 0, B b 1, C c 2, D d 3, E e 4);
tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5);
tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6);
tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7);

/// A pointer to a value stands for that value.
macro_rules! pointer {
    ($rust:ty, $at:ty) => {
        impl<T: Stands> Stands for $rust {
            fn fits(ty: &Type) -> bool {
                T::fits(ty)
            }

            fn wit() -> String {
                T::wit()
            }
        }

        impl<T: Write> Write for $rust {
            type At<'a> = $at;

            fn write(&self, ty: &Type, depth: usize, out: &mut Packer) -> Result<(), PackedError> {
                (**self).write(ty, depth, out)
            }
        }
    };
}

pointer!(&T, &'a T::At<'a>);
pointer!(Box<T>, Box<T::At<'a>>);

impl<T: Read> Read for Box<T> {
    fn read(ty: &Type, depth: usize, from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        T::read(ty, depth, from).map(Self::new)
    }
}

/// A value of any type; whether it fits is checked when it is written.
impl Stands for Value {
    fn fits(_: &Type) -> bool {
        true
    }

    fn wit() -> String {
        "any value".to_owned()
    }
}

impl Write for Value {
    type At<'a> = Self;

    fn write(&self, ty: &Type, depth: usize, out: &mut Packer) -> Result<(), PackedError> {
        out.value(self, ty, depth)
    }
}

impl Read for Value {
    fn read(ty: &Type, depth: usize, from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        from.value(ty, depth)
    }
}
