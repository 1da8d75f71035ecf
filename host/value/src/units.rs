//! Byte sizes as people write them: `64KiB`, `256MiB`, `1GB`, `4096`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A number of bytes that parses and prints with a unit, and serializes as a plain number.
///
/// Units are powers of 1024 (`KiB`, `MiB`, `GiB`) or of 1000 (`KB`, `MB`, `GB`); a number without a
/// unit counts bytes.
///
/// # Examples
///
/// ```
/// use rwasm_value::units::ByteSize;
///
/// let size: ByteSize = "64KiB".parse()?;
/// assert_eq!(size, ByteSize::kib(64));
/// assert_eq!(size.bytes(), 65_536);
/// assert_eq!(size.to_string(), "64KiB");
/// assert!("64 lightyears".parse::<ByteSize>().is_err());
/// # Ok::<(), rwasm_value::units::ParseByteSizeError>(())
/// ```
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteSize(u64);

/// Durations in data: a number of seconds.
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
        // The longest duration is slightly longer as a floating-point number of seconds.
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

/// A duration that may be missing, as seconds with fractions.
pub mod optional_seconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Seconds(#[serde(with = "super::seconds")] Duration);

    /// Writes it.
    ///
    /// # Errors
    /// If the serializer fails.
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(Seconds).serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// If it is not a number of seconds.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Seconds>::deserialize(deserializer)?.map(|seconds| seconds.0))
    }
}

impl ByteSize {
    /// A size of `bytes` bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size of `n` × 1024 bytes.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    /// A size of `n` × 1024 × 1024 bytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Returns the number of bytes as a length in memory, or `usize::MAX` if it does not fit.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        for (unit, name) in UNITS {
            // A round number prints exactly, and so parses back to itself. Others are rounded to
            // one decimal.
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

/// The error for a text that is not a valid byte size.
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
