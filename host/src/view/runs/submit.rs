//! Why a job or a call could not be submitted.

use super::plan::PlanError;
use crate::graph::DependencyError;
use crate::view::shared::admission::QueueLimits;
use crate::view::shared::core::NotReady;
use crate::view::shared::desk::Refused;
use crate::view::shared::settings::SettingError;
use crate::view::shared::targets::TargetError;
use crate::view::shared::tenant::TenantLimit;
use rwasm_sandbox::input::InputError;
use rwasm_sandbox::sandbox::LoadError;
use rwasm_value::value::ArgumentError;
use std::sync::Arc;

/// Why a job or a call could not be submitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The module cannot be loaded or compiled.
    #[error(transparent)]
    Load(LoadError),
    /// The module does not fit what was requested.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The limits or grants are not valid.
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
        /// Which argument, what was found and what was expected.
        error: Box<ArgumentError>,
    },
    /// The named engines do not exist.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// A dependency names a job that does not exist.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    /// The queue is full.
    #[error("the queue is full: it holds at most {} calls and {} of arguments", .0.tasks, .0.bytes)]
    QueueFull(QueueLimits),
    /// The arguments are larger than the whole queue.
    #[error("arguments of {} do not fit into the queue of {}", crate::ByteSize::new(*.bytes), .limits.bytes)]
    TooLarge {
        /// The bytes of the arguments.
        bytes: u64,
        /// The queue's limits.
        limits: QueueLimits,
    },
    /// The budget of the tenant is spent.
    #[error(transparent)]
    TenantLimit(#[from] TenantLimit),
    /// The tenant was closed.
    #[error("tenant `{tenant}` was closed")]
    TenantClosed {
        /// The label of the tenant.
        tenant: Arc<str>,
    },
    /// The cluster was shut down.
    #[error("the cluster was shut down")]
    ShutDown,
    /// The job's thread cannot be started.
    #[error("cannot start a thread for the job")]
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

impl From<NotReady> for SubmitError {
    fn from(error: NotReady) -> Self {
        match error {
            NotReady::Load(error) => error.into(),
            NotReady::Thread(error) => Self::Thread(error),
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
