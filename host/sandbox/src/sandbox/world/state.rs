//! What the host keeps for a running guest: its limits and its usage, why it was stopped, and its
//! view of WASI, which is created when the guest first uses it.

use super::files::Files;
use super::host::Desk;
use super::http::Http;
use super::net::{Peers, Refusals};
use super::pending::Pending;
use super::request::{Request, Setting};
use super::stdio::{Stdin, Stdio};
use super::wasi::World;
use crate::awake::Awake;
use crate::cancel::Cancel;
use crate::limits::Limits;
use crate::note::Recorder;
use crate::outcome::Failure;
use crate::sandbox::module::ModuleInfo;
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::bindings::random::random::Host as _;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// The data of a guest's store.
pub(in crate::sandbox) struct GuestState {
    pub(in crate::sandbox) limiter: Limiter,
    /// None if it is further away than clocks reach.
    pub(in crate::sandbox) deadline: Option<Awake>,
    /// What the host has done for a deterministic task.
    pub(in crate::sandbox) work: Option<HostWork>,
    pub(super) cancel: Cancel,
    pub(in crate::sandbox) stopped: Option<Stopped>,
    pub(in crate::sandbox) stdio: Stdio,
    /// The input that flows into its function as a stream.
    pub(in crate::sandbox) fed: Option<Stdin>,
    /// The bytes of its result's elements that were read while it ran.
    pub(in crate::sandbox) delivered: u64,
    /// What it may ask of the host, and what it reported.
    pub(in crate::sandbox) desk: Desk,
    pub(in crate::sandbox) files: Files,
    /// Its calls of the host that go on.
    pub(in crate::sandbox) pending: Pending,
    world: World,
    p1: Option<Box<WasiP1Ctx>>,
    p2: Option<Box<(WasiCtx, ResourceTable)>>,
    http: Option<Box<Http>>,
}

/// The version of WASI by which a guest accesses its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Preview {
    One,
    Two,
}

/// Why the host stopped a guest that computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Stopped {
    Deadline,
    Cancelled,
    /// The host did more for a deterministic task than its fuel is worth.
    OutOfFuel,
}

/// Marks an error that the epoch callback raised; the reason is in [`GuestState::stopped`].
#[derive(Debug, thiserror::Error)]
#[error("stopped by the host")]
pub(in crate::sandbox) struct StoppedByHost;

impl GuestState {
    pub(in crate::sandbox) fn new(
        module: &ModuleInfo,
        request: &Request<'_>,
        stdio: Stdio,
    ) -> Result<Self, Failure> {
        let setting = request.setting;
        Ok(Self {
            limiter: Limiter::new(&setting.limits, request.surroundings.recorder.clone()),
            deadline: deadline(setting),
            work: HostWork::of(setting),
            cancel: request.cancel.clone(),
            stopped: None,
            stdio,
            fed: None,
            delivered: 0,
            desk: Desk::new(setting, request.surroundings),
            files: Files::new(&setting.grants, &setting.limits),
            pending: Pending::new(entries(&setting.limits)),
            world: World::new(module, request)?,
            p1: None,
            p2: None,
            http: None,
        })
    }

    /// Prepares a kept instance for a new task.
    pub(in crate::sandbox) fn rearm(&mut self, request: &Request<'_>) {
        self.deadline = deadline(request.setting);
        self.work = HostWork::of(request.setting);
        self.cancel = request.cancel.clone();
        self.stopped = None;
        self.fed = None;
        self.delivered = 0;
        self.limiter.refused = None;
        // What was kept has its memory already.
        self.limiter.record();
        self.files.rearm(&request.setting.limits);
        self.stdio.listen(request.surroundings);
        self.desk = Desk::new(request.setting, request.surroundings);
    }

    /// Gives it an input that it reads piece by piece, beside its stdin.
    pub(in crate::sandbox) fn feed(&mut self, input: Stdin) {
        input.record(self.limiter.recorder.clone());
        self.fed = Some(input);
    }

    /// The input that it reads piece by piece.
    pub(in crate::sandbox) fn input(&self) -> &Stdin {
        self.fed.as_ref().unwrap_or(&self.stdio.stdin)
    }

    /// The peers it may reach, and the refusals.
    pub(in crate::sandbox) fn peers(&self) -> (Arc<Peers>, Refusals) {
        (Arc::clone(&self.world.peers), self.world.refusals.clone())
    }

    /// Opens its granted directories, if any, for preview 1 or for preview 2.
    ///
    /// # Errors
    ///
    /// Returns an error if one cannot be opened, or has been replaced.
    pub(in crate::sandbox) fn open_directories(&mut self, by: Preview) -> Result<(), Failure> {
        if !self.world.has_directories() {
            return Ok(());
        }
        match by {
            Preview::One => {
                self.p1 = Some(Box::new(self.world.p1_with_directories(&self.stdio)?));
            }
            Preview::Two => {
                self.p2 = Some(Box::new(self.world.p2_with_directories(&self.stdio)?));
            }
        }
        Ok(())
    }

