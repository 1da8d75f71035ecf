//! Numbers, characters, strings and bytes.

use super::super::codec::Malformed;
use super::super::pack::Packer;
use super::super::unpack::Decoder;
use super::super::{PackedError, Type};
use super::sealed::{Read, Stands, Write};
use bytes::Bytes;
use std::sync::Arc;

macro_rules! stands {
    ($rust:ty, $case:ident, $wit:literal) => {
        impl Stands for $rust {
            fn fits(ty: &Type) -> bool {
                *ty == Type::$case
            }

            fn wit() -> String {
                $wit.to_owned()
            }
        }
    };
}

macro_rules! scalar {
    ($rust:ty, $case:ident, $wit:literal, |$value:ident, $out:ident| $write:expr, |$from:ident| $read:expr) => {
        stands!($rust, $case, $wit);

        impl Write for $rust {
            type At<'a> = Self;

            #[inline]
            fn write(&self, _: &Type, _: usize, out: &mut Packer) -> Result<(), PackedError> {
                let ($value, $out) = (*self, &mut out.out);
                $write;
                Ok(())
            }
        }

        impl Read for $rust {
            #[inline]
            fn read(_: &Type, _: usize, from: &mut Decoder<'_>) -> Result<Self, Malformed> {
                let $from = &mut from.reader;
                $read
            }
        }
    };
}

scalar!(bool, Bool, "bool", |flag, out| out.put_bool(flag), |from| {
    from.bool()
});
scalar!(
    i8,
    S8,
    "s8",
    |number, out| out.put_u8(number.cast_unsigned()),
    |from| from.u8().map(u8::cast_signed)
);
scalar!(
    i16,
    S16,
    "s16",
    |number, out| out.put_i64_zigzag(number.into()),
    |from| from.i16_zigzag()
);
scalar!(
    u16,
    U16,
    "u16",
    |number, out| out.put_u64_leb(number.into()),
    |from| from.u16_leb()
);
scalar!(
    i32,
    S32,
    "s32",
    |number, out| out.put_i64_zigzag(number.into()),
    |from| from.i32_zigzag()
);
scalar!(
    u32,
    U32,
    "u32",
    |number, out| out.put_u64_leb(number.into()),
    |from| from.u32_leb()
);
scalar!(
    i64,
    S64,
    "s64",
    |number, out| out.put_i64_zigzag(number),
    |from| from.i64_zigzag()
);
scalar!(
    u64,
    U64,
    "u64",
    |number, out| out.put_u64_leb(number),
    |from| from.u64_leb()
);
scalar!(
    f32,
    F32,
    "f32",
    |number, out| out.put_f32_bits(number.to_bits()),
    |from| from.f32_bits().map(f32::from_bits)
);
scalar!(
    f64,
    F64,
    "f64",
    |number, out| out.put_f64_bits(number.to_bits()),
    |from| from.f64_bits().map(f64::from_bits)
);
scalar!(char, Char, "char", |char, out| out.put_char(char), |from| {
    from.char()
});

// A single byte, and many of them at once.
stands!(u8, U8, "u8");

impl Write for u8 {
    type At<'a> = Self;

    #[inline]
    fn write(&self, _: &Type, _: usize, out: &mut Packer) -> Result<(), PackedError> {
        out.out.put_u8(*self);
        Ok(())
    }

    fn write_list(items: &[Self], _: &Type, _: usize, out: &mut Packer) -> Result<(), PackedError> {
        out.out.put_bytes(items);
        Ok(())
    }
}

impl Read for u8 {
    #[inline]
    fn read(_: &Type, _: usize, from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        from.reader.u8()
    }

    fn read_list(_: &Type, _: usize, from: &mut Decoder<'_>) -> Result<Vec<Self>, Malformed> {
        from.reader.byte_string().map(<[u8]>::to_vec)
    }
}

macro_rules! string {
    ($rust:ty, $at:ty) => {
        stands!($rust, String, "string");

        impl Write for $rust {
            type At<'a> = $at;

            #[inline]
            fn write(&self, _: &Type, _: usize, out: &mut Packer) -> Result<(), PackedError> {
                out.out.put_bytes(self.as_bytes());
                Ok(())
            }
        }
    };
}

string!(String, Self);
string!(Arc<str>, Self);
string!(&str, &'a str);

impl Read for String {
    #[inline]
    fn read(_: &Type, _: usize, from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        from.reader.str().map(str::to_owned)
    }
}

impl Read for Arc<str> {
    #[inline]
    fn read(_: &Type, _: usize, from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        from.reader.str().map(Self::from)
    }
}

impl Stands for Bytes {
    fn fits(ty: &Type) -> bool {
        ty.is_bytes()
    }

    fn wit() -> String {
        "list<u8>".to_owned()
    }
}

impl Write for Bytes {
    type At<'a> = Self;

    #[inline]
    fn write(&self, _: &Type, _: usize, out: &mut Packer) -> Result<(), PackedError> {
        out.out.put_bytes(self);
        Ok(())
    }
}

impl Read for Bytes {
    #[inline]
    fn read(_: &Type, _: usize, from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        from.bytes()
    }
}
