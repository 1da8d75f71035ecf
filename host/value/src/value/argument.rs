//! The arguments of a call: values, or names of values that were pushed to an engine; and why a
//! call may be refused.
//!
//! Only the engine knows whether it has a value of some name, and of which type.

use super::mismatch::Mismatch;
use super::packed::{Packed, PackedError};
use super::{Type, Value};
use std::fmt;
use std::sync::Arc;

/// Refers to a value that was pushed to an engine, by its name. As an argument it stands for that
/// value, which must have the parameter's type. Each engine has its own values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    name: Arc<str>,
}

impl Reference {
    /// Refers to the value that was pushed as `name`.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into() }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn into_name(self) -> Arc<str> {
        self.name
    }
}

/// One argument of a call whose types are checked when it is made.
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
/// use rwasm_value::arguments;
/// use rwasm_value::value::{Argument, Reference};
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

/// An argument in the form in which it travels, already checked against its parameter. Public in
/// name only: the sealed traits of `typed` return it.
#[derive(Clone, Debug, PartialEq)]
pub enum PackedArgument {
    /// A value.
    Value(Packed),
    /// A value that the engine has under this name, to be checked there.
    Reference {
        /// The name.
        name: Arc<str>,
        /// The type of the parameter.
        ty: Type,
    },
}

/// The error for arguments that a function cannot be called with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// There are too many or too few arguments.
    #[error(
        "expected {}, found {found}",
        ExpectedArguments(.params),
    )]
    Count {
        /// The number of arguments.
        found: usize,
        /// The function's parameters, each as `name: type`.
        params: Vec<String>,
    },
    /// An argument does not have its parameter's type.
    #[error("argument {position} (`{name}`): {}", Inner(.mismatch))]
    Mismatch {
        /// The argument's position, from 1.
        position: usize,
        /// The parameter's name.
        name: String,
        /// Where in the argument, what was expected and what was found.
        mismatch: Mismatch,
    },
    /// An argument is a text that is not a value.
    #[error("argument {position} (`{name}`): expected {}, found `{found}`: {reason}", .expected.brief())]
    Text {
        /// The argument's position, from 1.
        position: usize,
        /// The parameter's name.
        name: String,
        /// The text, shortened if it is long.
        found: String,
        /// The parameter's type.
        expected: Type,
        /// What the parsers report.
        reason: String,
    },
    /// A line of text is not a list of arguments.
    #[error("expected {}, found `{found}`: {reason}", ExpectedArguments(.params))]
    Line {
        /// The line, shortened if it is long.
        found: String,
        /// The function's parameters, each as `name: type`.
        params: Vec<String>,
        /// What the parsers report.
        reason: String,
    },
    /// An argument has its parameter's type but is too large or too deep to be packed.
    #[error("argument {position} (`{name}`): {reason}")]
    Unpackable {
        /// The argument's position, from 1.
        position: usize,
        /// The parameter's name.
        name: String,
        /// Why it cannot be packed.
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

    /// Makes the error of the parameter at `index`, counted from 0.
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
    let each = params
        .iter()
        .map(|(name, ty)| format!("{name}: {}", ty.brief()));
    each.collect()
}

/// Shows how many and which: `2 arguments (a: u64, b: string)`.
struct ExpectedArguments<'a>(&'a [String]);

impl fmt::Display for ExpectedArguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("no arguments"),
            [one] => write!(f, "1 argument ({one})"),
            several => write!(f, "{} arguments ({})", several.len(), several.join(", ")),
        }
    }
}

/// Shows a mismatch inside an argument; without a path if it concerns the argument itself.
struct Inner<'a>(&'a Mismatch);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch {
            path,
            expected,
            found,
        } = self.0;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "expected {expected}, found {found}")
    }
}
