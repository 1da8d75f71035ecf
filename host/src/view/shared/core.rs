//! What the views and jobs of one cluster share.

use super::admission::{Admission, QueueLimits};
use super::desk::Desk;
use super::drivers::DetachedDrivers;
use super::events::{Event, Progress};
use super::keeper::Keeper;
use super::notes::ClusterNotes;
use super::programs::{Programs, Size};
use super::settings::{Lookup, SettingError, TaskSettings};
use super::slot::{Done, Registry, Slot};
use super::tenant::{Budget, TenantState, TenantStatus};
use crate::backend::Backend;
use crate::events::{ClusterEvent, EventSender};
use crate::observe::{Advancing, EndedJob, ObservedJob, ObservedKind, Observer, PreparedModule};
use crate::placement::TenantId;
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::note::LogLevel;
use rwasm_sandbox::sandbox::{
    CommandLine, LoadError, Module, ModuleHash, ModuleInfo, Program, Sandbox, Setting, VariantKey,
};
use rwasm_value::ids::{EngineId, JobId};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// See the [module](self).
pub(crate) struct Core {
    pub(crate) backend: Arc<dyn Backend>,
    /// Where modules are made ready: here, or elsewhere with the engines.
    pub(crate) workshop: Workshop,
    pub(crate) events: EventSender,
    pub(crate) dispatch_ids: Arc<AtomicU64>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) desk: Desk,
    pub(crate) admission: Admission,
    /// The cluster itself, which has what is no tenant's.
    pub(crate) own: Arc<TenantState>,
    /// The tenants that are not closed, by their labels: as many as the program has.
    tenants: Mutex<BTreeMap<Arc<str>, Arc<TenantState>>>,
    /// The number of the next tenant; 0 is the cluster itself.
    tenant_ids: AtomicU64,
    /// What jobs and calls may use by default.
    pub(crate) limits: Limits,
    /// What they may reach by default.
    pub(crate) grants: Arc<Grants>,
    /// Where jobs are recorded, if they are.
    pub(crate) keeper: Option<Keeper>,
    job_ids: AtomicU64,
    /// Modules made ready, by what they were made of. Locked when a job begins, not for its tasks.
    programs: Mutex<Programs<(ModuleHash, VariantKey), Program>>,
    /// Notified when a program was made, or could not be: threads that wait, ...
    made: Condvar,
    /// ... and futures.
    made_elsewhere: Notify,
    /// The inboxes of jobs that run, to stop them.
    pub(crate) running: Arc<Mutex<Running>>,
    pub(crate) detached: Arc<DetachedDrivers>,
    is_closed: AtomicBool,
}

/// Where modules are made ready to run.
pub(crate) enum Workshop {
    /// In this process, with its engines.
    Here(Box<Sandbox>),
    /// With engines that are elsewhere.
    #[cfg_attr(
        not(feature = "nats"),
        expect(dead_code, reason = "there are no engines elsewhere")
    )]
    Elsewhere {
        /// Whether imports that no engine offers are refused.
        strict_imports: bool,
    },
}

/// What became of the jobs of a cluster that was shut down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Jobs that ended by themselves in the time given.
    pub finished: usize,
    /// Jobs that were stopped.
    pub stopped: usize,
}

/// Why a module could not be made ready.
pub(crate) enum NotReady {
    Load(LoadError),
    /// There is no thread for it.
    Thread(std::io::Error),
}

/// A program that is being made.
struct Making<'a> {
    core: &'a Core,
    key: (ModuleHash, VariantKey),
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.core.end_making(&self.key);
    }
}

