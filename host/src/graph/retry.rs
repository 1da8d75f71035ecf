//! Which failures are retried, how often, and after which pause.

use rwasm_sandbox::outcome::FailureCode;
use std::fmt;
use std::ops::{BitOr, BitOrAssign};
use std::str::FromStr;
use std::time::Duration;

/// Which failures of a task are retried, how often, and after which pause. By default, none is.
///
/// If every attempt fails, the failure of the last one is the task's. An attempt may run on the same engine as the
/// one before it.
///
/// # Examples
/// ```
/// use rwasm_cluster::{Backoff, FailureSet, Retry};
/// use std::time::Duration;
///
/// let retry = Retry::times(3)
///     .on(FailureSet::ENGINE_LOST | FailureSet::TIMEOUT)
///     .backoff(Backoff::exponential(Duration::from_millis(100), Duration::from_secs(5)));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Retry {
    /// How many attempts may follow the first.
    pub retries: u32,
    /// The failures that are retried.
    pub on: FailureSet,
    /// The pause before each further attempt.
    pub backoff: Backoff,
}

impl Retry {
    /// Retries up to this many times, without a pause, after any failure in [`FailureSet::ALL`].
    #[must_use]
    pub fn times(retries: u32) -> Self {
        Self {
            retries,
            ..Self::default()
        }
    }

    /// Retries only after these failures.
    #[must_use]
    pub fn on(mut self, failures: FailureSet) -> Self {
        self.on = failures;
        self
    }

    /// Pauses this long before each further attempt.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Returns the pause before the attempt that follows this one, counted from 1, after a failure with this code;
    /// `None` if none follows.
    pub(crate) fn next(&self, attempt: u32, code: FailureCode) -> Option<Duration> {
        let is_followed = attempt <= self.retries && self.on.contains(code);
        is_followed.then(|| self.backoff.pause(attempt))
    }
}

/// A set of classes of failures, combined with `|`.
///
/// Some failures belong to no class, because another attempt would fail in the same way: a task that was cancelled,
/// whose dependency failed, whose input does not fit or is too large, or whose grants are refused.
///
/// Parses from `all`, `none` or a comma-separated list such as `timeout,engine-lost`, and formats as such.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FailureSet(u8);

impl FailureSet {
    /// No failure.
    pub const NONE: Self = Self(0);
    /// The engine died: `engine-lost`.
    pub const ENGINE_LOST: Self = Self(1);
    /// The guest, or the host beneath it, broke: `trap`, `stack-overflow`, `bad-output`, `import-denied`, `internal`.
    pub const TRAP: Self = Self(1 << 1);
    /// The task ran for too long: `timeout`.
    pub const TIMEOUT: Self = Self(1 << 2);
    /// The task exceeded a limit: `memory-limit`, `fuel-exhausted`, `output-limit`.
    pub const LIMIT: Self = Self(1 << 3);
    /// The guest reported an error: `guest-error`, `exit-code`.
    pub const GUEST_ERROR: Self = Self(1 << 4);
    /// Every failure that another attempt may avoid.
    pub const ALL: Self = Self((1 << 5) - 1);

    /// The classes with their names on the command line.
    const NAMES: [(&str, Self); 5] = [
        ("engine-lost", Self::ENGINE_LOST),
        ("trap", Self::TRAP),
        ("timeout", Self::TIMEOUT),
        ("limit", Self::LIMIT),
        ("guest-error", Self::GUEST_ERROR),
    ];

    /// Returns whether the set contains failures with this code.
    #[must_use]
    pub const fn contains(self, code: FailureCode) -> bool {
        let class = match code {
            FailureCode::EngineLost => Self::ENGINE_LOST,
            FailureCode::Trap
            | FailureCode::StackOverflow
            | FailureCode::BadOutput
            | FailureCode::ImportDenied
            | FailureCode::Internal => Self::TRAP,
            FailureCode::Timeout => Self::TIMEOUT,
            FailureCode::MemoryLimit | FailureCode::FuelExhausted | FailureCode::OutputLimit => {
                Self::LIMIT
            }
            FailureCode::GuestError | FailureCode::ExitCode => Self::GUEST_ERROR,
            FailureCode::Cancelled
            | FailureCode::DependencyFailed
            | FailureCode::BadInput
            | FailureCode::InputLimit
            | FailureCode::CompileLimit
            | FailureCode::PolicyDenied => Self::NONE,
        };
        self.0 & class.0 != 0
    }
}

impl Default for FailureSet {
    fn default() -> Self {
        Self::ALL
    }
}

impl BitOr for FailureSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for FailureSet {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl fmt::Display for FailureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => return f.write_str("none"),
            Self::ALL => return f.write_str("all"),
            _ => {}
        }
        let mut separator = "";
        for (name, class) in Self::NAMES {
            if self.0 & class.0 != 0 {
                write!(f, "{separator}{name}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

impl fmt::Debug for FailureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FailureSet({self})")
    }
}

/// The error of parsing a [`FailureSet`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not a valid set of failures: write all, none, or a comma-separated list of engine-lost, trap, timeout, limit and \
     guest-error"
)]
pub struct ParseFailureSetError {
    found: String,
}

impl FromStr for FailureSet {
    type Err = ParseFailureSetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "all" => return Ok(Self::ALL),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        let mut set = Self::NONE;
        for word in text.split(',').map(str::trim) {
            let known = Self::NAMES.iter().find(|(name, _)| *name == word);
            let (_, class) = known.ok_or_else(|| ParseFailureSetError {
                found: word.to_owned(),
            })?;
            set |= *class;
        }
        Ok(set)
    }
}

