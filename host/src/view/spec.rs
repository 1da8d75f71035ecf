//! What a job is to do, as its user says it.

use super::plan::{Plan, PlanError};
use super::targets::Targets;
use crate::dispatch::Reuse;
use crate::graph::Retry;
use crate::job::Tolerance;
use crate::merge::Builtin;
#[cfg(feature = "history")]
use rwasm_history::JobKey;
use rwasm_sandbox::chunk::Chunking;
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::sandbox::Module;
use rwasm_value::value::Type;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A map over inputs and the merge of its outcomes. Start from [`JobSpec::default`] and change
/// what should differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobSpec {
    /// The function to map; by default the one named `mapper`, or the only one that fits.
    pub map: Option<String>,
    /// How the outcomes are merged.
    pub merge: Merge,
    /// How the inputs are cut; by default as fits the module's form.
    pub chunking: Option<Chunking>,
    /// Which engines run the tasks.
    pub view: ViewKind,
    /// How long an instance lives.
    pub reuse: Reuse,
    /// What a task may use; by default what the cluster says.
    pub limits: Option<Limits>,
    /// What a task may reach; by default what the cluster says.
    pub grants: Option<Grants>,
    /// Whether each task comes to the same, with the same fuel, on every engine and every run.
    ///
    /// Its fuel is then the only budget of what it computes, whether that takes long or not:
    /// [`DETERMINISTIC_FUEL`] unless the limits say otherwise. Its clock begins with the
    /// year 2000 and goes on only while it sleeps, which takes no time; [`Limits::time`] is held
    /// against that. Its random numbers follow from its module, function and input, and from a seed, 0 unless
    /// another is granted. Not-a-number values have one form, relaxed SIMD instructions one
    /// outcome. It is told that it is on engine 0 of 1. Instances are not used again, and no
    /// network can be granted. What it waits for outside of itself, such as the rest of a stream, is
    /// bounded by the job's deadline alone. What a directory that is granted holds is for whoever grants it to keep the
    /// same, and so is what the embedder's functions answer.
    ///
    /// [`DETERMINISTIC_FUEL`]: crate::DETERMINISTIC_FUEL
    pub deterministic: bool,
    /// Which failures are tried again, how often, after which pause.
    pub retry: Retry,
    /// How many failed tasks the job bears.
    pub max_failures: Tolerance,
    /// The time of the whole job.
    pub deadline: Option<Duration>,
    /// The time a task may wait for an engine once it has been read.
    pub queue_timeout: Option<Duration>,
    /// What the job is called: in events and in the history.
    pub label: Option<String>,
    /// What goes first where engines are short: higher before lower.
    pub priority: i32,
    /// Outcomes that are delivered, with [`Merge::None`], come as their tasks end, not in input
    /// order.
    pub unordered: bool,
    /// A [`Merge::Concat`] delivers its outcomes in input order instead of joining them: the caller
    /// joins them as they come. Other merges are not affected.
    pub streamed: bool,
    /// Tasks handed to an engine at a time; by default as many as are worth a hand-over.
    pub dispatch_size: Option<usize>,
    /// Tasks that are read and whose outcomes are not out, at most; by default as memory allows.
    pub max_outstanding: Option<usize>,
    /// The job in the history of which this one repeats tasks.
    #[cfg(feature = "history")]
    pub repeats: Option<JobKey>,
    /// What this program wants to find again with the job in the history.
    #[cfg(feature = "history")]
    pub memo: serde_json::Value,
    /// The arguments of a WASI command, without its own name.
    pub arguments: Vec<String>,
    /// Whether what each task used is kept for [`JobResult::records`](super::JobResult::records).
    pub keep_records: bool,
}

impl JobSpec {
    /// How a job of `module` would merge its outcomes: never [`Merge::Default`].
    ///
    /// # Errors
    /// When the module does not fit the job.
    pub fn merge_for(&self, module: &Module) -> Result<Merge, PlanError> {
        Plan::new(module, self).map(|plan| plan.merge)
    }

