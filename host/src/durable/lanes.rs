//! Asks whether engines serve the lane of a durable job.

use super::DurableJobs;
use crate::nats::connect::ConnectError;
use crate::nats::lanes;

impl DurableJobs {
    /// Returns whether an engine takes tasks of the lane now; without one, they wait. Blocks until the server
    /// answers.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn is_served(&self, lane: &str) -> Result<bool, ConnectError> {
        let served = lanes::is_served(&self.store.connection, lane);
        self.runtime.block_on(served)
    }
}