impl Core {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        workshop: Workshop,
        limits: Limits,
        grants: Arc<Grants>,
        events: EventSender,
        queue: QueueLimits,
        keeper: Option<Keeper>,
    ) -> Self {
        Self {
            backend,
            workshop,
            events,
            dispatch_ids: Arc::new(AtomicU64::new(0)),
            registry: Arc::new(Registry::default()),
            desk: Desk::default(),
            admission: Admission::new(queue),
            own: Arc::new(TenantState::own()),
            tenants: Mutex::default(),
            tenant_ids: AtomicU64::new(1),
            limits,
            grants,
            keeper,
            job_ids: AtomicU64::new(0),
            programs: Mutex::default(),
            made: Condvar::new(),
            made_elsewhere: Notify::new(),
            running: Arc::default(),
            detached: Arc::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Whether the engines are in this process.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.workshop, Workshop::Here(_))
    }

    /// Returns how many modules are compiled here before the one with this hash; none if it is not being compiled.
    #[cfg(feature = "nats")]
    pub(crate) fn compiling_before(&self, module: &str) -> Option<usize> {
        match &self.workshop {
            Workshop::Here(sandbox) => sandbox.compiling_before(module),
            Workshop::Elsewhere { .. } => None,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(crate) fn next_job(&self) -> JobId {
        JobId(self.job_ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns what a task with these settings may use.
    pub(crate) fn limits_of<'a>(&'a self, task: &'a TaskSettings) -> &'a Limits {
        task.limits.as_ref().unwrap_or(&self.limits)
    }

    /// Checks these settings and returns what the sandbox needs of them.
    pub(crate) fn setting(
        &self,
        tenant: &TenantState,
        task: &TaskSettings,
        command: CommandLine,
    ) -> Result<Arc<Setting>, SettingError> {
        let label = tenant.account.label.as_ref();
        let lookup = if self.is_here() {
            Lookup::Here
        } else {
            Lookup::Elsewhere
        };
        task.settle(&self.limits, &self.grants, command, lookup, label)
    }

    /// The settings for which a module is compiled.
    pub(crate) fn variant(&self, setting: &Setting) -> VariantKey {
        let key = VariantKey::of(&setting.limits, setting.deterministic);
        match &self.workshop {
            // A worker that is ended takes what it keeps with it.
            Workshop::Here(sandbox) if sandbox.is_for_workers() && !setting.keeps_state => {
                key.ended_with_its_process()
            }
            _ => key,
        }
    }

    /// The module made ready for this setting, on this thread if nobody has done that yet.
    pub(crate) fn program(
        &self,
        tenant: &TenantState,
        module: &Module,
        setting: &Setting,
    ) -> Result<Arc<Program>, LoadError> {
        let variant = self.variant(setting);
        self.made_ready(tenant, module, variant, &setting.limits)
    }

    /// The module made ready for tasks with these limits.
    pub(crate) fn compile(
        &self,
        module: &Module,
        limits: &Limits,
    ) -> Result<Arc<Program>, LoadError> {
        let variant = self.variant(&Setting::under(limits.clone()));
        self.made_ready(&self.own, module, variant, limits)
    }

    fn made_ready(
        &self,
        tenant: &TenantState,
        module: &Module,
        variant: VariantKey,
        limits: &Limits,
    ) -> Result<Arc<Program>, LoadError> {
        let key = (module.hash(), variant);
        let mut kept = self.programs();
        loop {
            if let Some((program, is_new)) = kept.get(&key, tenant.id()) {
                drop(kept);
                if is_new {
                    self.bound_programs(tenant);
                }
                return Ok(program);
            }
            if kept.begin(key) {
                break;
            }
            // Somebody makes it, or finds that it cannot be made.
            self.wanted_too(tenant, module);
            kept = self.made.wait(kept).unwrap_or_else(PoisonError::into_inner);
        }
        // Compiled without the lock: another module need not wait for it.
        drop(kept);
        self.make(tenant, module, variant, limits)
    }

    /// The same, if it is ready by now.
    #[cfg(feature = "nats")]
    pub(crate) fn kept_program(
        &self,
        tenant: &TenantState,
        module: ModuleHash,
        setting: &Setting,
    ) -> Option<Arc<Program>> {
        let variant = self.variant(setting);
        let (program, is_new) = self.programs().get(&(module, variant), tenant.id())?;
        if is_new {
            self.bound_programs(tenant);
        }
        Some(program)
    }

    /// The module made ready for this setting, without holding up the thread.
    #[cfg(feature = "nats")]
    pub(crate) async fn program_elsewhere(
        self: &Arc<Self>,
        tenant: &Arc<TenantState>,
        module: &Module,
        setting: &Setting,
    ) -> Result<Arc<Program>, NotReady> {
        let variant = self.variant(setting);
        self.made_ready_elsewhere(tenant, module, variant, &setting.limits)
            .await
    }

    /// The same for futures, which compile nothing while they are polled: that is done on a thread of its own, which
    /// goes on if the future is dropped.
    pub(crate) async fn made_ready_elsewhere(
        self: &Arc<Self>,
        tenant: &Arc<TenantState>,
        module: &Module,
        variant: VariantKey,
        limits: &Limits,
    ) -> Result<Arc<Program>, NotReady> {
        let key = (module.hash(), variant);
        loop {
            // From here on it hears of what is made.
            let made = self.made_elsewhere.notified();
            let look = || {
                let mut kept = self.programs();
                let program = kept.get(&key, tenant.id());
                let begins = program.is_none() && kept.begin(key);
                if program.is_none() && !begins {
                    self.wanted_too(tenant, module);
                }
                (program, begins)
            };
            match look() {
                (Some((program, is_new)), _) => {
                    if is_new {
                        self.bound_programs(tenant);
                    }
                    return Ok(program);
                }
                (None, true) => break,
                (None, false) => made.await,
            }
        }
        let (answer, answered) = oneshot::channel();
        let (core, tenant) = (Arc::clone(self), Arc::clone(tenant));
        let (module, limits) = (module.clone(), limits.clone());
        let span = tracing::Span::current();
        let thread = std::thread::Builder::new()
            // Not `rwasm-…`: threads of the compiler's pool may take its name, and they stay.
            .name("prepare".to_owned())
            .spawn(move || {
                let program = span.in_scope(|| core.make(&tenant, &module, variant, &limits));
                // Nobody may wait for it any more.
                let _ = answer.send(program);
            });
        if let Err(error) = thread {
            self.end_making(&key);
            return Err(NotReady::Thread(error));
        }
        match answered.await {
            Ok(program) => program.map_err(NotReady::Load),
            Err(_) => Err(NotReady::Thread(std::io::Error::other(
                "the thread that compiled the module has panicked",
            ))),
        }
    }

    /// Makes a program that [`Programs::begin`] has left to whoever calls this.
    fn make(
        &self,
        tenant: &TenantState,
        module: &Module,
        variant: VariantKey,
        limits: &Limits,
    ) -> Result<Arc<Program>, LoadError> {
        let key = (module.hash(), variant);
        let _making = Making { core: self, key };
        let observed = self
            .events
            .observer()
            .map(|observer| (observer, Instant::now()));
        let program = Arc::new(match &self.workshop {
            Workshop::Here(sandbox) => sandbox.program(module, variant, limits, tenant.id())?,
            Workshop::Elsewhere { strict_imports } => {
                Program::elsewhere(module.clone(), *strict_imports)?
            }
        });
        if let Some((observer, begun)) = observed.filter(|_| self.is_here()) {
            observer.prepared(&PreparedModule {
                module: module.name(),
                took: begun.elapsed(),
                was_cached: !program.was_compiled,
            });
        }
        let id = tenant.id();
        let size = Size {
            module: module.size(),
            known: module.weight(),
        };
        let (program, gone) = self.programs().keep(key, program, size, id);
        drop(gone);
        self.bound_programs(tenant);
        Ok(program)
    }

    /// Has a module that is being made for somebody wait for a turn of this tenant, too.
    fn wanted_too(&self, tenant: &TenantState, module: &Module) {
        if let Workshop::Here(sandbox) = &self.workshop {
            sandbox.wanted_too(module.hash(), tenant.id());
        }
    }

    /// Lets go of the programs that a tenant has more than it may have.
    fn bound_programs(&self, tenant: &TenantState) {
        let most = match tenant.most_modules() {
            _ if tenant.account.is_closed() => 0,
            Some(most) => most,
            None => return,
        };
        // Dropped without the lock: freeing code takes its time.
        let gone = self.programs().bound(tenant.id(), most);
        drop(gone);
    }

    fn programs(&self) -> MutexGuard<'_, Programs<(ModuleHash, VariantKey), Program>> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets whoever waits for a program look again.
    fn end_making(&self, key: &(ModuleHash, VariantKey)) {
        self.programs().end(key);
        self.made.notify_all();
        self.made_elsewhere.notify_waiters();
    }

    /// The tenant with this label, which is made if there is none.
    pub(crate) fn tenant(&self, label: Arc<str>) -> Arc<TenantState> {
        let mut tenants = self.tenants();
        let tenant = tenants.entry(label).or_insert_with_key(|label| {
            let id = TenantId(self.tenant_ids.fetch_add(1, Ordering::Relaxed));
            Arc::new(TenantState::new(id, Arc::clone(label)))
        });
        Arc::clone(tenant)
    }

    pub(crate) fn set_budget(&self, tenant: &TenantState, budget: Budget) {
        tenant.set_budget(budget);
        if tenant.account.is_closed() {
            return;
        }
        self.backend.set_share(tenant.id(), budget.share());
        self.bound_programs(tenant);
    }

    pub(crate) fn status_of(&self, tenant: &TenantState) -> TenantStatus {
        let (queued_tasks, queued_bytes) = tenant.queued();
        let load = self.backend.tenant_status(tenant.id());
        TenantStatus {
            queued_tasks,
            queued_bytes,
            waiting: load.waiting,
            running: load.running,
            modules: self.programs().held_by(tenant.id()),
            pushed: tenant.pushed.count(),
        }
    }

    /// Ends a tenant: what it has submitted, and what is kept for it.
    pub(crate) fn close(&self, tenant: &Arc<TenantState>) {
        tenant.account.close();
        {
            let mut tenants = self.tenants();
            if tenants
                .get(tenant.label())
                .is_some_and(|one| Arc::ptr_eq(one, tenant))
            {
                tenants.remove(tenant.label());
            }
        }
        for slot in self.registry.pending() {
            if slot.tenant == tenant.id() {
                self.desk.cancel(slot.job);
                if let Some(job) = lock(&self.running).get(&slot.job) {
                    // One that has ended needs no stopping.
                    let _ = job.send(Event::Stop);
                } else if !self.is_here() {
                    // Engines elsewhere do not know whose call it is.
                    slot.fill(Done::cancelled());
                }
            }
        }
        self.backend.close_tenant(tenant.id());
        tenant.pushed.clear_all();
        self.bound_programs(tenant);
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<TenantState>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the tasks of all jobs say from now on: log lines from this level on, if one is given.
    pub(crate) fn notes(&self, from: Option<LogLevel>) -> ClusterNotes {
        self.registry.notes.listen(from)
    }

    /// Tells of a job that begins, and of its end when it comes.
    pub(crate) fn tell_submitted(
        &self,
        slot: &Slot,
        tenant: &TenantState,
        submitted: &Submitted<'_>,
    ) {
        if let Some(observer) = self.events.observer() {
            observe_job(observer, slot, tenant, submitted);
        }
        if !self.events.is_heard() {
            return;
        }
        let job = slot.job;
        let label = submitted.label.cloned();
        let tenant = tenant.account.label.clone();
        self.events
            .tell(ClusterEvent::JobSubmitted { job, label, tenant });
        let events = self.events.clone();
        slot.watch(move |done| {
            events.tell(ClusterEvent::JobEnded {
                job,
                success: done.success,
                usage: done.usage(),
            });
        });
    }

    /// Takes nothing more, gives what runs so much time to end, and stops what is left.
    pub(crate) fn shutdown(&self, grace: Duration) -> Shutdown {
        self.is_closed.store(true, Ordering::Release);
        let _entered = tracing::info_span!("shutdown").entered();
        let end = Instant::now().checked_add(grace);
        let mut shutdown = Shutdown::default();
        for slot in self.registry.pending() {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if slot.wait(left) {
                shutdown.finished += 1;
            } else {
                shutdown.stopped += 1;
            }
        }
        for job in lock(&self.running).values() {
            // One that has ended needs no stopping.
            let _ = job.send(Event::Stop);
        }
        self.desk.close();
        self.backend.shutdown();
        self.detached.join();
        // With the last program goes the thread that keeps its clock.
        let programs = std::mem::take(&mut *self.programs());
        drop(programs);
        if let Workshop::Here(sandbox) = &self.workshop {
            sandbox.close();
        }
        shutdown
    }

    /// Lets go of what was pushed to an engine that has gone; what runs there has it still.
    pub(crate) fn forget(&self, engine: EngineId) {
        self.own.pushed.clear(engine);
        for tenant in self.tenants().values() {
            tenant.pushed.clear(engine);
        }
    }
}

/// A job that was submitted, as events and observers are told of it.
pub(crate) struct Submitted<'a> {
    pub(crate) label: Option<&'a Arc<str>>,
    pub(crate) kind: ObservedKind,
    pub(crate) module: &'a ModuleInfo,
    pub(crate) function: &'a str,
    /// How far it is; none of a call.
    pub(crate) progress: Option<&'a Arc<Progress>>,
    pub(crate) begun: Instant,
}

fn observe_job(
    observer: &Arc<dyn Observer>,
    slot: &Slot,
    tenant: &TenantState,
    submitted: &Submitted<'_>,
) {
    let progress = submitted.progress.map(Arc::clone);
    observer.job_submitted(&ObservedJob {
        job: slot.job,
        kind: submitted.kind,
        label: submitted.label,
        tenant: tenant.account.label.as_ref(),
        module: submitted.module.name(),
        function: submitted.function,
        progress: progress.map(|progress| progress as Arc<dyn Advancing>),
    });
    let (job, begun, observer) = (slot.job, submitted.begun, Arc::clone(observer));
    slot.watch(move |done| {
        let since = done.at.saturating_duration_since(begun);
        observer.job_ended(&EndedJob {
            job,
            success: done.success,
            wall_time: done.wall_time.unwrap_or(since),
        });
    });
}

pub(crate) type Running = HashMap<JobId, Sender<Event>>;

pub(crate) fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}
