//! What streams and futures of a component carry. wasmtime passes their elements as types that Rust knows, so these are
//! those that it passes here.

use rwasm_value::value::Type;
use rwasm_value::value::codec::{Malformed, Reader, Writer};
use wasmtime::component::{ComponentType, Lift, Lower};

/// An element, in packed form and out of it.
pub(in crate::sandbox) trait Element:
    ComponentType + Lift + Lower + Send + Sync + Unpin + Sized + 'static
{
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
    fn write(&self, out: &mut Writer);
}

macro_rules! element {
    ($ty:ty, $reader:ident => $read:expr, $value:ident, $out:ident => $write:expr) => {
        impl Element for $ty {
            fn read($reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                $read
            }

            fn write(&self, $out: &mut Writer) {
                let $value = self;
                $write;
            }
        }
    };
}

element!(bool, from => from.bool(), flag, out => out.put_bool(*flag));
element!(i8, from => from.u8().map(u8::cast_signed), it, out => out.put_u8(it.cast_unsigned()));
element!(u8, from => from.u8(), it, out => out.put_u8(*it));
element!(i16, from => from.i16_zigzag(), it, out => out.put_i64_zigzag((*it).into()));
element!(u16, from => from.u16_leb(), it, out => out.put_u64_leb((*it).into()));
element!(i32, from => from.i32_zigzag(), it, out => out.put_i64_zigzag((*it).into()));
element!(u32, from => from.u32_leb(), it, out => out.put_u64_leb((*it).into()));
element!(i64, from => from.i64_zigzag(), it, out => out.put_i64_zigzag(*it));
element!(u64, from => from.u64_leb(), it, out => out.put_u64_leb(*it));
element!(f32, from => from.f32_bits().map(f32::from_bits), it, out => out.put_f32_bits(it.to_bits()));
element!(f64, from => from.f64_bits().map(f64::from_bits), it, out => out.put_f64_bits(it.to_bits()));
element!(char, from => from.char(), it, out => out.put_char(*it));
element!(String, from => from.str().map(str::to_owned), it, out => out.put_bytes(it.as_bytes()));
element!(Vec<u8>, from => from.byte_string().map(<[u8]>::to_vec), it, out => out.put_bytes(it));

impl Element for Vec<String> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count(1)?;
        (0..count).map(|_| Element::read(reader)).collect()
    }

    fn write(&self, out: &mut Writer) {
        out.put_len(self.len());
        for text in self {
            text.write(out);
        }
    }
}

impl<T: Element> Element for (String, T)
where
    (String, T): ComponentType + Lift + Lower,
{
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok((Element::read(reader)?, Element::read(reader)?))
    }

    fn write(&self, out: &mut Writer) {
        self.0.write(out);
        self.1.write(out);
    }
}

/// Evaluates an expression in which `$name` is Rust's type for elements of the type `$ty`; `None` if there is none.
macro_rules! with_element {
    ($ty:expr, $name:ident => $do:expr) => {
        $crate::sandbox::abi::with_element!(@ $ty, $name => $do;
            Type::Bool => bool, Type::S8 => i8, Type::U8 => u8, Type::S16 => i16, Type::U16 => u16, Type::S32 => i32,
            Type::U32 => u32, Type::S64 => i64, Type::U64 => u64, Type::F32 => f32, Type::F64 => f64, Type::Char => char,
            Type::String => String;
            Type::U8 => Vec<u8>, Type::String => Vec<String>;
            Type::String => (String, String), Type::U32 => (String, u32), Type::U64 => (String, u64))
    };
    (@ $ty:expr, $name:ident => $do:expr; $($leaf:pat => $rust:ty),*; $($of:pat => $list:ty),*; $($second:pat => $pair:ty),*) => {
        match $ty {
            $($leaf => {
                type $name = $rust;
                Some($do)
            })*
            Type::List(element) => match &**element {
                $($of => {
                    type $name = $list;
                    Some($do)
                })*
                _ => None,
            },
            Type::Tuple(types) => match &**types {
                $([Type::String, $second] => {
                    type $name = $pair;
                    Some($do)
                })*
                _ => None,
            },
            _ => None,
        }
    };
}

pub(in crate::sandbox) use with_element;

/// Whether a stream or a future can carry values of this type.
pub(in crate::sandbox) fn carried(ty: &Type) -> bool {
    with_element!(ty, T => size_of::<T>()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same<T: Element + PartialEq + std::fmt::Debug>(value: &T) {
        let mut out = Writer::default();
        value.write(&mut out);
        let bytes = out.into_vec();
        let mut reader = Reader::new(&bytes);
        let read = T::read(&mut reader).expect("it is whole");
        assert_eq!((&read, reader.remaining()), (value, 0));
    }

    #[test]
    fn elements_are_packed_and_come_back() {
        same(&true);
        same(&(i8::MIN, u8::MAX).0);
        same(&i16::MIN);
        same(&u32::MAX);
        same(&i64::MIN);
        same(&1.5_f64);
        same(&'ß');
        same(&"word".to_owned());
        same(&vec![0_u8, 255]);
        same(&vec!["a".to_owned(), String::new()]);
        same(&("word".to_owned(), 7_u64));
    }

    #[test]
    fn what_is_carried_has_a_type_in_rust() {
        let word = Type::tuple([Type::String, Type::U64]);
        for ty in [
            Type::U8,
            Type::String,
            Type::bytes(),
            word.clone(),
            Type::list(Type::String),
        ] {
            assert!(carried(&ty), "{ty}");
        }
        for ty in [
            Type::list(word),
            Type::tuple([Type::U64, Type::String]),
            Type::option(Type::U8),
        ] {
            assert!(!carried(&ty), "{ty}");
        }
    }
}
