//! What a call is given: values, or the names of values that were pushed to an engine, and why
//! it may be refused.
//!
//! Whether an engine has a value of some name, and what it is, is known to the engine alone.

use super::mismatch::Mismatch;
use super::packed::{Packed, PackedError};
use super::{Type, Value};
use std::fmt;
use std::sync::Arc;

/// Names a value that was pushed to an engine. As an argument it stands for that value, which
/// must be of the parameter's type; each engine has its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    name: Arc<str>,
}

impl Reference {
    /// The value that was pushed under `name`.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into() }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn into_name(self) -> Arc<str> {
        self.name
    }
}

/// One argument of a call whose types are looked at only when it is made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Argument {
    /// A value.
    Value(Value),
    /// A value that was pushed to the engine.
    Reference(Reference),
}

impl<T: Into<Value>> From<T> for Argument {
    fn from(value: T) -> Self {
        Self::Value(value.into())
    }
}

impl From<Reference> for Argument {
    fn from(reference: Reference) -> Self {
        Self::Reference(reference)
    }
}

/// The arguments of a dynamic call, each of which is a [`Value`], a [`Reference`], or anything
/// that becomes a `Value`.
///
/// ```
/// use rwasm_cluster::{Argument, Reference, arguments};
///
/// let arguments: Vec<Argument> = arguments!["text", 5_u32, Reference::new("weights")];
/// assert_eq!(arguments[1], Argument::Value(5_u32.into()));
/// ```
#[macro_export]
macro_rules! arguments {
    ($($argument:expr),* $(,)?) => {
        ::std::vec![$($crate::Argument::from($argument)),*]
    };
}

/// An argument in the form in which it travels, known to fit its parameter. Public in name only,
/// as what the sealed traits of `typed` give.
#[derive(Clone, Debug, PartialEq)]
pub enum PackedArgument {
    /// A value.
    Value(Packed),
    /// A value that the engine has under this name, to be checked there.
    Reference {
        /// The name.
        name: Arc<str>,
        /// The type that the parameter has.
        ty: Type,
    },
}

/// Why a function cannot be called with these arguments.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// There are too many or too few.
    #[error(
        "found {found} argument{}, wanted {}",
        if *.found == 1 { "" } else { "s" },
        Wanted(.params),
    )]
    Count {
        /// How many there are.
        found: usize,
        /// The function's parameters, each as `name: type`.
        params: Vec<String>,
    },
    /// One is not of its parameter's type.
    #[error("argument {position} (`{name}`): {}", Inner(.mismatch))]
    Mismatch {
        /// Which, counted from 1.
        position: usize,
        /// The parameter.
        name: String,
        /// Where in the argument, what was found and what was wanted.
        mismatch: Mismatch,
    },
    /// One is a text that is no value at all.
    #[error("argument {position} (`{name}`): found `{found}`, wanted {wanted}: {reason}")]
    Text {
        /// Which, counted from 1.
        position: usize,
        /// The parameter.
        name: String,
        /// The text, or its beginning.
        found: String,
        /// The parameter's type.
        wanted: Type,
        /// What the parsers say.
        reason: String,
    },
    /// A line of text is not a list of arguments.
    #[error("found `{found}`, wanted {}: {reason}", Wanted(.params))]
    Line {
        /// The line, or its beginning.
        found: String,
        /// The function's parameters, each as `name: type`.
        params: Vec<String>,
        /// What the parsers say.
        reason: String,
    },
    /// One is of its type but too large or too deep to be packed.
    #[error("argument {position} (`{name}`): {reason}")]
    Unpackable {
        /// Which, counted from 1.
        position: usize,
        /// The parameter.
        name: String,
        /// Why.
        reason: PackedError,
    },
}

impl ArgumentError {
    pub(crate) fn count(found: usize, params: &[(String, Type)]) -> Self {
        Self::Count {
            found,
            params: described(params),
        }
    }

    pub(crate) fn line(found: String, params: &[(String, Type)], reason: String) -> Self {
        Self::Line {
            found,
            params: described(params),
            reason,
        }
    }

    /// The error of the parameter at `index`, counted from 0.
    #[doc(hidden)]
    pub fn packing(index: usize, name: &str, error: PackedError) -> Self {
        let (position, name) = (index + 1, name.to_owned());
        match error {
            PackedError::Mismatch(mismatch) => Self::Mismatch {
                position,
                name,
                mismatch,
            },
            reason => Self::Unpackable {
                position,
                name,
                reason,
            },
        }
    }
}

fn described(params: &[(String, Type)]) -> Vec<String> {
    let each = params.iter().map(|(name, ty)| format!("{name}: {ty}"));
    each.collect()
}

/// `none`, or how many and which: `2 (a: u64, b: string)`.
struct Wanted<'a>(&'a [String]);

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("none"),
            params => write!(f, "{} ({})", params.len(), params.join(", ")),
        }
    }
}

/// A mismatch inside an argument; of the argument itself, no path need be said.
struct Inner<'a>(&'a Mismatch);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch {
            path,
            found,
            wanted,
        } = self.0;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "found {found}, wanted {wanted}")
    }
}
