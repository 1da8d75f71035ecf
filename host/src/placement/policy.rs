//! The ways to choose an engine, by their names.

use std::fmt;
use std::str::FromStr;

/// How an engine is chosen among those that may take what comes next.
///
/// Only engines with room are candidates. Where all have the same to do, the policies differ little; where tasks are
/// of very different length, the load tells more than the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The engine with the fewest dispatches; of several, the one that was given none for longest. Named `leastload`.
    #[default]
    LeastLoad,
    /// The engine that was given none for longest. Named `lru`.
    LeastRecentlyUsed,
    /// Each engine with the same probability. Named `random`.
    Random,
    /// Two engines at random, which may be the same, and of them the one with fewer dispatches; of equals, the one that
    /// was given none for longest. Named `twobin`.
    TwoBin,
    /// Like [`TwoBin`](Self::TwoBin), but an engine is drawn the more often the fewer dispatches it has, one with none
    /// a million times as often as one with one. Named `weighted`.
    Weighted,
}

impl Policy {
    pub(super) const ALL: [Self; 5] = [
        Self::LeastLoad,
        Self::LeastRecentlyUsed,
        Self::Random,
        Self::TwoBin,
        Self::Weighted,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::LeastLoad => "leastload",
            Self::LeastRecentlyUsed => "lru",
            Self::Random => "random",
            Self::TwoBin => "twobin",
            Self::Weighted => "weighted",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a valid policy: write leastload, lru, random, twobin or weighted")]
pub struct ParsePolicyError {
    found: String,
}

impl FromStr for Policy {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.name() == text)
            .ok_or_else(|| ParsePolicyError {
                found: text.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for policy in Policy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!(Policy::default().to_string(), "leastload");
    }

    #[test]
    fn an_unknown_name_is_told_with_those_there_are() {
        let error = "Random".parse::<Policy>().unwrap_err().to_string();
        assert!(
            error.starts_with("`Random` is not a valid policy"),
            "{error}"
        );
        for policy in Policy::ALL {
            assert!(error.contains(policy.name()), "{error}");
        }
    }
}
