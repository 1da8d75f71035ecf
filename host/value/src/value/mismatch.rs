//! Where a value or a text does not fit a type: the path to the place, what was expected and
//! what was found.
//!
//! The packed form and the text forms share it, so that their messages have the same wording.

use super::Type;
use std::fmt;
use std::sync::Arc;

/// The error for a value, or the text of one, that does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: expected {expected}, found {found}")]
#[non_exhaustive]
pub struct Mismatch {
    /// The place in the value.
    pub path: Path,
    /// What was expected there.
    pub expected: String,
    /// What was found there.
    pub found: String,
}

impl Mismatch {
    pub(crate) fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            path: Path::default(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// Returns the same mismatch as seen from outside `step`.
    pub(crate) fn within(mut self, step: Step) -> Self {
        self.path.steps.push(step);
        self
    }

    pub(crate) fn of_type(found: impl Into<String>, expected: &Type) -> Self {
        Self::new(found, expected.to_string())
    }
}

/// A path into a value: `[3].1` is field 1 of element 3. The empty path is shown as `the value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// Innermost first, since an error collects them on its way out.
    steps: Vec<Step>,
}

impl Path {
    /// Whether the path is empty, so that it means the value itself.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Returns the steps, the outermost first.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().rev()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An element of a list, or an entry of a map.
    Index(usize),
    /// A field of a tuple.
    Field(usize),
    /// A field of a record, or the payload of a case.
    Name(Arc<str>),
    /// The key or value of a map's entry, the payload of an option, or a side of a result.
    Part(&'static str),
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("the value");
        }
        for step in self.steps.iter().rev() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Field(index) => write!(f, ".{index}")?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Part(part) => write!(f, ".{part}")?,
            }
        }
        Ok(())
    }
}
