//! An engine: a thread that runs the tasks of one dispatch after the other.
//!
//! It owns a runner and the instances kept for reuse. It answers the job of a dispatch itself,
//! and tells its backend only that it is free again. A panic while a task runs is contained and
//! becomes that task's failure; one outside of any task ends the thread, which its backend sees.

mod kept;
#[cfg(target_os = "linux")]
mod worker;

#[cfg(target_os = "linux")]
pub(crate) use worker::{BoundaryReport, WorkerSettings, Workers};
#[cfg(target_os = "linux")]
pub use worker::{boundary_layers, task_worker};

use crate::dispatch::{Dispatch, DispatchedTask, Reuse, TaskInput};
use crate::spin;
use kept::KeptInstances;
use rustix::time::{ClockId, clock_gettime};
use rwasm_sandbox::limits::MAX_STACK;
use rwasm_sandbox::note::Recorder;
use rwasm_sandbox::outcome::{Failure, FailureCode, Outcome, Usage};
use rwasm_sandbox::sandbox::{
    Arguments, KeptInstance, PhaseMarks, Report, Request, Runner, Surroundings,
};
use rwasm_value::ids::{DispatchId, EngineId};
use rwasm_value::plain::panic_text;
use rwasm_value::units::ByteSize;
use rwasm_value::value::PackedArgument;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Outcomes are handed over at the latest when they have waited this long, so that whoever
/// reads along sees them come,
const ANSWER_INTERVAL: Duration = Duration::from_millis(5);

/// or when they hold this many bytes, so that they do not pile up on the engine.
const ANSWER_BYTES: u64 = 1 << 20;

/// The largest stack of a guest, which wasmtime checks, and what host frames below and above it may take. It
/// is address space: memory is taken as far as calls nest.
const THREAD_STACK: u64 = MAX_STACK.bytes() + (4 << 20);

/// What an engine tells its backend.
#[derive(Clone, Debug)]
pub(crate) enum EngineNote {
    /// It has run a dispatch to its end.
    Finished {
        engine: EngineId,
        dispatch: DispatchId,
        /// The time for which it had the engine.
        spent: Duration,
    },
    /// It has lost a worker process.
    WorkerLost { engine: EngineId, reason: Arc<str> },
    /// Its thread is about to end by a panic.
    Lost { engine: EngineId },
    /// It was closed, and its thread is about to end.
    Ended,
}

/// What a backend wants of an engine.
enum EngineOrder {
    Run(Arc<Dispatch>),
    /// It is to let go of the instances whose owners are gone.
    LetGo,
}

/// The handle of a running engine, kept by its backend.
pub(crate) struct Engine {
    /// What waits in it has bounds: the dispatches that an engine may have at a time, and one order to let go.
    inbox: Option<Sender<EngineOrder>>,
    /// Whether an order to let go waits.
    is_letting_go: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Engine {
    /// Starts an engine that sends its notes to `notes`; `count` is how many there are, for guests
    /// that ask.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub(crate) fn start(
        id: EngineId,
        count: Arc<AtomicU32>,
        isolation: &Isolation,
        notes: impl Fn(EngineNote) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (inbox, orders) = channel();
        let is_letting_go = Arc::new(AtomicBool::new(false));
        let letting_go = Arc::clone(&is_letting_go);
        let isolation = isolation.clone();
        let (started, has_started) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(format!("rwasm-engine-{id}"))
            .stack_size(ByteSize::new(THREAD_STACK).as_usize())
            .spawn(move || {
                // On this thread, with which its workers end. What fails where resources are short fails here, and
                // there is someone to tell.
                let mut executor = match Executor::new(&isolation, id) {
                    Ok(executor) => executor,
                    Err(error) => return drop(started.send(Err(error))),
                };
                let _ = started.send(Ok(()));
                let work =
                    || run_dispatches(id, &count, &mut executor, (&orders, &letting_go), &notes);
                notes(match catch_unwind(AssertUnwindSafe(work)) {
                    Ok(()) => EngineNote::Ended,
                    Err(_) => EngineNote::Lost { engine: id },
                });
            })?;
        has_started
            .recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("its thread has panicked")))?;
        Ok(Self {
            inbox: Some(inbox),
            is_letting_go,
            thread,
        })
    }

    /// Hands over a dispatch. An engine that has died has said so, and its dispatches are
    /// answered by the backend.
    pub(crate) fn run(&self, dispatch: Arc<Dispatch>) {
        if let Some(inbox) = &self.inbox {
            let _ = inbox.send(EngineOrder::Run(dispatch));
        }
    }

    /// Has it let go of the instances whose owners are gone, even if it gets no more dispatches.
    pub(crate) fn let_go(&self) {
        if let Some(inbox) = &self.inbox
            && !self.is_letting_go.swap(true, Ordering::AcqRel)
        {
            let _ = inbox.send(EngineOrder::LetGo);
        }
    }

    /// Tells it to end when it has run what it was given.
    pub(crate) fn close(&mut self) {
        self.inbox = None;
    }

    /// Waits for its end.
    pub(crate) fn join(mut self) {
        self.close();
        // A panic was caught and told before.
        let _ = self.thread.join();
    }
}

