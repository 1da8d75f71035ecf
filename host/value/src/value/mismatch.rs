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
        Self::new(found, expected.brief().to_string())
    }

    /// A name that is not among those of a type with named parts. Of many, the one that may be meant is told.
    pub(crate) fn of_name<'a>(
        what: &str,
        name: &str,
        known: impl ExactSizeIterator<Item = &'a str>,
        expected: &Type,
    ) -> Self {
        const MANY: usize = 8;
        let (count, found) = (known.len(), format!("{what} `{name}`"));
        if count <= MANY {
            return Self::of_type(found, expected);
        }
        let nearest = known.map(|known| (distance(known, name), known)).min();
        let near = nearest.filter(|(distance, _)| *distance <= name.len().div_ceil(3));
        let expected = match near {
            Some((_, near)) => format!("one of {count} {what}s, such as `{near}`"),
            None => expected.brief().to_string(),
        };
        Self::new(found, expected)
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

/// The most of a name that is compared.
const COMPARED: usize = 64;

/// How many characters have to be inserted, removed or replaced to make one name of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(COMPARED).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().take(COMPARED).enumerate() {
        let mut corner = index;
        let mut left = index + 1;
        for (above, same) in row.iter_mut().skip(1).zip(&other) {
            let replaced = corner + usize::from(letter != *same);
            corner = *above;
            left = replaced.min(left + 1).min(corner + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_names_is_counted_in_letters() {
        for (one, other, letters) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("field-12", "field_12", 1),
        ] {
            assert_eq!(distance(one, other), letters, "{one} {other}");
            assert_eq!(distance(other, one), letters, "{other} {one}");
        }
    }

    #[test]
    fn the_field_that_may_be_meant_is_told_of_many() {
        let names: Vec<String> = (0..60).map(|index| format!("field-{index}")).collect();
        let names = || names.iter().map(String::as_str);
        let ty = Type::Flags(names().map(Into::into).collect());
        let told = |name| Mismatch::of_name("field", name, names(), &ty).to_string();
        assert_eq!(
            told("field_12"),
            "the value: expected one of 60 fields, such as `field-12`, found field `field_12`"
        );
        assert!(told("size").ends_with(", … 52 more }, found field `size`"));
    }
}
