//! Reads pushed values that are neither text nor bytes from JSON, as the host writes them.
//!
//! Integers may be in strings, as some programs write large ones; `"NaN"`, `"Infinity"` and
//! `"-Infinity"` are floats; bytes are base64.

use crate::lift::Lift;
use crate::ty::Ty;
use std::fmt;
use std::str::FromStr;

/// A parsed text.
pub type Json = serde_json::Value;

/// A mismatch with a type: the place, what was found and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    place: String,
    found: String,
    expected: String,
}

impl Mismatch {
    /// The value itself does not fit.
    #[must_use]
    pub fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            place: String::new(),
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// The value does not fit, which is this JSON.
    #[must_use]
    pub fn of(json: &Json, expected: &str) -> Self {
        let found = match json {
            Json::String(text) if text.len() > 40 => "a string".to_owned(),
            Json::Array(items) => format!("an array of {}", items.len()),
            Json::Object(entries) => format!("an object of {}", entries.len()),
            short => short.to_string(),
        };
        Self::new(found, expected)
    }

    /// The same, as seen from the record or case around it.
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        self.place.insert_str(0, &format!(".{name}"));
        self
    }

    /// The same, as seen from the list around it.
    #[must_use]
    pub fn within_item(mut self, number: usize) -> Self {
        self.place.insert_str(0, &format!("[{number}]"));
        self
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &*self.place {
            "" => "the value",
            place => place,
        };
        write!(
            f,
            "{place}: expected {}, found {}",
            self.expected, self.found
        )
    }
}

impl std::error::Error for Mismatch {}

pub(crate) fn parse(bytes: &[u8]) -> Result<Json, Mismatch> {
    serde_json::from_slice(bytes).map_err(|error| Mismatch::new(error.to_string(), "JSON"))
}

pub(crate) fn integer<T: FromStr>(json: &Json) -> Result<T, Mismatch> {
    let read = match json {
        // From the number's own digits, so that no range is lost; `1.0` is not an integer.
        Json::Number(number) => number.to_string().parse().ok(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| Mismatch::of(json, std::any::type_name::<T>()))
}

pub(crate) fn float(json: &Json) -> Result<f64, Mismatch> {
    let read = match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match &**text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text if text.bytes().any(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        },
        _ => None,
    };
    read.ok_or_else(|| Mismatch::of(json, "a float"))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the nearest f32 is what is meant"
)]
pub(crate) fn single(json: &Json) -> Result<f32, Mismatch> {
    let wide = float(json)?;
    let number = wide as f32;
    if number.is_infinite() && wide.is_finite() {
        return Err(Mismatch::of(json, "f32"));
    }
    Ok(number)
}

pub(crate) fn list<T: Lift>(json: &Json) -> Result<Vec<T>, Mismatch> {
    let item =
        |(number, json): (usize, &Json)| T::read(json).map_err(|error| error.within_item(number));
    match json {
        Json::Array(items) => items.iter().enumerate().map(item).collect(),
        Json::String(text) if matches!(T::TY, Ty::U8) => {
            let bytes = base64(text.as_bytes()).ok_or_else(|| Mismatch::of(json, "base64"))?;
            bytes
                .into_iter()
                .map(|byte| T::read(&byte.into()))
                .collect()
        }
        _ => Err(Mismatch::of(json, "an array")),
    }
}

/// Decodes base64.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"=").unwrap_or(text);
    let digits = digits.strip_suffix(b"=").unwrap_or(digits);
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    // The bits left over must be zero, or they would be lost.
    (bits & ((1 << count) - 1) == 0).then_some(bytes)
}

/// Returns the items of an array of exactly this length.
pub(crate) fn tuple(json: &Json, len: usize) -> Result<&[Json], Mismatch> {
    match json.as_array() {
        Some(items) if items.len() == len => Ok(items),
        _ => Err(Mismatch::of(json, &format!("an array of {len}"))),
    }
}

/// Returns the only entry of an object that has one.
#[must_use]
pub(crate) fn entry(json: &Json) -> Option<(&str, &Json)> {
    let object = json.as_object().filter(|object| object.len() == 1)?;
    let (name, json) = object.iter().next()?;
    Some((name, json))
}

/// A record while its fields are read.
pub struct Record<'a>(&'a serde_json::Map<String, Json>);

impl<'a> Record<'a> {
    /// Starts to read a record that has no other fields than these.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not an object, or has another field.
    pub fn new(json: &'a Json, fields: &[&str]) -> Result<Self, Mismatch> {
        let expected = || format!("an object of {}", fields.join(", "));
        let object = json.as_object();
        let object = object.ok_or_else(|| Mismatch::of(json, &expected()))?;
        match object.keys().find(|name| !fields.contains(&&***name)) {
            Some(other) => Err(Mismatch::new(format!("field {other}"), expected())),
            None => Ok(Self(object)),
        }
    }

    /// Reads a field; one that is an option may be missing.
    ///
    /// # Errors
    ///
    /// Returns an error if it is missing or does not fit.
    pub fn field<T: Lift>(&self, name: &str) -> Result<T, Mismatch> {
        let read = match self.0.get(name) {
            Some(json) => T::read(json),
            None if matches!(T::TY, Ty::Option(_)) => T::read(&Json::Null),
            None => Err(Mismatch::new("nothing", "a value")),
        };
        read.map_err(|error| error.within(name))
    }
}

/// Reads the case of a variant or an enum, and its payload.
///
/// # Errors
///
/// Returns an error if it is neither a string nor an object with one entry.
pub fn case<'a>(json: &'a Json, cases: &[&str]) -> Result<(&'a str, Option<&'a Json>), Mismatch> {
    let found = match json {
        Json::String(name) => Some((&**name, None)),
        _ => entry(json).map(|(name, json)| (name, Some(json))),
    };
    found
        .filter(|(name, _)| cases.contains(name))
        .ok_or_else(|| Mismatch::of(json, &cases.join(" or ")))
}

/// Reads the payload of a case.
///
/// # Errors
///
/// Returns an error if it is missing or does not fit.
pub fn payload<T: Lift>(name: &str, json: Option<&Json>) -> Result<T, Mismatch> {
    let read = match json {
        Some(json) => T::read(json),
        None => Err(Mismatch::new("nothing", "a value")),
    };
    read.map_err(|error| error.within(name))
}

/// Returns for each of these flags whether it is set.
///
/// # Errors
///
/// Returns an error if it is not an array of their names.
pub fn flags<const N: usize>(json: &Json, names: [&str; N]) -> Result<[bool; N], Mismatch> {
    let expected = || format!("an array of {}", names.join(", "));
    let set = json.as_array();
    let set = set.ok_or_else(|| Mismatch::of(json, &expected()))?;
    let mut flags = [false; N];
    for json in set {
        let number = names.iter().position(|name| json.as_str() == Some(name));
        flags[number.ok_or_else(|| Mismatch::of(json, &expected()))?] = true;
    }
    Ok(flags)
}