fn run_dispatches(
    id: EngineId,
    count: &AtomicU32,
    executor: &mut Executor,
    (orders, is_letting_go): (&Receiver<EngineOrder>, &AtomicBool),
    notes: &impl Fn(EngineNote),
) {
    let mut computed = processor_time();
    let mut spin = Duration::ZERO;
    loop {
        let received = spin::receive_within(orders, spin, executor.rest());
        spin = Duration::ZERO;
        let order = match received {
            Ok(order) => order,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                executor.look_after();
                for reason in executor.take_lost() {
                    notes(EngineNote::WorkerLost { engine: id, reason });
                }
                continue;
            }
        };
        let dispatch = match order {
            EngineOrder::Run(dispatch) => dispatch,
            EngineOrder::LetGo => {
                // Before it looks, so that whoever goes from now on is looked for again.
                is_letting_go.swap(false, Ordering::AcqRel);
                executor.let_go();
                continue;
            }
        };
        let begun = Instant::now();
        let mut elsewhere = Duration::ZERO;
        if dispatch.begin() {
            dispatch.reply.begun();
            dispatch.observe_begin();
            elsewhere = executor.run(id, count.load(Ordering::Relaxed), &dispatch);
        }
        for reason in executor.take_lost() {
            notes(EngineNote::WorkerLost { engine: id, reason });
        }
        let spent = begun.elapsed();
        notes(EngineNote::Finished {
            engine: id,
            dispatch: dispatch.id,
            spent,
        });
        spin = spin::after(dispatch.tasks.len(), spent);
        // Asked once for each dispatch of a tenant, and when its tasks have been answered: it costs as much as a
        // hundredth of a small one.
        if dispatch.account.counts() {
            let now = processor_time();
            dispatch
                .account
                .add_processor_time(now.saturating_sub(computed) + elsewhere);
            computed = now;
        }
    }
}

/// Where an engine runs its tasks.
#[derive(Clone, Debug, Default)]
pub(crate) enum Isolation {
    /// On its own thread.
    #[default]
    Thread,
    /// In processes of its own.
    #[cfg(target_os = "linux")]
    Workers(WorkerSettings),
}

/// The same, with what an engine has there.
enum Executor {
    Thread(Runner, KeptInstances),
    #[cfg(target_os = "linux")]
    Workers(Box<Workers>),
}

impl Executor {
    fn new(isolation: &Isolation, id: EngineId) -> std::io::Result<Self> {
        Ok(match isolation {
            Isolation::Thread => Self::Thread(Runner::new()?, KeptInstances::default()),
            #[cfg(target_os = "linux")]
            Isolation::Workers(settings) => {
                Self::Workers(Box::new(Workers::start(settings.clone(), id)?))
            }
        })
    }

    fn let_go(&mut self) {
        match self {
            Self::Thread(_, kept) => kept.let_go(),
            #[cfg(target_os = "linux")]
            Self::Workers(workers) => workers.let_go(),
        }
    }

    /// How long an engine that has nothing to do waits until it looks after what it has; none if it need not.
    fn rest(&self) -> Option<Duration> {
        match self {
            Self::Thread(..) => None,
            #[cfg(target_os = "linux")]
            Self::Workers(workers) => workers.rest(),
        }
    }

