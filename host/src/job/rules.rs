//! What a job's machine goes by, fixed when the job is made.

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
    /// How many failed tasks the job bears.
    pub(crate) tolerance: Tolerance,
    /// Which engines its tasks run on.
    pub(crate) assignment: Assignment,
    /// The number of engines that may run its tasks.
    pub(crate) engines: usize,
    /// What a dispatch should be worth, and how many are under way per engine.
    pub(crate) hand_over: HandOver,
    /// Tasks of a dispatch, where their number is given and not learnt.
    pub(crate) dispatch_size: Option<usize>,
    /// Tasks that have been read and whose outcomes are not out, at most.
    pub(crate) max_outstanding: Option<usize>,
    /// Bytes of inputs in memory and of outcomes that wait for their turn.
    pub(crate) held_budget: u64,
}

/// What becomes of the outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Each is emitted, in input order.
    Ordered,
    /// Each is emitted as it comes.
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

/// How many failed tasks a job bears: `3`, or `2%` of all, judged at the end.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Tolerance {
    /// So many.
    Count(u64),
    /// So many of a hundred.
    Percent(f64),
}

impl Tolerance {
    /// How many of `tasks` tasks may fail.
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

/// A text that is no tolerance.
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
