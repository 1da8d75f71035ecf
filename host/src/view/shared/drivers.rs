//! The threads of jobs that continue without their handles.

use super::result::{JobError, JobResult};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// The threads of jobs that go on without their handles; joined when the cluster ends.
#[derive(Default)]
pub(crate) struct DetachedDrivers(Mutex<Vec<JoinHandle<Result<JobResult, JobError>>>>);

impl DetachedDrivers {
    pub(crate) fn adopt(&self, driver: JoinHandle<Result<JobResult, JobError>>) {
        let mut drivers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Threads that have ended are let go: nobody asks for their results.
        drivers.retain(|driver| !driver.is_finished());
        drivers.push(driver);
    }

    pub(crate) fn join(&self) {
        let drivers = {
            let mut drivers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *drivers)
        };
        for driver in drivers {
            let _ = driver.join();
        }
    }
}
