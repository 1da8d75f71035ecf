//! What a job is to do, as specified by its user.

use super::plan::{Plan, PlanError};
use crate::merge::Builtin;
use crate::view::shared::settings::{JobSettings, TaskSettings};
use crate::view::shared::targets::Targets;
use rwasm_sandbox::chunk::Chunking;
use rwasm_sandbox::input::Reading;
use rwasm_sandbox::sandbox::Module;
use rwasm_value::value::Type;
use std::fmt;
use std::str::FromStr;

/// A map over inputs, and the merge of its outcomes. Start from [`JobSpec::default`] and change what should differ.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Builtin, Chunking, JobSpec, Retry};
/// use std::num::NonZeroU64;
///
/// let mut spec = JobSpec::default();
/// spec.map = Some("count-words".to_owned());
/// spec.merge = Builtin::Sum.into();
/// spec.chunking = NonZeroU64::new(1000).map(Chunking::Lines);
/// spec.job.max_failures = "2%".parse()?;
/// spec.task.retry = Retry::times(3);
/// # Ok::<(), rwasm_cluster::ParseToleranceError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct JobSpec {
    /// The function to map; by default the one named `mapper`, or the only one that fits.
    pub map: Option<String>,
    /// How the outcomes are merged.
    pub merge: Merge,
    /// How the inputs are cut; by default according to the module's form.
    pub chunking: Option<Chunking>,
    /// How the bytes of inputs are read before they are cut.
    pub reading: Reading,
    /// Which engines run the tasks.
    pub view: ViewKind,
    /// Whether a [`Builtin::Concat`] delivers its outcomes in input order instead of joining them: the caller
    /// joins them as they come. Other merges are not affected.
    pub streamed: bool,
    /// The arguments of a WASI command, without its own name.
    pub arguments: Vec<String>,
    /// The name that a WASI command is called by, which some do different things for; by default that of its file.
    pub argv0: Option<String>,
    /// Exit codes with which a WASI command succeeds, besides 0: what it printed is its result. By
    /// default there are none.
    pub ok_exit: Vec<u32>,
    /// How each task is run.
    pub task: TaskSettings,
    /// How the job treats its tasks together.
    pub job: JobSettings,
}

impl JobSpec {
    /// Returns how a job of `module` would merge its outcomes: never [`Merge::Default`].
    ///
    /// # Errors
    /// If the module does not fit the job.
    pub fn merge_for(&self, module: &Module) -> Result<Merge, PlanError> {
        Plan::new(module, self).map(|plan| plan.merge)
    }

    /// Returns the type of a job's merged value, or with [`Merge::None`] of each outcome.
    ///
    /// # Errors
    /// If the module does not fit the job.
    pub fn type_for(&self, module: &Module) -> Result<Type, PlanError> {
        Plan::new(module, self)?.result_type()
    }
}

/// How a job's outcomes become one value.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Builtin, JobSpec, Module};
///
/// // A WASI command, whose output is bytes.
/// let wat = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
/// let command = Module::from_bytes("nothing", wat)?;
/// let mut spec = JobSpec::default();
/// spec.merge = Builtin::Count.into();
/// assert_eq!(spec.type_for(&command)?.to_string(), "u64");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Merge {
    /// By the module's `reducer` if it has one, else as suits the type.
    #[default]
    Default,
    /// By this function of the module.
    Reducer(String),
    /// On the host, without a function of the module. A [`Builtin`] converts into this: `Builtin::Sum.into()`.
    Builtin(Builtin),
    /// No merge: each outcome is delivered.
    None,
}

impl Merge {
    /// The name of [`Merge::Reducer`], whichever function it is.
    const REDUCER: &str = "reducer";

    /// Returns its name, without that of a reducer: `default`, `reducer`, `none` or the name of a [`Builtin`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Reducer(_) => Self::REDUCER,
            Self::Builtin(builtin) => builtin.name(),
            Self::None => "none",
        }
    }

    /// Returns the built-in merge that this is, if any.
    #[must_use]
    pub const fn builtin(&self) -> Option<Builtin> {
        match self {
            Self::Builtin(builtin) => Some(*builtin),
            Self::Default | Self::Reducer(_) | Self::None => None,
        }
    }

    /// Returns the function of the module that merges, if this is a reducer.
    #[must_use]
    pub fn reducer(&self) -> Option<&str> {
        match self {
            Self::Reducer(name) => Some(name),
            _ => None,
        }
    }
}

impl From<Builtin> for Merge {
    fn from(builtin: Builtin) -> Self {
        Self::Builtin(builtin)
    }
}

/// Its name, with `reducer:NAME` for a reducer, as [`FromStr`] parses it.
impl fmt::Display for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reducer(name) => write!(f, "{}:{name}", Self::REDUCER),
            other => f.pad(other.name()),
        }
    }
}

/// A text is not the name of a [`Merge`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid merge: write default, a built-in merge, none or reducer:NAME")]
pub struct ParseMergeError {
    /// The text.
    pub name: String,
}

impl FromStr for Merge {
    type Err = ParseMergeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((Self::REDUCER, name)) = text.split_once(':') {
            return Ok(Self::Reducer(name.to_owned()));
        }
        let builtins = Builtin::ALL.into_iter().map(Self::from);
        builtins
            .chain([Self::Default, Self::None])
            .find(|merge| merge.name() == text)
            .ok_or_else(|| ParseMergeError {
                name: text.to_owned(),
            })
    }
}

/// Which engines run the tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewKind {
    /// On whichever engine is free.
    #[default]
    Balanced,
    /// On whichever of these is free.
    BalancedAmong(Targets),
    /// On fixed engines: each target gets a contiguous block of the chunks.
    Direct(Targets),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_is_read_as_it_is_written() {
        let builtins = Builtin::ALL.into_iter().map(Merge::from);
        for merge in builtins.chain([
            Merge::Default,
            Merge::None,
            Merge::Reducer("a:b".to_owned()),
            Merge::Reducer(String::new()),
        ]) {
            assert_eq!(merge.to_string().parse(), Ok(merge.clone()));
        }
        for name in ["", "reducer", "Sum", "reduce:x", " sum"] {
            let error = name.parse::<Merge>().unwrap_err();
            assert_eq!(error.name, name);
        }
    }
}
