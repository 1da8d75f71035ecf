//! Checks a task on samples: its expected results, and the laws that its job relies on.
//!
//! A job may cut its input anywhere between lines, run each piece on any engine, more than once if need be, and merge
//! the results in any grouping. Its result equals that of a serial loop only if the task keeps certain laws, and
//! these are tried on samples. `samples` reads the samples, `calls` parses their calls, `reducer` lists the ways to
//! merge parts, `checker` runs what is to be compared, `given` compares it, and `difference` shows where two results
//! differ. Nothing is printed and no file is written.
//!
//! ```no_run
//! use rwasm_cluster::check::{Checker, Samples};
//! use rwasm_cluster::{Cluster, JobSpec, Module};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let module = Module::from_file("wordcount.wasm")?;
//! let samples = Samples::read("samples".as_ref())?;
//! let (one, many) = (
//!     Cluster::builder().engines(1).start()?,
//!     Cluster::builder().engines(4).start()?,
//! );
//! let checker = Checker::new(&module, JobSpec::default(), &one, &many);
//! for input in &samples.inputs {
//!     for check in checker.input(input)? {
//!         assert!(!check.is_broken(), "{check}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod calls;
mod checker;
mod difference;
mod given;
mod reducer;
mod samples;

pub use calls::{CallSample, ExpectedResult};
pub use checker::{CheckError, Checker};
pub use difference::Difference;
pub use samples::{InputSample, Samples, SamplesError};

use rwasm_value::plain::in_line;
use std::fmt;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Law {
    /// The result is the expected one.
    Expected,
    /// The result is the same each time, in a fresh instance.
    Again,
    /// The result is the same on one engine and on several, in either view.
    Engines,
    /// The merged result does not depend on where the input is cut.
    Chunks,
    /// The reducer gives the same result however neighboring parts are grouped.
    Associative,
    /// The reducer leaves its own result unchanged.
    Stable,
}

impl Law {
    /// Returns its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::Again => "again",
            Self::Engines => "engines",
            Self::Chunks => "chunks",
            Self::Associative => "associative",
            Self::Stable => "stable",
        }
    }
}

/// The verdict on one law, tried on one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// The sample: the name of a file, or a call.
    pub subject: String,
    /// The law.
    pub law: Law,
    /// The verdict.
    pub verdict: Verdict,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The law held in every way that was tried; says in which.
    Kept(String),
    /// The law is broken.
    Broken {
        /// How it is broken.
        message: String,
        /// Where two results differ, if they do.
        difference: Option<Difference>,
    },
    /// The sample has no expected result, which counts as failing.
    Unsaid(String),
    /// The law cannot be tried on this sample; says why.
    Untried(String),
}

impl Check {
    fn new(subject: &str, law: Law, verdict: Verdict) -> Self {
        Self {
            // It stands in one line, whatever files are called.
            subject: in_line(subject),
            law,
            verdict,
        }
    }

    /// Returns whether the law is broken, or the sample has no expected result.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self.verdict, Verdict::Broken { .. } | Verdict::Unsaid(_))
    }
}

impl Verdict {
    fn kept(how: impl Into<String>) -> Self {
        Self::Kept(how.into())
    }

    fn broken(message: impl Into<String>) -> Self {
        Self::Broken {
            message: message.into(),
            difference: None,
        }
    }

    fn untried(why: impl Into<String>) -> Self {
        Self::Untried(why.into())
    }
}

/// Formats the check as one line, and a difference as two more.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, .. } = self;
        match &self.verdict {
            Verdict::Kept(how) | Verdict::Unsaid(how) => write!(f, "{subject}: {how}"),
            Verdict::Untried(why) => write!(f, "{subject}: not tried: {why}"),
            Verdict::Broken {
                message,
                difference,
            } => {
                write!(f, "{subject}: {message}")?;
                match difference {
                    Some(difference) => write!(f, "\n{difference}"),
                    None => Ok(()),
                }
            }
        }
    }
}
