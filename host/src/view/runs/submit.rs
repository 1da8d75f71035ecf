//! Why a job or a call does not begin.

use super::plan::PlanError;
use crate::graph::DependencyError;
use crate::view::shared::admission::QueueLimits;
use crate::view::shared::desk::Refused;
use crate::view::shared::settings::SettingError;
use crate::view::shared::targets::TargetError;
use rwasm_sandbox::input::InputError;
use rwasm_sandbox::sandbox::LoadError;
use rwasm_value::value::ArgumentError;

/// Why a job or a call did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The module cannot be loaded or compiled.
    #[error(transparent)]
    Load(LoadError),
    /// The module does not fit what is asked of it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// What its tasks are to use or reach is not possible.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// An input cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The arguments do not fit the function.
    #[error("`{function}`: {error}")]
    Arguments {
        /// The function, as WIT.
        function: Box<str>,
        /// Which argument, what was found and what was wanted.
        error: Box<ArgumentError>,
    },
    /// The engines that are meant are not there.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// What it is to wait for is not there.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    /// As much as may be submitted is submitted and not done.
    #[error("the queue of {} calls and {} of arguments is full", .0.tasks, .0.bytes)]
    QueueFull(QueueLimits),
    /// The arguments are larger than the whole queue may be.
    #[error("arguments of {} are more than the queue's {}", crate::ByteSize::new(*.bytes), .limits.bytes)]
    TooLarge {
        /// The bytes of the arguments.
        bytes: u64,
        /// The queue's limits.
        limits: QueueLimits,
    },
    /// The cluster was shut down.
    #[error("the cluster was shut down")]
    ShutDown,
    /// The system gave no thread for the job.
    #[error("the system gives no thread for the job")]
    Thread(#[source] std::io::Error),
}

impl From<LoadError> for SubmitError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::ShutDown { .. } => Self::ShutDown,
            error => Self::Load(error),
        }
    }
}

impl From<Refused> for SubmitError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Dependency(error) => Self::Dependency(error),
            Refused::Closed => Self::ShutDown,
            Refused::Thread(error) => Self::Thread(error),
        }
    }
}
