//! Whether a task gives what it should on samples, and keeps the laws that its job relies on.
//!
//! A job may cut its input anywhere between lines, run each piece on any engine, twice if need be, and merge what
//! comes out in any grouping. What it gives is only then that of a serial loop when the task keeps these laws; here
//! they are tried on samples. `samples` reads them, `calls` knows their text, `reducer` the ways to merge parts,
//! `difference` what is told where two results differ; `checker` runs what is to be compared, `given` compares it.
//! Nothing is printed and no file is written.
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

pub use calls::{CallSample, Wanted};
pub use checker::{CheckError, Checker};
pub use difference::Difference;
pub use samples::{InputSample, Samples, SamplesError};

use std::fmt;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Law {
    /// It gives what the sample says.
    Expected,
    /// It gives the same each time, in a fresh instance.
    Again,
    /// It gives the same on one engine and on several, in either view.
    Engines,
    /// What a mapper and a reducer give does not depend on where the input is cut.
    Chunks,
    /// The reducer gives the same however neighbouring parts are grouped.
    Associative,
    /// The reducer leaves its own result as it is.
    Stable,
}

impl Law {
    /// The name that it has in JSON.
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

/// One law, tried on one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// The sample: the name of a file, or a call.
    pub subject: String,
    /// The law.
    pub law: Law,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The law is kept, as far as was tried: what the sample does.
    Kept(String),
    /// It is broken.
    Broken {
        /// How.
        message: String,
        /// Where two results differ, if that is it.
        difference: Option<Difference>,
    },
    /// The sample does not say what it should give, and so fails.
    Unsaid(String),
    /// The sample is not one on which it can be tried: why.
    Untried(String),
}

impl Check {
    fn new(subject: &str, law: Law, verdict: Verdict) -> Self {
        // It stands in one line, whatever files are called.
        let shown = subject.chars().flat_map(|letter| {
            let escaped = letter.is_control().then(|| letter.escape_default());
            let plain = escaped.is_none().then_some(letter);
            escaped.into_iter().flatten().chain(plain)
        });
        Self {
            subject: shown.collect(),
            law,
            verdict,
        }
    }

    /// Whether the law is broken, or nothing says what it asks for.
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

/// Writes the check as a line, and a difference as two more.
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
