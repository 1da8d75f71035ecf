//! What is said of the boundary of tasks: a layer that this machine lacks, as soon as that is known, and that no worker can
//! run tasks, which is then how the program ends.

use crate::exit::CliError;
use crate::output::messages::warn;
use rwasm_cluster::{Cluster, ClusterEvent, StartError};
use std::sync::{Arc, Mutex, PoisonError};

/// Follows the events of a cluster that has a boundary.
#[derive(Default)]
pub(crate) struct BoundaryWatch {
    is_quiet: bool,
    /// Whether the layers that are missing were named.
    has_warned: Arc<Mutex<bool>>,
    unusable: Option<StartError>,
}

impl BoundaryWatch {
    /// Warns, as long as the cluster is there.
    pub(crate) fn begin(cluster: &Cluster, is_quiet: bool) -> Self {
        let has_warned = Arc::default();
        if !is_quiet {
            let (mut events, warned) = (cluster.events(), Arc::clone(&has_warned));
            let follow = move || {
                let is_it =
                    |event: &ClusterEvent| matches!(event, ClusterEvent::BoundaryIncomplete(_));
                if let Some(ClusterEvent::BoundaryIncomplete(missing)) = events.find(is_it) {
                    warn_once(&warned, &missing);
                }
            };
            // Without a thread it is said at the end.
            let _ = std::thread::Builder::new()
                .name("rwasm-boundary".to_owned())
                .spawn(follow);
        }
        Self {
            is_quiet,
            has_warned,
            unusable: None,
        }
    }

    /// Takes in an event that came before the end.
    pub(crate) fn take(&mut self, event: &ClusterEvent) {
        match event {
            ClusterEvent::BoundaryIncomplete(missing) if !self.is_quiet => {
                warn_once(&self.has_warned, missing);
            }
            ClusterEvent::BoundaryUnusable(reason) => {
                self.unusable = Some(StartError::Boundary(reason.to_string()));
            }
            _ => {}
        }
    }

    /// How the program ends, if no worker could run tasks: nothing is wrong with them.
    pub(crate) fn failure(&mut self) -> Option<CliError> {
        self.unusable.take().map(CliError::Start)
    }
}

fn warn_once(has_warned: &Mutex<bool>, missing: &str) {
    // Held until it is written, so that the program does not end before.
    let mut has_warned = has_warned.lock().unwrap_or_else(PoisonError::into_inner);
    if !std::mem::replace(&mut *has_warned, true) {
        warn(&format!(
            "this machine does not give all layers of the boundary: {missing}; `rwasm-cluster doctor` says what each stops and needs"
        ));
    }
}
