//! Byte sizes as people write them: `64KiB`, `256MiB`, `1GB`, `4096`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A number of bytes that parses and prints with units. In data it is the number.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteSize(u64);

/// Times in data: a number of seconds.
#[doc(hidden)]
pub mod seconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use std::time::Duration;

    #[doc(hidden)]
    pub fn serialize<S: Serializer>(time: &Duration, out: S) -> Result<S::Ok, S::Error> {
        time.as_secs_f64().serialize(out)
    }

    #[doc(hidden)]
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(from)?;
        if seconds.is_nan() || seconds < 0.0 {
            return Err(D::Error::custom("a time cannot be negative"));
        }
        // The longest time is a little longer as a number of seconds.
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

impl ByteSize {
    /// `bytes` bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// `n` × 1024 bytes.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    /// `n` × 1024 × 1024 bytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory; the largest one where it does not fit.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        for (unit, name) in UNITS {
            // A round number prints exactly and so parses back to itself; one with more digits
            // than people read is no longer round.
            if self.0 >= unit && self.0.is_multiple_of(unit) && self.0 / unit < 10_000 {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        for (unit, name) in UNITS {
            if self.0 >= unit {
                #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
                return write!(f, "{:.1}{name}", self.0 as f64 / unit as f64);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// A text that is no byte size.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{found}` is not a valid size: write a number of bytes, or a number with a unit, like 64KiB, 256MiB or 1GB"
)]
pub struct ParseByteSizeError {
    found: String,
}

impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseByteSizeError {
            found: text.to_owned(),
        };
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(error());
        }
        bytesize::ByteSize::from_str(text)
            .map(|size| Self(size.0))
            .map_err(|_| error())
    }
}
