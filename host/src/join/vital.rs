//! What a process with engines cannot live without: the threads and futures that take its tasks and tell of it. A panic in
//! one is a fault of ours. A process that went on without it would hold tasks that nobody runs, so it leaves instead, and
//! whoever looks after it starts another.

use crate::cluster::Cluster;
use rwasm_sandbox::cancel::Cancel;
use std::future::Future;
use std::thread;
use std::time::Duration;
use tokio::time::sleep;

/// How often it is looked whether the thread that feeds the engines still lives.
const LOOK: Duration = Duration::from_secs(1);

/// See the [module](self). Cheap to clone: all clones stand for the same process.
#[derive(Clone, Debug, Default)]
pub(super) struct Vital(Cancel);

impl Vital {
    /// Runs `part`; if it panics, the process is [`Vital::broken`].
    pub(super) async fn watch(self, part: impl Future<Output = ()>) {
        let _guard = Guard(self.0);
        part.await;
    }

    /// Returns once a part has panicked, or the thread that feeds these engines has ended.
    pub(super) async fn broken(&self, pool: &Cluster) {
        let lost_engines = async {
            while !pool.has_ended() {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = self.0.wanted() => {}
            () = lost_engines => {}
        }
    }
}

struct Guard(Cancel);

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Cluster {
        Cluster::builder().engines(1).start().expect("it starts")
    }

    #[tokio::test]
    async fn a_part_that_panics_breaks_the_process() {
        let (vital, pool) = (Vital::default(), cluster());
        let ended = tokio::spawn(vital.clone().watch(async {}));
        ended.await.expect("it ends");
        assert!(!vital.0.is_wanted());
        let panics = tokio::spawn(vital.clone().watch(async { panic!("as it was told") }));
        vital.broken(&pool).await;
        assert!(panics.await.is_err());
    }

    #[tokio::test]
    async fn the_end_of_the_thread_that_feeds_engines_does_too() {
        let (vital, pool) = (Vital::default(), cluster());
        pool.break_engines();
        vital.broken(&pool).await;
    }
}
