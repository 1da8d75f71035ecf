//! What the host keeps beside a running guest: its limits and how near it is to them, why it was
//! stopped, and its view of WASI, which is made only when the guest first asks for it.

use super::host::Desk;
use super::request::Surroundings;
use super::stdio::Stdio;
use crate::cancel::Cancel;
use crate::limits::Limits;
use std::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// The data of a guest's store.
pub(super) struct State {
    pub(super) limiter: Limiter,
    /// None where it is further away than clocks go.
    pub(super) deadline: Option<Instant>,
    pub(super) cancel: Cancel,
    pub(super) stopped: Option<Stopped>,
    pub(super) stdio: Stdio,
    /// What it may ask of the host and has told it.
    pub(super) desk: Desk,
    arguments: Vec<String>,
    handles: usize,
    p1: Option<Box<WasiP1Ctx>>,
    p2: Option<Box<(WasiCtx, ResourceTable)>>,
}

/// Why the host stopped a guest that computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    Deadline,
    Cancelled,
}

/// The mark of an error that the epoch callback raised; the reason is in [`State::stopped`].
#[derive(Debug, thiserror::Error)]
#[error("stopped by the host")]
pub(super) struct StoppedByHost;

impl State {
    pub(super) fn new(
        limits: &Limits,
        cancel: Cancel,
        stdio: Stdio,
        arguments: Vec<String>,
        surroundings: &Surroundings,
    ) -> Self {
        Self {
            limiter: Limiter::new(limits),
            deadline: Instant::now().checked_add(limits.time),
            cancel,
            stopped: None,
            stdio,
            desk: Desk::new(limits, surroundings),
            arguments,
            handles: limits.handles,
            p1: None,
            p2: None,
        }
    }

    /// Makes an instance that is used again begin a new task.
    pub(super) fn rearm(&mut self, limits: &Limits, cancel: Cancel, surroundings: &Surroundings) {
        self.deadline = Instant::now().checked_add(limits.time);
        self.cancel = cancel;
        self.stopped = None;
        self.limiter.refused = None;
        self.stdio.tell(surroundings);
        self.desk = Desk::new(limits, surroundings);
    }

    /// The guest's view of WASI preview 1, made when it is first used.
    pub(super) fn p1(&mut self) -> &mut WasiP1Ctx {
        let Self {
            p1,
            stdio,
            arguments,
            ..
        } = self;
        p1.get_or_insert_with(|| Box::new(wasi(stdio, arguments).build_p1()))
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self {
            p2,
            stdio,
            arguments,
            handles,
            ..
        } = self;
        let (ctx, table) = &mut **p2.get_or_insert_with(|| {
            let mut table = ResourceTable::new();
            table.set_max_capacity(*handles);
            Box::new((wasi(stdio, arguments).build(), table))
        });
        WasiCtxView { ctx, table }
    }
}

/// Nothing is granted but the streams and arguments of the task itself.
fn wasi(stdio: &Stdio, arguments: &[String]) -> WasiCtxBuilder {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdin(stdio.stdin.clone())
        .stdout(stdio.stdout.clone())
        .stderr(stdio.stderr.clone())
        .args(arguments)
        .wall_clock(super::clock::CoarseClock)
        .monotonic_clock(super::clock::CoarseClock::started_now())
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder
}

/// Arms a new store: from its first instruction the guest is under its limits.
pub(super) fn arm(store: &mut Store<State>) {
    store.limiter(|state| &mut state.limiter);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| {
        let state = context.data_mut();
        let stopped = if state.cancel.is_wanted() {
            Stopped::Cancelled
        } else if state
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            Stopped::Deadline
        } else {
            return Ok(UpdateDeadline::Continue(1));
        };
        state.stopped = Some(stopped);
        Err(StoppedByHost.into())
    });
}

/// Sums what all memories and tables of a guest take, which wasmtime's own limiter does not.
#[derive(Debug)]
pub(super) struct Limiter {
    memory_limit: usize,
    memory: usize,
    pub(super) peak_memory: usize,
    table_limit: usize,
    table_elements: usize,
    /// The sums before the last growth that was allowed, should it come to nothing.
    before: (usize, usize, usize),
    /// What the guest last asked for in vain: a failure after that is put down to it.
    pub(super) refused: Option<Refused>,
}

/// Growth that was refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused {
    /// The sum of memories would have reached this many bytes.
    Memory(usize),
    /// The sum of tables would have reached this many elements.
    Table(usize),
}

impl Limiter {
    fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: limits.memory.as_usize(),
            memory: 0,
            peak_memory: 0,
            table_limit: limits.table_elements,
            table_elements: 0,
            before: (0, 0, 0),
            refused: None,
        }
    }

    /// Takes back the last growth, which the engine could not do after all.
    fn take_back(&mut self) {
        (self.memory, self.peak_memory, self.table_elements) = self.before;
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The module's own bound: nothing of ours was reached.
            return Ok(false);
        }
        let sum = self.memory.saturating_sub(current).saturating_add(desired);
        if sum > self.memory_limit {
            self.refused = Some(Refused::Memory(sum));
            return Ok(false);
        }
        self.before = (self.memory, self.peak_memory, self.table_elements);
        self.memory = sum;
        self.peak_memory = self.peak_memory.max(sum);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let sum = self
            .table_elements
            .saturating_sub(current)
            .saturating_add(desired);
        if sum > self.table_limit {
            self.refused = Some(Refused::Table(sum));
            return Ok(false);
        }
        self.before = (self.memory, self.peak_memory, self.table_elements);
        self.table_elements = sum;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }
}