    fn look_after(&mut self) {
        match self {
            Self::Thread(..) => {}
            #[cfg(target_os = "linux")]
            Self::Workers(workers) => workers.look_after(),
        }
    }

    /// Takes why worker processes were lost since this was asked last.
    fn take_lost(&mut self) -> Vec<Arc<str>> {
        match self {
            Self::Thread(..) => Vec::new(),
            #[cfg(target_os = "linux")]
            Self::Workers(workers) => workers.take_lost(),
        }
    }

    /// Runs a dispatch, and returns how long was computed elsewhere.
    fn run(&mut self, engine: EngineId, count: u32, dispatch: &Dispatch) -> Duration {
        match self {
            Self::Thread(runner, kept) => {
                let on = EngineContext {
                    engine,
                    count,
                    runner,
                    answers_each: false,
                    recorder: None,
                };
                run_dispatch(&on, dispatch, kept);
                Duration::ZERO
            }
            #[cfg(target_os = "linux")]
            Self::Workers(workers) => workers.run(count, dispatch),
        }
    }
}

/// How long this thread has computed.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The engine that tasks run on, as they see it.
struct EngineContext<'a> {
    engine: EngineId,
    count: u32,
    runner: &'a Runner,
    /// Whether each task is answered by itself.
    answers_each: bool,
    /// Who keeps what is known of the task that runs.
    recorder: Option<Arc<dyn Recorder>>,
}

fn run_dispatch(on: &EngineContext<'_>, dispatch: &Dispatch, kept: &mut KeptInstances) {
    let span = tracing::debug_span!(
        parent: &dispatch.span,
        "dispatch",
        id = %dispatch.id,
        engine = %on.engine,
        tasks = dispatch.tasks.len(),
    );
    let _entered = span.enter();
    kept.let_go();
    let mut instance = match dispatch.reuse {
        Reuse::Engine => kept.take(dispatch),
        Reuse::None | Reuse::Dispatch => None,
    };
    let module = dispatch.program.module.hash();
    // An engine that was replaced, or had to let the instance go, has lost what was in it.
    let mut is_lost = dispatch.reuse == Reuse::Engine
        && instance.is_none()
        && dispatch.owner.has(on.engine, module);
    let mut ready = Vec::new();
    let mut ready_bytes = 0;
    let mut last_answer = Instant::now();
    for idx in 0..dispatch.tasks.len() {
        // It counts the tasks that are answered, and those that are cancelled before they begin are.
        if let Some(recorder) = &on.recorder {
            recorder.begin();
        }
        if dispatch.cancel.is_wanted() {
            continue;
        }
        let mut outcome = run_task(on, dispatch, &dispatch.tasks[idx], &mut instance);
        outcome.usage.state_lost |= std::mem::take(&mut is_lost);
        ready_bytes += outcome.usage.bytes_out;
        ready.push(outcome);
        if on.answers_each || ready_bytes > ANSWER_BYTES || last_answer.elapsed() > ANSWER_INTERVAL
        {
            dispatch.answer(std::mem::take(&mut ready));
            ready_bytes = 0;
            last_answer = Instant::now();
        }
    }
    if dispatch.reuse == Reuse::Engine {
        let has = instance.is_some();
        // Of one that was cancelled nobody hears what it lost: the next says so.
        if has || !dispatch.cancel.is_wanted() {
            dispatch.owner.set(on.engine, module, has);
        }
    }
    if !ready.is_empty() {
        dispatch.answer(ready);
    }
    dispatch.cancel_rest(Some(on.engine));
    if let (Reuse::Engine, Some(instance)) = (dispatch.reuse, instance)
        && !dispatch.account.is_closed()
    {
        kept.put(dispatch, instance);
    }
}