    /// Returns the guest's view of WASI preview 1, created when first used.
    pub(in crate::sandbox) fn p1(&mut self) -> &mut WasiP1Ctx {
        self.count_call(0);
        let Self {
            p1, stdio, world, ..
        } = self;
        p1.get_or_insert_with(|| Box::new(world.p1(stdio)))
    }

    /// Returns the same, with the account of its files.
    pub(super) fn p1_and_files(&mut self) -> (&mut WasiP1Ctx, &mut Files) {
        self.count_call(0);
        let Self {
            p1,
            stdio,
            world,
            files,
            ..
        } = self;
        let p1 = p1.get_or_insert_with(|| Box::new(world.p1(stdio)));
        (p1, files)
    }

    /// Returns random bits, from where the random numbers of WASI are.
    ///
    /// # Errors
    ///
    /// Returns an error if there are none.
    pub(super) fn random_bits(&mut self) -> wasmtime::Result<u64> {
        let context = WasiView::ctx(self.p1()).ctx;
        context.random().get_random_u64()
    }

    /// Returns the milliseconds since 1970, by the clock that is granted.
    pub(super) fn wall_milliseconds(&self) -> f64 {
        self.world.wall_time().as_secs_f64() * 1000.0
    }

    /// Returns milliseconds since some time, by the clock that is granted.
    pub(super) fn monotonic_milliseconds(&self) -> f64 {
        self.world.monotonic_time().as_secs_f64() * 1000.0
    }

    /// Returns the guest's files in preview 2, with their account.
    pub(super) fn p2_and_files(&mut self) -> (WasiFilesystemCtxView<'_>, &mut Files) {
        self.count_call(0);
        let Self {
            p2,
            stdio,
            world,
            files,
            ..
        } = self;
        let (ctx, table) = &mut **p2.get_or_insert_with(|| Box::new(world.p2(stdio)));
        let ctx = ctx.filesystem();
        (WasiFilesystemCtxView { ctx, table }, files)
    }
}

/// What the host does for a deterministic task counts as fuel too, by a fixed table, so that calls of the host end as
/// computing does: at the same place on every machine.
///
/// A change of the table changes [`HOST_WORK_VERSION`].
#[derive(Default)]
pub(in crate::sandbox) struct HostWork {
    calls: u64,
    /// What the guest passed to the host's own interface.
    bytes: u64,
}

/// The version of what deterministic tasks are charged for. It is part of their identity.
pub(in crate::sandbox) const HOST_WORK_VERSION: u32 = 2;

/// Fuel for each call of WASI or of the host's own interface: about what one costs, where a unit of fuel is about a
/// nanosecond.
const CALL: u64 = 200;

/// Bytes for one unit of fuel: of stdin, stdout, stderr, random numbers, and what the host's own interface is passed.
const BYTES: u64 = 4;

impl HostWork {
    fn of(setting: &Setting) -> Option<Self> {
        setting.deterministic.then(Self::default)
    }
}

impl GuestState {
    /// Counts a call of the host, to which the guest passes this many bytes that no stream counts.
    pub(in crate::sandbox) fn count_call(&mut self, bytes: usize) {
        if let Some(work) = &mut self.work {
            work.calls += 1;
            work.bytes += bytes as u64;
        }
    }

    /// Returns the fuel that the host's work for the task is worth.
    pub(in crate::sandbox) fn host_fuel(&self) -> u64 {
        let Some(work) = &self.work else {
            return 0;
        };
        let fed = self.fed.as_ref().map_or(0, Stdin::bytes_read);
        let moved = work.bytes + fed + self.stdio.bytes_moved() + self.world.random_bytes();
        work.calls
            .saturating_mul(CALL)
            .saturating_add(moved / BYTES)
    }

    /// Whether the guest's work and the host's come to more than the task's fuel, if the guest has `left` of it.
    pub(in crate::sandbox) fn has_overspent(&self, left: u64) -> bool {
        self.work.is_some() && self.host_fuel() > left
    }
}

/// Returns the deadline by the host's clock.
fn deadline(setting: &Setting) -> Option<Awake> {
    let time = if setting.deterministic {
        setting.limits.wall()
    } else {
        setting.limits.time
    };
    Awake::now().after(time)
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.count_call(0);
        let Self {
            p2, stdio, world, ..
        } = self;
        let (ctx, table) = &mut **p2.get_or_insert_with(|| Box::new(world.p2(stdio)));
        WasiCtxView { ctx, table }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.count_call(0);
        let Self {
            p2,
            http,
            stdio,
            world,
            ..
        } = self;
        let (_, table) = &mut **p2.get_or_insert_with(|| Box::new(world.p2(stdio)));
        let http = http.get_or_insert_with(|| Box::new(Http::new(&world.peers, &world.refusals)));
        http.view(table)
    }
}

