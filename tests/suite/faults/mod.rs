//! What a cluster survives: engines, servers and clients that are killed or frozen while a job runs. Every task has one
//! outcome, the right one, and the job ends; with real processes and servers.
//!
//! By what fails: `killed` and `frozen` engines, `servers`, `clients`, and streams that are `full`; `draining` is about
//! engines that are told to go, `granting` about what they allow, `workers` about those with a boundary, `modules` about those that take long to be made ready.
//! `forged` is about messages that no client of ours sends. `engine` is a process with engines, `job` a map whose outcomes are checked as they come.

pub(crate) mod engine;
mod job;

mod clients;
mod draining;
mod forged;
mod frozen;
mod full;
mod granting;
mod killed;
mod modules;
mod servers;
mod unused;
mod workers;

use crate::support::Server;
use engine::EngineProcess;
use rwasm_cluster::nats::{AssetSettings, ConnectSettings, set_up};
use rwasm_cluster::{Callable, Cluster, LiveNote, LiveNotes, Module, TaskNote};
use std::time::Duration;

/// After how long tasks of an engine that is silent go to another, in tests where one is.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// As long as nothing here takes on the slowest machine: servers need seconds to agree on who leads.
const PATIENCE: Duration = Duration::from_mins(1);

/// Streams that give tasks of a silent engine to others after `ack_wait`.
fn assets(ack_wait: Duration) -> AssetSettings {
    let mut assets = AssetSettings::default();
    assets.ack_wait = Some(ack_wait);
    assets.presence = Some(ack_wait * 2);
    assets
}

/// A server of one's own that was set up as a cluster.
fn server(assets: &AssetSettings) -> Server {
    let server = Server::start();
    set_up(&ConnectSettings::new(server.url()), assets).expect("the cluster is set up");
    server
}

/// A client of the cluster there.
fn connect(url: &str) -> Cluster {
    Cluster::connect(url).expect("the cluster is reached")
}

/// So many processes of one engine each.
fn engines(url: &str, count: usize) -> Vec<EngineProcess> {
    let join = |_| EngineProcess::join(url, "-n 1");
    (0..count).map(join).collect()
}

/// `work(n, ms)` tells which engine it runs on, sleeps `ms` milliseconds, and gives `n`.
fn work() -> Callable<(i64, i64), i64> {
    const WORK: &str = r#"(module
      (import "rwasm:task/host@0.2.0" "publish" (func $publish (param i32 i32 i32 i32)))
      (import "rwasm:task/host@0.2.0" "engine-id" (func $engine (result i32)))
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 256) "begun")
      (func (export "work") (param $n i64) (param $ms i64) (result i64)
        (i32.store (i32.const 272) (call $engine))
        (call $publish (i32.const 256) (i32.const 5) (i32.const 272) (i32.const 4))
        (if (i64.gt_s (local.get $ms) (i64.const 0)) (then
          (i32.store (i32.const 16) (i32.const 1))
          (i64.store (i32.const 24) (i64.mul (local.get $ms) (i64.const 1000000)))
          (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))
        (local.get $n)))"#;
    let module = Module::from_bytes("work.wat", WORK).expect("it is a module");
    module.function("work").expect("it has the function")
}

/// The next task of `work` that began, as its place in its job and its engine; none where none has since.
fn begun(notes: &mut LiveNotes) -> Option<(u64, u32)> {
    while let Some(note) = notes.try_next() {
        match note {
            LiveNote::Said {
                index,
                note: TaskNote::Published { bytes, .. },
            } => {
                let id = bytes.as_ref().try_into().expect("an engine's id");
                return Some((index, u32::from_le_bytes(id)));
            }
            LiveNote::Missed(count) => panic!("{count} notes were missed"),
            _ => {}
        }
    }
    None
}

/// A figure for whoever reads the tests' output.
#[expect(clippy::print_stdout, reason = "it is there to be read")]
fn show(figure: &str) {
    println!("{figure}");
}