    /// The type of what a job of `module` would give: of its merged value, or with
    /// [`Merge::None`] of each outcome.
    ///
    /// # Errors
    /// When the module does not fit the job.
    pub fn type_for(&self, module: &Module) -> Result<Type, PlanError> {
        Plan::new(module, self)?.result_type()
    }
}

impl Default for JobSpec {
    fn default() -> Self {
        Self {
            map: None,
            merge: Merge::Default,
            chunking: None,
            view: ViewKind::Balanced,
            reuse: Reuse::None,
            limits: None,
            grants: None,
            deterministic: false,
            retry: Retry::default(),
            max_failures: Tolerance::Count(0),
            deadline: None,
            queue_timeout: None,
            label: None,
            priority: 0,
            unordered: false,
            streamed: false,
            dispatch_size: None,
            max_outstanding: None,
            #[cfg(feature = "history")]
            repeats: None,
            #[cfg(feature = "history")]
            memo: serde_json::Value::Null,
            arguments: Vec::new(),
            keep_records: false,
        }
    }
}

/// How a job's outcomes become one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Merge {
    /// By the module's `reducer` if it has one; else as fits the type.
    #[default]
    Default,
    /// By this function of the module.
    Reducer(String),
    /// All values in a list.
    Collect,
    /// All strings, bytes or lists joined.
    Concat,
    /// The sum of numbers, or of the numbers of equal keys.
    Sum,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The number of outcomes.
    Count,
    /// Not at all: each outcome is delivered.
    None,
}

impl Merge {
    /// The name of [`Merge::Reducer`], whichever function it is.
    const REDUCER: &str = "reducer";

    /// Its name, without that of a reducer: `default`, `reducer`, `none` or the name of a
    /// [`Builtin`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match (self.builtin(), self) {
            (Some(builtin), _) => builtin.name(),
            (None, Self::Default) => "default",
            (None, Self::Reducer(_)) => Self::REDUCER,
            (None, _) => "none",
        }
    }

    /// The built-in merge that does it, if it names one.
    #[must_use]
    pub const fn builtin(&self) -> Option<Builtin> {
        match self {
            Self::Collect => Some(Builtin::Collect),
            Self::Concat => Some(Builtin::Concat),
            Self::Sum => Some(Builtin::Sum),
            Self::Min => Some(Builtin::Min),
            Self::Max => Some(Builtin::Max),
            Self::Count => Some(Builtin::Count),
            Self::Default | Self::Reducer(_) | Self::None => None,
        }
    }

    /// The function of the module that does it, if it names one.
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
        match builtin {
            Builtin::Collect => Self::Collect,
            Builtin::Concat => Self::Concat,
            Builtin::Sum => Self::Sum,
            Builtin::Min => Self::Min,
            Builtin::Max => Self::Max,
            Builtin::Count => Self::Count,
        }
    }
}

/// Its name, with `reducer:NAME` for a reducer, as [`FromStr`] reads it.
impl fmt::Display for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reducer(name) => write!(f, "{}:{name}", Self::REDUCER),
            other => f.pad(other.name()),
        }
    }
}

/// A text that names no [`Merge`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no merge `{name}`")]
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
    /// Whichever is free.
    #[default]
    Balanced,
    /// Whichever of these is free.
    BalancedAmong(Targets),
    /// The engine of each chunk is fixed beforehand: each target gets a contiguous block.
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
        for builtin in Builtin::ALL {
            assert_eq!(Merge::from(builtin).builtin(), Some(builtin));
            assert_eq!(Merge::from(builtin).name(), builtin.name());
        }
        for name in ["", "reducer", "Sum", "reduce:x", " sum"] {
            let error = name.parse::<Merge>().unwrap_err();
            assert_eq!(error.name, name);
        }
    }
}