fn run_task(
    on: &EngineContext<'_>,
    dispatch: &Dispatch,
    task: &DispatchedTask,
    instance: &mut Option<KeptInstance>,
) -> Outcome {
    let arguments = match arguments(on.engine, dispatch, task) {
        Ok(arguments) => arguments,
        Err(failure) => {
            let engine = dispatch.told(on.engine);
            let usage = Usage::none(Some(engine), task.attempt, dispatch.queued);
            return Outcome {
                result: Err(failure),
                usage,
            };
        }
    };
    let had_state = dispatch.reuse == Reuse::Engine && instance.is_some();
    let started = SystemTime::now();
    let clock = Instant::now();
    let observer = dispatch.observer.as_ref();
    let phases = observer
        .filter(|observer| observer.wants_phases())
        .map(|_| Arc::new(PhaseMarks::since(clock)));
    let surroundings = Surroundings {
        engine: dispatch.told(on.engine),
        engine_count: dispatch.engine_count.unwrap_or(on.count),
        task: task.index,
        pushed: dispatch
            .pushed
            .as_ref()
            .and_then(|pushed| pushed.get(&on.engine).cloned()),
        listener: dispatch.listener.clone(),
        recorder: on.recorder.clone(),
        elements: dispatch.elements.clone(),
        phases,
    };
    let request = Request {
        callee: dispatch.callee,
        arguments: &arguments,
        setting: &dispatch.setting,
        cancel: &dispatch.cancel,
        surroundings: &surroundings,
    };
    let span = tracing::trace_span!("task", index = task.index, attempt = task.attempt);
    let _entered = span.enter();
    let run = catch_unwind(AssertUnwindSafe(|| {
        on.runner.run(&dispatch.program, &request, instance)
    }));
    let report = run.unwrap_or_else(|panic| {
        // What was kept may be half changed.
        *instance = None;
        Report::refused(fault(panic.as_ref()))
    });
    let value = report.result.as_ref().map_or(0, |value| value.len() as u64);
    let bytes_out = value + report.delivered;
    Outcome {
        usage: Usage {
            engine: Some(dispatch.told(on.engine)),
            attempt: task.attempt,
            queued: dispatch.queued,
            started,
            run_time: clock.elapsed(),
            peak_memory: report.peak_memory,
            bytes_in: report.bytes_in,
            bytes_out,
            fuel: report.fuel,
            logs: report.logs,
            notes: report.notes,
            phases: surroundings.phases.map(|marks| Box::new(marks.phases())),
            state_lost: had_state && instance.is_none(),
            earlier: Vec::new(),
        },
        result: report.result,
    }
}

fn fault(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic_text(panic);
    Failure::new(
        FailureCode::Internal,
        format!("internal error in rwasm-cluster, please report it: {text}"),
    )
}

/// What the task is called with, or why it cannot run.
fn arguments<'a>(
    engine: EngineId,
    dispatch: &Dispatch,
    task: &'a DispatchedTask,
) -> Result<Cow<'a, Arguments>, Failure> {
    if task.start_by.is_some_and(|time| Instant::now() > time) {
        return Err(Failure::new(
            FailureCode::Timeout,
            "it waited longer than its time in the queue",
        ));
    }
    resolve(engine, dispatch, task)
}

/// The same, whenever it runs.
fn resolve<'a>(
    engine: EngineId,
    dispatch: &Dispatch,
    task: &'a DispatchedTask,
) -> Result<Cow<'a, Arguments>, Failure> {
    match &task.input {
        TaskInput::Ready(arguments) => Ok(Cow::Borrowed(arguments)),
        TaskInput::Refused(failure) => Err(failure.clone()),
        TaskInput::Named(arguments) => {
            let values = dispatch.pushed.as_ref().and_then(|all| all.get(&engine));
            let value = |argument: &PackedArgument| match argument {
                PackedArgument::Value(value) => Ok(value.clone()),
                PackedArgument::Reference { name, ty } => {
                    let value = values.and_then(|values| values.get(name)).ok_or_else(|| {
                        let message = format!("engine {engine} has no pushed value `{name}`");
                        Failure::new(FailureCode::BadInput, message)
                    })?;
                    value.packed(ty).map_err(|error| {
                        let message =
                            format!("the value `{name}` on engine {engine} does not fit: {error}");
                        Failure::new(FailureCode::BadInput, message)
                    })
                }
            };
            let values = arguments.iter().map(value).collect::<Result<_, _>>()?;
            Ok(Cow::Owned(Arguments::Values(values)))
        }
    }
}
