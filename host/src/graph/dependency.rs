//! What a task waits for, as the user says it.

use rwasm_value::ids::JobId;

/// Jobs that a task waits for: all of them or any of them, to succeed, to fail, or just to end.
///
/// Without more said, a dependency is on success.
///
/// ```
/// use rwasm_cluster::{Dependency, JobId};
///
/// let both = Dependency::all([JobId(3), JobId(4)]);
/// let clean_up = Dependency::all([JobId(3)]).on_success(false).on_failure(true);
/// let first_to_end = Dependency::any([JobId(3), JobId(4)]).on_failure(true);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub(super) jobs: Vec<JobId>,
    pub(super) all: bool,
    pub(super) on_success: bool,
    pub(super) on_failure: bool,
}

impl Dependency {
    /// On each of these jobs. On none at all, it is met at once.
    #[must_use]
    pub fn all(jobs: impl IntoIterator<Item = JobId>) -> Self {
        Self {
            jobs: jobs.into_iter().collect(),
            all: true,
            on_success: true,
            on_failure: false,
        }
    }

    /// On one of these jobs, whichever is first.
    #[must_use]
    pub fn any(jobs: impl IntoIterator<Item = JobId>) -> Self {
        Self {
            all: false,
            ..Self::all(jobs)
        }
    }

    /// Whether a job that succeeds is what is waited for; it is, unless this says otherwise.
    #[must_use]
    pub fn on_success(mut self, counts: bool) -> Self {
        self.on_success = counts;
        self
    }

    /// Whether a job that fails, is cancelled or cannot run is what is waited for; it is not, unless this says so.
    #[must_use]
    pub fn on_failure(mut self, counts: bool) -> Self {
        self.on_failure = counts;
        self
    }

    /// The jobs it is on, as they were named.
    #[must_use]
    pub fn jobs(&self) -> &[JobId] {
        &self.jobs
    }

    /// Whether it makes sense for this job, whatever becomes of the others.
    pub(super) fn check(&self, job: JobId) -> Result<(), DependencyError> {
        if !self.on_success && !self.on_failure {
            return Err(DependencyError::NeverMet);
        }
        if !self.all && self.jobs.is_empty() {
            return Err(DependencyError::Empty);
        }
        if self.jobs.contains(&job) {
            return Err(DependencyError::Itself(job));
        }
        Ok(())
    }
}

impl From<JobId> for Dependency {
    fn from(job: JobId) -> Self {
        Self::all([job])
    }
}

impl FromIterator<JobId> for Dependency {
    fn from_iter<I: IntoIterator<Item = JobId>>(jobs: I) -> Self {
        Self::all(jobs)
    }
}

/// Why a dependency is refused when its task is submitted.
///
/// One that is sound but can no longer be met is no error: the task ends at once with the failure `dependency-failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DependencyError {
    /// It names a job that the cluster does not know.
    #[error("the dependency on job {0} cannot be met: the job does not exist or has been purged")]
    Unknown(JobId),
    /// It names the very job that is to wait.
    #[error("job {0} cannot wait for itself")]
    Itself(JobId),
    /// It is on neither success nor failure.
    #[error("a dependency on neither success nor failure can never be met")]
    NeverMet,
    /// It is on any of no jobs.
    #[error("a dependency on any of zero jobs can never be met: name at least one job")]
    Empty,
}
