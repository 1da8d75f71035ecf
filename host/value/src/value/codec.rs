//! The primitives of the packed form: a [`Writer`] and a [`Reader`] of numbers, characters and byte
//! strings. Their order is the business of `packed` and of the sandbox's ABI.
//!
//! Each primitive has exactly one encoding, and overlong LEB128 is refused, so that equal values
//! have equal bytes and merges can compare keys without decoding them. The reader trusts nothing:
//! it checks each length against the remaining bytes before using it.

use std::str;

/// The reason why bytes are not a value in packed form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes end inside a value.
    #[error("the bytes end inside a value")]
    UnexpectedEnd,
    /// A number is not in its shortest form, or does not fit its type.
    #[error("invalid LEB128 number")]
    BadLeb,
    /// A string is not UTF-8.
    #[error("string is not UTF-8")]
    BadUtf8,
    /// A character is not a Unicode scalar value.
    #[error("not a Unicode scalar value")]
    BadChar,
    /// A byte that must be 0 or 1 (a `bool`, an `option`, a `result`) is neither.
    #[error("byte is neither 0 nor 1")]
    BadBool,
    /// The type has no case, or no flag, with this number.
    #[error("the type has no such case")]
    BadCase,
    /// The value is nested deeper than a packed value may be.
    #[error("nested deeper than 64 levels")]
    TooDeep,
    /// The value has more elements that take no bytes than a packed value may have.
    #[error("more than 1048576 empty elements")]
    TooManyEmpty,
    /// The value takes more memory than it may.
    #[error("it takes more memory than it may")]
    TooLarge,
}

/// Writes primitives to the end of a byte vector.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct Writer {
    buf: Vec<u8>,
}

impl Writer {
    #[doc(hidden)]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            buf: Vec::with_capacity(bytes),
        }
    }

    /// What was written so far.
    #[inline]
    #[doc(hidden)]
    pub fn as_slice(&self) -> &[u8] {
        &self.buf
    }

    /// Begins anew, in the same memory.
    #[inline]
    #[doc(hidden)]
    pub fn clear(&mut self) {
        self.buf.clear();
    }

    /// The bytes written so far.
    #[inline]
    #[doc(hidden)]
    #[expect(
        clippy::len_without_is_empty,
        reason = "nobody asks whether nothing was written"
    )]
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    #[inline]
    #[doc(hidden)]
    pub fn reserve(&mut self, bytes: usize) {
        self.buf.reserve(bytes);
    }

    #[inline]
    #[doc(hidden)]
    pub fn into_vec(self) -> Vec<u8> {
        self.buf
    }

    #[inline]
    #[doc(hidden)]
    pub fn put_u8(&mut self, byte: u8) {
        self.buf.push(byte);
    }

    #[inline]
    #[doc(hidden)]
    pub fn put_bool(&mut self, flag: bool) {
        self.buf.push(u8::from(flag));
    }

    /// Unsigned LEB128; most counts and lengths take the first branch.
    #[inline]
    #[doc(hidden)]
    pub fn put_u64_leb(&mut self, number: u64) {
        if number < 0x80 {
            self.buf.push(low_byte(number));
        } else {
            self.put_long_leb(number);
        }
    }

    fn put_long_leb(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.buf.push(low_byte(number) | 0x80);
            number >>= 7;
        }
        self.buf.push(low_byte(number));
    }

    /// LEB128 of a length or count.
    #[inline]
    #[doc(hidden)]
    pub fn put_len(&mut self, len: usize) {
        // No platform has a `usize` beyond 64 bits.
        self.put_u64_leb(len as u64);
    }

    /// Zigzag LEB128: numbers close to zero are short, whatever their sign.
    #[inline]
    #[doc(hidden)]
    pub fn put_i64_zigzag(&mut self, number: i64) {
        self.put_u64_leb((number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
    }

    #[inline]
    #[doc(hidden)]
    pub fn put_f32_bits(&mut self, bits: u32) {
        self.buf.extend_from_slice(&bits.to_le_bytes());
    }

    #[inline]
    #[doc(hidden)]
    pub fn put_f64_bits(&mut self, bits: u64) {
        self.buf.extend_from_slice(&bits.to_le_bytes());
    }

    #[inline]
    #[doc(hidden)]
    pub fn put_char(&mut self, char: char) {
        self.put_u64_leb(u64::from(u32::from(char)));
    }

    /// A string or `list<u8>`: its length and its bytes.
    #[inline]
    #[doc(hidden)]
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_len(bytes.len());
        self.buf.extend_from_slice(bytes);
    }

    /// Bytes verbatim, without a length.
    #[inline]
    #[doc(hidden)]
    pub fn put_raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }
}

/// The low eight bits.
#[inline]
fn low_byte(number: u64) -> u8 {
    number.to_le_bytes()[0]
}