/// The pause before another attempt, which grows by a factor with each further one, up to a maximum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    first: Duration,
    factor: f64,
    max: Duration,
}

impl Backoff {
    /// No pause.
    #[must_use]
    pub const fn none() -> Self {
        Self::fixed(Duration::ZERO)
    }

    /// The same pause each time.
    #[must_use]
    pub const fn fixed(pause: Duration) -> Self {
        Self {
            first: pause,
            factor: 1.0,
            max: pause,
        }
    }

    /// A pause that doubles each time, up to a maximum.
    #[must_use]
    pub const fn exponential(first: Duration, max: Duration) -> Self {
        Self {
            first,
            factor: 2.0,
            max,
        }
    }

    /// Sets the growth factor. NaN and negative factors count as 1.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = if factor >= 0.0 { factor } else { 1.0 };
        self
    }

    /// Returns the pause after the failure of this attempt, counted from 1.
    #[must_use]
    pub fn pause(&self, attempt: u32) -> Duration {
        let steps = attempt.saturating_sub(1);
        let grows = (self.factor - 1.0).abs() > f64::EPSILON;
        if steps == 0 || self.first.is_zero() || !grows {
            return self.first.min(self.max);
        }
        let seconds = self.first.as_secs_f64() * self.factor.powf(f64::from(steps));
        // What no `Duration` can hold is longer than the longest.
        Duration::try_from_secs_f64(seconds).map_or(self.max, |pause| pause.min(self.max))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sets_parse_and_print() {
        for text in [
            "all",
            "none",
            "trap",
            "engine-lost,trap",
            "timeout,limit,guest-error",
        ] {
            assert_eq!(text.parse::<FailureSet>().unwrap().to_string(), text);
        }
        assert_eq!(
            " trap , engine-lost,trap".parse(),
            Ok(FailureSet::ENGINE_LOST | FailureSet::TRAP)
        );
        assert_eq!(
            "engine-lost,trap,timeout,limit,guest-error".parse(),
            Ok(FailureSet::ALL)
        );
        for (text, found) in [
            ("", ""),
            ("trap,", ""),
            ("trap,oom", "oom"),
            ("Trap", "Trap"),
            ("all,trap", "all"),
            ("cancelled", "cancelled"),
        ] {
            let message = text.parse::<FailureSet>().unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("`{found}` is not a valid set of failures: ")),
                "{message}"
            );
        }
    }

    #[test]
    fn each_failure_is_of_one_class_or_never_tried_again() {
        use FailureCode as Code;
        let classes = FailureSet::NAMES.map(|(_, class)| class);
        let of = |code| classes.map(|class| u8::from(class.contains(code)));
        for (code, class) in [
            (Code::EngineLost, Some(0)),
            (Code::Trap, Some(1)),
            (Code::StackOverflow, Some(1)),
            (Code::BadOutput, Some(1)),
            (Code::ImportDenied, Some(1)),
            (Code::Internal, Some(1)),
            (Code::Timeout, Some(2)),
            (Code::MemoryLimit, Some(3)),
            (Code::FuelExhausted, Some(3)),
            (Code::OutputLimit, Some(3)),
            (Code::GuestError, Some(4)),
            (Code::ExitCode, Some(4)),
            (Code::Cancelled, None),
            (Code::DependencyFailed, None),
            (Code::BadInput, None),
            (Code::InputLimit, None),
            (Code::PolicyDenied, None),
        ] {
            let mut wanted = [0; 5];
            if let Some(class) = class {
                wanted[class] = 1;
            }
            assert_eq!(of(code), wanted, "{code}");
            assert_eq!(FailureSet::ALL.contains(code), class.is_some(), "{code}");
            assert!(!FailureSet::NONE.contains(code), "{code}");
        }
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let seconds = Duration::from_secs;
        let pauses = |backoff: Backoff| [1, 2, 3, 4, 5].map(|attempt| backoff.pause(attempt));
        assert_eq!(pauses(Backoff::none()), [Duration::ZERO; 5]);
        assert_eq!(pauses(Backoff::fixed(seconds(3))), [seconds(3); 5]);
        assert_eq!(
            pauses(Backoff::exponential(seconds(1), seconds(6))),
            [1, 2, 4, 6, 6].map(seconds)
        );
        assert_eq!(
            pauses(Backoff::exponential(seconds(1), seconds(60)).factor(3.0)),
            [1, 3, 9, 27, 60].map(seconds)
        );
        assert_eq!(
            Backoff::exponential(seconds(9), seconds(4)).pause(1),
            seconds(4)
        );
        assert_eq!(Backoff::fixed(seconds(3)).pause(0), seconds(3));
        assert_eq!(Backoff::fixed(Duration::MAX).pause(7), Duration::MAX);
        assert_eq!(
            Backoff::exponential(seconds(1), seconds(60))
                .factor(f64::NAN)
                .pause(9),
            seconds(1)
        );
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_the_longest(
            first in 0_u64..u64::MAX, max in 0_u64..u64::MAX, factor in any::<f64>(), attempt in any::<u32>(),
        ) {
            let max = Duration::from_nanos(max);
            let backoff = Backoff::exponential(Duration::from_nanos(first), max).factor(factor);
            prop_assert!(backoff.pause(attempt) <= max);
        }

        #[test]
        fn doubled_pauses_do_not_shrink(first in 0_u64..1_000_000, attempt in 1_u32..2000) {
            let backoff = Backoff::exponential(Duration::from_micros(first), Duration::MAX);
            prop_assert!(backoff.pause(attempt) <= backoff.pause(attempt + 1));
        }
    }
}