/// What the host keeps for each handle that a guest may have, where calls are concurrent: a task with its thread, or both
/// ends of a stream and what is between them. With the default limits, the stacks of all tasks are no more than their
/// memory.
const ENTRIES_PER_HANDLE: usize = 4;

fn entries(limits: &Limits) -> usize {
    limits.handles.saturating_mul(ENTRIES_PER_HANDLE)
}

/// Arms a new store: from its first instruction the guest is under its limits.
pub(in crate::sandbox) fn arm(store: &mut Store<GuestState>, limits: &Limits) {
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(entries(limits));
    }
    store.limiter(|state| &mut state.limiter);
    store.set_epoch_deadline(1);
    let most = limits.fuel;
    store.epoch_deadline_callback(move |mut context| {
        let recorder = most.and(context.data().limiter.recorder.clone());
        let is_asked = recorder.is_some() || context.data().work.is_some();
        let fuel = is_asked.then(|| context.get_fuel());
        let fuel = fuel.and_then(Result::ok).unwrap_or_default();
        if let (Some(recorder), Some(most)) = (recorder, most) {
            let used = most.saturating_sub(fuel);
            recorder.fuel(used.saturating_add(context.data().host_fuel()).min(most));
        }
        let state = context.data_mut();
        let stopped = if state.cancel.is_wanted() {
            Stopped::Cancelled
        } else if state
            .deadline
            .is_some_and(|deadline| deadline.left().is_none())
        {
            Stopped::Deadline
        } else if state.has_overspent(fuel) {
            Stopped::OutOfFuel
        } else {
            return Ok(UpdateDeadline::Continue(1));
        };
        state.stopped = Some(stopped);
        Err(StoppedByHost.into())
    });
}

/// Sums up all memories and tables of a guest, which wasmtime's own limiter does not.
pub(in crate::sandbox) struct Limiter {
    recorder: Option<Arc<dyn Recorder>>,
    memory_limit: usize,
    memory: usize,
    pub(in crate::sandbox) peak_memory: usize,
    table_limit: usize,
    table_elements: usize,
    /// The sums before the last growth that was allowed, in case it fails.
    before: (usize, usize, usize),
    /// The growth that the guest was last refused: a failure after that is attributed to it.
    pub(in crate::sandbox) refused: Option<Refused>,
}

/// A growth that was refused.
#[derive(Clone, Copy, Debug)]
pub(in crate::sandbox) enum Refused {
    /// The sum of memories would have reached this many bytes.
    Memory(usize),
    /// The sum of tables would have reached this many elements.
    Table(usize),
}

impl Limiter {
    fn new(limits: &Limits, recorder: Option<Arc<dyn Recorder>>) -> Self {
        Self {
            recorder,
            memory_limit: limits.memory.as_usize(),
            memory: 0,
            peak_memory: 0,
            table_limit: limits.table_elements,
            table_elements: 0,
            before: (0, 0, 0),
            refused: None,
        }
    }

    /// Has its memory recorded by whoever records the task.
    fn record(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.peak_memory(self.peak_memory as u64);
        }
    }

    /// Reverts the last growth, which the engine could not carry out.
    fn take_back(&mut self) {
        (self.memory, self.peak_memory, self.table_elements) = self.before;
    }
}

/// Returns the sum after one of its parts has grown; none if the module's own maximum for that part,
/// which is not one of our limits, forbids it.
fn grown(sum: usize, current: usize, desired: usize, maximum: Option<usize>) -> Option<usize> {
    let is_allowed = maximum.is_none_or(|maximum| desired <= maximum);
    is_allowed.then(|| sum.saturating_sub(current).saturating_add(desired))
}

/// The most core modules that a component may instantiate.
pub(in crate::sandbox) const MOST_INSTANCES: usize = 128;

impl ResourceLimiter for Limiter {
    fn instances(&self) -> usize {
        MOST_INSTANCES
    }

    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let Some(sum) = grown(self.memory, current, desired, maximum) else {
            return Ok(false);
        };
        if sum > self.memory_limit {
            self.refused = Some(Refused::Memory(sum));
            return Ok(false);
        }
        self.before = (self.memory, self.peak_memory, self.table_elements);
        self.memory = sum;
        if sum > self.peak_memory {
            self.peak_memory = sum;
            self.record();
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let Some(sum) = grown(self.table_elements, current, desired, maximum) else {
            return Ok(false);
        };
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