/// Reads primitives from the front of a byte slice.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    #[doc(hidden)]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The number of bytes left.
    #[inline]
    #[doc(hidden)]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes left.
    #[inline]
    #[doc(hidden)]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    #[doc(hidden)]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.rest.split_first().ok_or(Malformed::UnexpectedEnd)?;
        self.rest = rest;
        Ok(byte)
    }

    /// A `bool`, whether an `option` is some, or whether a `result` is an error.
    #[inline]
    #[doc(hidden)]
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::BadBool),
        }
    }

    /// Unsigned LEB128 in its shortest form.
    #[inline]
    #[doc(hidden)]
    pub fn u64_leb(&mut self) -> Result<u64, Malformed> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_leb(),
        }
    }

    fn long_leb(&mut self) -> Result<u64, Malformed> {
        let mut number = 0u64;
        let mut shift = 0;
        loop {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte holds one bit only.
            if shift == 63 && bits > 1 {
                return Err(Malformed::BadLeb);
            }
            number |= bits << shift;
            if byte < 0x80 {
                let overlong = byte == 0 && shift > 0;
                return if overlong {
                    Err(Malformed::BadLeb)
                } else {
                    Ok(number)
                };
            }
            shift += 7;
            if shift > 63 {
                return Err(Malformed::BadLeb);
            }
        }
    }

    #[inline]
    #[doc(hidden)]
    pub fn u32_leb(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.u64_leb()?).map_err(|_| Malformed::BadLeb)
    }

    #[inline]
    #[doc(hidden)]
    pub fn u16_leb(&mut self) -> Result<u16, Malformed> {
        u16::try_from(self.u64_leb()?).map_err(|_| Malformed::BadLeb)
    }

    #[inline]
    #[doc(hidden)]
    pub fn i64_zigzag(&mut self) -> Result<i64, Malformed> {
        let bits = self.u64_leb()?;
        Ok((bits >> 1).cast_signed() ^ -((bits & 1).cast_signed()))
    }

    #[inline]
    #[doc(hidden)]
    pub fn i32_zigzag(&mut self) -> Result<i32, Malformed> {
        i32::try_from(self.i64_zigzag()?).map_err(|_| Malformed::BadLeb)
    }

    #[inline]
    #[doc(hidden)]
    pub fn i16_zigzag(&mut self) -> Result<i16, Malformed> {
        i16::try_from(self.i64_zigzag()?).map_err(|_| Malformed::BadLeb)
    }

    #[inline]
    #[doc(hidden)]
    pub fn f32_bits(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    #[doc(hidden)]
    pub fn f64_bits(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    #[doc(hidden)]
    pub fn char(&mut self) -> Result<char, Malformed> {
        char::from_u32(self.u32_leb()?).ok_or(Malformed::BadChar)
    }

    /// The index of a case of a type with `cases` cases.
    #[inline]
    #[doc(hidden)]
    pub fn case(&mut self, cases: usize) -> Result<usize, Malformed> {
        match usize::try_from(self.u64_leb()?) {
            Ok(index) if index < cases => Ok(index),
            _ => Err(Malformed::BadCase),
        }
    }

    /// A number of items that take at least `least` bytes each. It never exceeds what the remaining
    /// bytes can hold, unless `least` is 0.
    #[inline]
    #[doc(hidden)]
    pub fn count(&mut self, least: usize) -> Result<usize, Malformed> {
        let count = self.u64_leb()?;
        let count = usize::try_from(count).map_err(|_| Malformed::UnexpectedEnd)?;
        if least > 0 && count > self.remaining() / least {
            return Err(Malformed::UnexpectedEnd);
        }
        Ok(count)
    }

    /// The next `len` bytes.
    #[inline]
    #[doc(hidden)]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(Malformed::UnexpectedEnd)?;
        self.rest = rest;
        Ok(head)
    }

    /// A length and that many bytes: a `list<u8>`, or a string whose content is not checked.
    #[inline]
    #[doc(hidden)]
    pub fn byte_string(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.count(1)?;
        self.bytes(len)
    }

    /// A length and that many bytes of UTF-8.
    #[inline]
    #[doc(hidden)]
    pub fn str(&mut self) -> Result<&'a str, Malformed> {
        str::from_utf8(self.byte_string()?).map_err(|_| Malformed::BadUtf8)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(Malformed::UnexpectedEnd)?;
        self.rest = rest;
        Ok(*head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn overlong_and_oversized_numbers_are_refused() {
        for bytes in [
            &[0x80, 0x00][..],
            &[0xff; 10],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        ] {
            assert_eq!(
                Reader::new(bytes).u64_leb(),
                Err(Malformed::BadLeb),
                "{bytes:?}"
            );
        }
        assert_eq!(
            Reader::new(&[0x80]).u64_leb(),
            Err(Malformed::UnexpectedEnd)
        );
        assert_eq!(
            Reader::new(&[0x80, 0x80, 0x04]).u16_leb(),
            Err(Malformed::BadLeb)
        );
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        assert_eq!(
            Reader::new(&[3, b'a', b'b']).str(),
            Err(Malformed::UnexpectedEnd)
        );
        assert_eq!(
            Reader::new(&[0xff, 0xff, 3, 0]).count(1),
            Err(Malformed::UnexpectedEnd)
        );
        assert_eq!(
            Reader::new(&[2, 0, 0, 0]).count(2),
            Err(Malformed::UnexpectedEnd)
        );
    }

    #[test]
    fn surrogates_are_no_chars() {
        let mut out = Writer::default();
        out.put_u64_leb(0xd800);
        assert_eq!(Reader::new(&out.into_vec()).char(), Err(Malformed::BadChar));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn numbers_round_trip(unsigned: u64, signed: i64, shift in 0u32..64) {
            let (unsigned, signed) = (unsigned >> shift, signed >> shift);
            let mut out = Writer::default();
            out.put_u64_leb(unsigned);
            out.put_i64_zigzag(signed);
            let bytes = out.into_vec();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.u64_leb(), Ok(unsigned));
            prop_assert_eq!(reader.i64_zigzag(), Ok(signed));
            prop_assert!(reader.remaining() == 0);
        }
    }
}
