//! The fixed rules of a job's machine.

use super::pace::HandOver;
use crate::merge::tree::Shape;
use rwasm_value::ids::EngineId;
use std::fmt;
use std::str::FromStr;

/// The rules of one job.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// What becomes of the outcomes.
    pub(crate) delivery: Delivery,
    /// How often a failed task may run again.
    pub(crate) retries: u32,
    /// How many failed tasks the job tolerates.
    pub(crate) tolerance: Tolerance,
    /// Which engines its tasks run on.
    pub(crate) assignment: Assignment,
    /// The number of engines that may run its tasks.
    pub(crate) engines: usize,
    /// How much work a dispatch should carry, and how many are under way per engine.
    pub(crate) hand_over: HandOver,
    /// The number of tasks per dispatch, if it is given rather than learned.
    pub(crate) dispatch_size: Option<usize>,
    /// The most tasks that have been read and whose outcomes have not been delivered.
    pub(crate) max_outstanding: Option<usize>,
    /// The bytes available for inputs in memory and for outcomes that wait for their turn.
    pub(crate) held_budget: u64,
}

/// What becomes of the outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Each is emitted, in input order.
    Ordered,
    /// Each is emitted as its task ends.
    AsCompleted,
    /// The guest's reducer merges them, on the engines, in a tree of this shape.
    Reduced(Shape),
}

/// Which engines run the tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Assignment {
    /// Whichever is free.
    Any,
    /// Each chunk's engine is fixed beforehand and is one of these.
    Fixed(Vec<EngineId>),
}

/// How many failed tasks a job tolerates: a number such as `3`, or a percentage of all tasks such as `2%`, judged at
/// the end.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::Tolerance;
///
/// assert_eq!("3".parse::<Tolerance>()?, Tolerance::Count(3));
/// assert_eq!("2%".parse::<Tolerance>()?, Tolerance::Percent(2.0));
/// assert!("many".parse::<Tolerance>().is_err());
/// # Ok::<(), rwasm_cluster::ParseToleranceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Tolerance {
    /// This many tasks.
    Count(u64),
    /// This percentage of all tasks, rounded down.
    Percent(f64),
}

impl Tolerance {
    /// Returns how many of `tasks` tasks may fail.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "a share of a count, rounded down; what does not fit saturates"
    )]
    pub(crate) fn allowed(self, tasks: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (tasks as f64 * percent / 100.0) as u64,
        }
    }
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::Count(0)
    }
}

/// The error of parsing a [`Tolerance`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not a valid number of failures: write a number such as 3, or a percentage of all tasks such as 2%"
)]
pub struct ParseToleranceError {
    found: String,
}

impl FromStr for Tolerance {
    type Err = ParseToleranceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let tolerance = match text.strip_suffix('%') {
            None => text.parse().ok().map(Self::Count),
            Some(share) => share
                .parse()
                .ok()
                .filter(|share| (0.0..=100.0).contains(share))
                .map(Self::Percent),
        };
        tolerance.ok_or_else(|| ParseToleranceError {
            found: text.to_owned(),
        })
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_parse_and_print() {
        for text in ["0", "3", "2%", "0.5%", "100%"] {
            assert_eq!(text.parse::<Tolerance>().unwrap().to_string(), text);
        }
        for text in ["", "%", "-1", "101%", "-1%", "NaN%", "3 %", "x"] {
            let message = text.parse::<Tolerance>().unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("`{text}` is not a valid number of failures: ")),
                "{message}"
            );
        }
    }

    #[test]
    fn shares_round_down() {
        let allowed = |share: f64| Tolerance::Percent(share).allowed(150);
        assert_eq!(
            [allowed(0.0), allowed(0.5), allowed(1.0), allowed(100.0)],
            [0, 0, 1, 150]
        );
    }
}
