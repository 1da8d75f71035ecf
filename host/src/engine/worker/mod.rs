//! Engines whose tasks run in processes of their own, behind a second wall.
//!
//! The engine stays a thread of this process: it gets dispatches and answers them as any other. `workers` are the processes
//! that it has, `process` is one of them as it is seen from here, `sending` is how it is spoken to, `listen` hears what it says, `lost` is one that has
//! ended, with the task that it ran, `told` what it knows, `names` the addresses of its peers, `resident` its memory, `host_calls` what its guests ask of the
//! embedder, `report` what the cluster is told of all of them, `form` and `call_form` what both say to each other, and `serve` is the process itself, with
//! `carrier` for what it asks. A worker serves one tenant, one variant of compiled code and one set of grants; it is given open files, and of names those that
//! messages have (inputs) or guests see (directories).

mod call_form;
mod carrier;
mod form;
mod host_calls;
mod listen;
mod lost;
mod names;
mod numbered;
mod process;
mod report;
mod resident;
mod sending;
mod serve;
mod told;
mod workers;

pub(crate) use report::BoundaryReport;
pub use serve::task_worker;
pub(crate) use workers::{WorkerSettings, Workers};

use crate::boundary::{BoundaryLayer, LayerStatus};
use crate::events::EventSender;
use process::{Process, is_required};
use rwasm_boundary::confine::{IS_SUPPORTED, NOT_HERE};
use rwasm_boundary::layers::{Layer, Standing, probe};
use rwasm_boundary::ring::Sizes;
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::sandbox::VariantKey;
use rwasm_value::ids::EngineId;
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
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

/// Why a worker ends, as it finds. It is read by people only if its engine writes it down.
type WorkerError = Box<dyn Error + Send + Sync>;

/// How long a worker may take until it is ready, on a machine that is busy.
const START: Duration = Duration::from_secs(10);

/// Starts a worker process of `program`, and returns the layers of [`Boundary::Process`](crate::Boundary::Process) on this
/// machine.
///
/// # Errors
///
/// If the program cannot be started, or is not a worker of this build.
pub fn boundary_layers(program: &Path) -> io::Result<Vec<BoundaryLayer>> {
    if !IS_SUPPORTED {
        return Err(io::Error::other(NOT_HERE));
    }
    let first = VariantKey::of(&Limits::default(), false);
    let settings = WorkerSettings {
        program: program.to_owned(),
        first,
        is_strict: false,
        ready_below: EngineId(u32::MAX),
        is_checked: true,
        keeps_spares: false,
        report: Arc::new(BoundaryReport::new(EventSender::new(None))),
    };
    let mut process = Process::start(&settings, EngineId(0), first, None, false)?;
    process
        .make_ready(&Cancel::default())
        .map_err(process::WorkerError::into_error)?;
    let found = process.layers().iter().filter_map(|found| {
        let layer = Layer::ALL
            .into_iter()
            .find(|layer| layer.name() == found.name)?;
        let status = match &found.lacks {
            None => LayerStatus::Full,
            Some((why, false)) => LayerStatus::Partial(why.clone()),
            Some((why, true)) => LayerStatus::Missing(why.clone()),
        };
        Some((layer, status))
    });
    let mut found: Vec<(Layer, LayerStatus)> = found.collect();
    // What a worker does not do for itself.
    for (layer, standing) in probe() {
        if found.iter().all(|(known, _)| *known != layer) {
            let status = match standing {
                Standing::Full => LayerStatus::Full,
                Standing::Partial(why) => LayerStatus::Partial(why),
                Standing::Missing(why) => LayerStatus::Missing(why),
            };
            found.push((layer, status));
        }
    }
    Ok(found
        .into_iter()
        .map(|(layer, status)| BoundaryLayer {
            name: layer.name(),
            status,
            stops: layer.stops(),
            needs: layer.needs(),
            is_required: is_required(layer),
        })
        .collect())
}
