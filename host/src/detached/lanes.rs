//! Whether durable jobs of a lane have engines that take their tasks.

use super::DurableJobs;
use crate::nats::connect::ConnectError;
use crate::nats::lanes;

impl DurableJobs {
    /// Whether an engine takes tasks of the lane now; without one they wait. It waits for the server.
    ///
    /// # Errors
    /// When the server does not say.
    pub fn is_served(&self, lane: &str) -> Result<bool, ConnectError> {
        let served = lanes::is_served(&self.store.connection, lane);
        self.runtime.block_on(served)
    }
}
