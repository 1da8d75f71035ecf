//! Dependencies between jobs, as declared by the user.

use rwasm_value::ids::JobId;

/// Jobs that must end before a task starts: all or any of them, with success by default.
///
/// A handle converts into the dependency on its success: [`Task`](crate::Task), [`Map`](crate::Map),
/// [`Job`](crate::Job) by reference, or a `JobId`.
///
/// # Examples
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
    /// Requires every one of these jobs. With no jobs at all, it is met at once.
    #[must_use]
    pub fn all(jobs: impl IntoIterator<Item = JobId>) -> Self {
        Self {
            jobs: jobs.into_iter().collect(),
            all: true,
            on_success: true,
            on_failure: false,
        }
    }

    /// Requires one of these jobs, whichever meets the condition first.
    #[must_use]
    pub fn any(jobs: impl IntoIterator<Item = JobId>) -> Self {
        Self {
            all: false,
            ..Self::all(jobs)
        }
    }

    /// Sets whether the success of a job counts; true by default.
    #[must_use]
    pub fn on_success(mut self, counts: bool) -> Self {
        self.on_success = counts;
        self
    }

    /// Sets whether the failure of a job counts; false by default. A job that is cancelled or cannot start has
    /// failed.
    #[must_use]
    pub fn on_failure(mut self, counts: bool) -> Self {
        self.on_failure = counts;
        self
    }

    /// Returns the jobs, as they were named.
    #[must_use]
    pub fn jobs(&self) -> &[JobId] {
        &self.jobs
    }

    /// Checks the dependency of this job, whatever becomes of the others.
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

/// Why a task with this dependency is refused when it is submitted.
///
/// A valid dependency that can no longer be met is not an error: the task ends at once with the failure
/// `dependency-failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DependencyError {
    /// It names a job that the cluster does not know.
    #[error("the dependency on job {0} cannot be met: the job does not exist or has been purged")]
    Unknown(JobId),
    /// It names the job that is to wait.
    #[error("job {0} cannot wait for itself")]
    Itself(JobId),
    /// It counts neither success nor failure.
    #[error("a dependency on neither success nor failure can never be met")]
    NeverMet,
    /// It requires any of zero jobs.
    #[error("a dependency on any of zero jobs can never be met: name at least one job")]
    Empty,
}
