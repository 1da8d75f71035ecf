//! Engines whose tasks run in processes of their own, behind a second wall.
//!
//! The engine stays a thread of this process: it gets dispatches and answers them as any other. `workers` are the processes
//! that it has, `process` is one of them as it is seen from here, `form` what both say to each other, and `serve` is the
//! process itself. A worker serves one tenant and one variant of compiled code; it is given open files and no names.

mod form;
mod process;
mod serve;
mod workers;

pub use serve::task_worker;
pub(crate) use workers::{WorkerSettings, Workers};

use rwasm_boundary::ring::Sizes;
use std::time::Duration;

/// The argument that tells a program that it is a worker.
const COMMAND: &str = "--rwasm-task-worker";

/// The build of this library: a worker of another one is refused.
const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "-", env!("RWASM_BUILD"));

/// The bytes of the rings that a worker shares.
const RINGS: Sizes = Sizes {
    to_worker: 1 << 20,
    to_parent: 1 << 20,
};

/// The descriptors that a worker may have: those of its tasks' files, and some of its own.
const DESCRIPTORS: u64 = 1 << 14;

/// The longest message that an engine sends.
const LARGEST: usize = u32::MAX as usize;

/// How long a worker may take until it is ready, on a machine that is busy.
const START: Duration = Duration::from_secs(30);
