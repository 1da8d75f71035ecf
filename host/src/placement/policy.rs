//! The policies by which an engine is chosen, and their names.

use std::fmt;
use std::str::FromStr;

/// How an engine is chosen among those that may take the next dispatch.
///
/// Only engines with room are candidates. If all tasks take about the same time, the policies differ little; if their
/// times differ widely, policies by load do better than those by time of last use.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Cluster, Policy};
///
/// let policy: Policy = "twobin".parse()?;
/// let cluster = Cluster::builder().engines(2).policy(policy).start()?;
/// assert_eq!(cluster.engines().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The engine with the fewest dispatches; of several, the least recently used. Named `leastload`; the default.
    #[default]
    LeastLoad,
    /// The least recently used engine. Named `lru`.
    LeastRecentlyUsed,
    /// Any engine, with equal probability. Named `random`.
    Random,
    /// Of two engines drawn at random, which may be the same, the one with fewer dispatches; of equals, the least
    /// recently used. Named `twobin`.
    TwoBin,
    /// Like [`TwoBin`](Self::TwoBin), but engines with fewer dispatches are drawn more often: one with none a million
    /// times as often as one with one. Named `weighted`.
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

/// The error of parsing a [`Policy`].
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
