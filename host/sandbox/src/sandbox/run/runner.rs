//! Runs tasks one at a time on its own thread; each engine owns one.
//!
//! A guest that may wait is a future on this thread's runtime, raced against its deadline and
//! cancellation; dropping the future ends the guest. One that cannot wait is called directly.
//! Either way the epoch stops a guest that computes.

use super::failure;
use super::program::{Code, Compiled, Program};
use super::{component, core};
use crate::awake::Awake;
use crate::note::StandardOutput;
use crate::outcome::{Failure, FailureCode, Log, Logs};
use crate::sandbox::abi::Waits;
use crate::sandbox::compile::ticker::Alarm;
use crate::sandbox::compile::variant::Variant;
use crate::sandbox::module::{Callee, ModuleInfo};
use crate::sandbox::world::flows::Flows;
use crate::sandbox::world::request::Arguments;
use crate::sandbox::world::request::{Report, Request, Setting};
use crate::sandbox::world::state::{GuestState, Preview, arm};
use crate::sandbox::world::stdio::unreadable;
use crate::sandbox::world::stdio::{Sink, Stdin, Stdio};
use rwasm_value::value::Packed;
use std::cell::OnceCell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::coop::unconstrained;
use wasmtime::Store;

/// How long to wait for a runtime's blocked threads when it ends: a host call that is stuck, for
/// example reading the process's stdin, cannot be ended and must not hold up the rest.
const STUCK_CALL_GRACE: Duration = Duration::from_millis(100);

/// The threads of an engine on which files and inputs are read and written: whatever a guest begins beyond that waits. In
/// WASI 0.3, a directory that is listed has one until the guest has read the list.
const BLOCKING_THREADS: usize = 32;

/// Values that are lifted out of a component one at a time take a multiple of their size on the
/// host; the output limit applies to the packed result.
const VAL_OVERHEAD: usize = 4;

/// Runs tasks on one thread.
#[doc(hidden)]
pub struct Runner {
    runtime: Option<Runtime>,
    /// For deterministic tasks, created with the first of them: its time stands still while a guest
    /// computes, and jumps to the next timer when everything sleeps.
    simulated: OnceCell<Runtime>,
}

/// An instance that is kept for the next task of its job, with its store.
#[doc(hidden)]
pub struct KeptInstance {
    store: Store<GuestState>,
    instance: Instance,
}

enum Instance {
    Core(core::CoreInstance),
    Component(wasmtime::component::Instance),
}

/// How a call ended without a value.
pub(super) enum Stop {
    /// An error of wasmtime, which still needs a code.
    Guest(wasmtime::Error),
    /// A failure with its code.
    Failure(Failure),
}

impl From<wasmtime::Error> for Stop {
    fn from(error: wasmtime::Error) -> Self {
        Self::Guest(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Runner {
    /// Makes a runner for the calling thread.
    #[doc(hidden)]
    pub fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            simulated: OnceCell::new(),
        })
    }

    /// Returns the runtime for tasks of this setting.
    fn runtime(&self, setting: &Setting) -> Result<&Runtime, Failure> {
        if !setting.deterministic {
            return self.runtime.as_ref().ok_or_else(Failure::cancelled);
        }
        if cfg!(not(feature = "deterministic")) {
            // Refused earlier, when the job's setting was made.
            let message = "the library was built without deterministic tasks";
            return Err(Failure::new(FailureCode::Internal, message));
        }
        if let Some(runtime) = self.simulated.get() {
            return Ok(runtime);
        }
        let mut builder = tokio::runtime::Builder::new_current_thread();
        #[cfg(feature = "deterministic")]
        builder.start_paused(true);
        let runtime = builder
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .map_err(|error| Failure::new(FailureCode::Internal, error.to_string()))?;
        Ok(self.simulated.get_or_init(|| runtime))
    }

    /// Runs one task. `kept` is the instance of the previous task, if it may be reused, and
    /// afterwards the one that may serve the next.
    #[doc(hidden)]
    pub fn run(
        &self,
        program: &Program,
        request: &Request<'_>,
        kept: &mut Option<KeptInstance>,
    ) -> Report {
        let Some(compiled) = program.compiled() else {
            let message =
                "the module was prepared for remote engines and cannot run in this process";
            return Report::refused(Failure::new(FailureCode::Internal, message));
        };
        let limits = &request.setting.limits;
        if let Some(size) = copied_size(&program.module, request.callee, request.arguments)
            && size > limits.input.bytes()
        {
            return Report::refused(failure::input_limit(size, limits));
        }
        let runtime = match self.runtime(request.setting) {
            Ok(runtime) => runtime,
            Err(failure) => return Report::refused(failure),
        };
        // The guest's clock shows the time of this runtime.
        let _context = runtime.enter();
        let (mut store, instance) = match kept.take() {
            Some(KeptInstance {
                mut store,
                instance,
            }) => {
                store.data_mut().rearm(request);
                (store, Some(instance))
            }
            None => match new_store(program, compiled, request) {
                Ok(store) => (store, None),
                Err(failure) => return Report::refused(failure),
            },
        };
        store.set_epoch_deadline(1);
        if let Some(fuel) = limits.fuel
            && let Err(error) = store.set_fuel(fuel)
        {
            return Report::refused(Failure::new(FailureCode::Internal, error.to_string()));
        }

        let ended = call(
            runtime,
            &program.module,
            compiled,
            request,
            &mut store,
            instance,
        );
        let (result, instance) = match ended {
            // A guest may have been told of an error of its input, and have gone on.
            Ok((result, instance)) => match store.data().input().take_error() {
                Some(error) => (Err(unreadable(&error)), None),
                None => (result, instance),
            },
            Err(Stop::Failure(failure)) => (Err(failure), None),
            Err(Stop::Guest(error)) => match store.data().input().take_error() {
                Some(error) => (Err(unreadable(&error)), None),
                None => (Err(failure::classify(&error, store.data(), limits)), None),
            },
        };
        let result = result.map_err(|mut failure| {
            failure
                .message
                .extend(store.data().peers().1.take().as_deref());
            failure
        });
        let report = report(&program.module, result, request, &mut store);
        // What an async component has left open would be there for the next task.
        let keeps = request.setting.keep_instance && !compiled.variant.key.concurrent;
        if let Some(instance) = instance.filter(|_| keeps) {
            *kept = Some(KeptInstance { store, instance });
        } else if !request.setting.peers.is_empty() {
            drop(store);
            close_sockets(runtime);
        }
        report
    }
}

/// Calls what the request names in the compiled module, in `instance` or in a fresh one.
fn call(
    runtime: &Runtime,
    module: &ModuleInfo,
    compiled: &Compiled,
    request: &Request<'_>,
    store: &mut Store<GuestState>,
    instance: Option<Instance>,
) -> Result<(Result<Packed, Failure>, Option<Instance>), Stop> {
    let deadline = Deadline {
        at: store.data().deadline,
        variant: &compiled.variant,
    };
    match &compiled.code {
        Code::Core(core) => {
            let instance = match instance {
                Some(Instance::Core(instance)) => Some(instance),
                _ => None,
            };
            let waits = core.waits;
            let call = core::call(module, core, request, store, instance);
            finish(runtime, waits, request, &deadline, call)
                .map(|(value, instance)| (value, instance.map(Instance::Core)))
        }
        Code::Component(code) => {
            let instance = match instance {
                Some(Instance::Component(instance)) => Some(instance),
                _ => None,
            };
            let call = component::call(module, code, request, store, instance);
            finish(runtime, Waits::Maybe, request, &deadline, call)
                .map(|(value, instance)| (value, instance.map(Instance::Component)))
        }
    }
}

/// Drives a call to its end or its limit.
fn finish<T>(
    runtime: &Runtime,
    waits: Waits,
    request: &Request<'_>,
    deadline: &Deadline<'_>,
    call: impl Future<Output = Result<T, Stop>>,
) -> Result<T, Stop> {
    let mut call = pin!(call);
    if waits == Waits::Never {
        return match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ended) => ended,
            Poll::Pending => Err(Stop::Failure(Failure::new(
                FailureCode::Internal,
                "a call that cannot wait did wait",
            ))),
        };
    }
    let limits = &request.setting.limits;
    runtime.block_on(async {
        // A host call that always has something to do takes all that tokio lets this future do at once, each time; its limits
        // are looked at all the same.
        let mut timeout = pin!(unconstrained(deadline.passed(request.setting)));
        let mut cancelled = pin!(unconstrained(request.cancel.wanted()));
        std::future::poll_fn(|context| {
            if let Poll::Ready(ended) = call.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            if cancelled.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(Stop::Failure(Failure::cancelled())));
            }
            if let Poll::Ready(passed) = timeout.as_mut().poll(context) {
                return Poll::Ready(Err(Stop::Failure(match passed {
                    Passed::Time => failure::timeout(limits),
                    Passed::Clock => failure::timeout_by_clock(limits),
                })));
            }
            Poll::Pending
        })
        .await
    })
}

/// When a call has to end by the host's clock.
struct Deadline<'a> {
    /// None if it is further away than clocks reach.
    at: Option<Awake>,
    variant: &'a Variant,
}

/// Which time has passed.
enum Passed {
    Time,
    /// The other time of a deterministic task, which its runtime does not know.
    Clock,
}

impl Deadline<'_> {
    /// Waits until the time of a call has passed.
    async fn passed(&self, setting: &Setting) -> Passed {
        let mut time = pin!(tokio::time::sleep(setting.limits.time));
        let mut alarm: Option<(Instant, Alarm)> = None;
        std::future::poll_fn(|context| {
            if !setting.deterministic {
                ready!(time.as_mut().poll(context));
                let Some(left) = self.at.and_then(Awake::left) else {
                    return Poll::Ready(Passed::Time);
                };
                // The process was suspended meanwhile.
                time.set(tokio::time::sleep(left));
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if time.as_mut().poll(context).is_ready() {
                return Poll::Ready(Passed::Time);
            }
            if let Some(at) = self.at {
                let Some(left) = at.left() else {
                    return Poll::Ready(Passed::Clock);
                };
                let now = Instant::now();
                // The task of a `block_on` has one waker. An alarm rings too early if the process was suspended.
                if alarm.as_ref().is_none_or(|(rings, _)| *rings <= now)
                    && let Some(alarm_at) = now.checked_add(left)
                {
                    let set = self.variant.wake_at(alarm_at, context.waker().clone());
                    alarm = Some((alarm_at, set));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Lets the runtime drop what a guest's sockets were waiting for, which otherwise stays open until
/// the next task that waits.
fn close_sockets(runtime: &Runtime) {
    /// The runtime handles about 60 events at a time, and a guest has no more handles than its
    /// limit.
    const TURNS: usize = 8;
    runtime.block_on(async {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    });
}

impl Drop for Runner {
    fn drop(&mut self) {
        for runtime in [self.runtime.take(), self.simulated.take()]
            .into_iter()
            .flatten()
        {
            runtime.shutdown_timeout(STUCK_CALL_GRACE);
        }
    }
}

/// Returns how many bytes of the arguments are copied into the guest. A command's stdin is
/// streamed, and so is an input that a function takes as a stream.
#[doc(hidden)]
#[must_use]
pub fn copied_size(module: &ModuleInfo, callee: Callee, arguments: &Arguments) -> Option<u64> {
    match arguments {
        Arguments::Chunk(_) if module.streams_input(callee) => None,
        Arguments::Chunk(chunk) => chunk.len(),
        Arguments::Values(values) | Arguments::Parts(values) => {
            Some(values.iter().map(|value| value.len() as u64).sum())
        }
    }
}

fn new_store(
    program: &Program,
    compiled: &Compiled,
    request: &Request<'_>,
) -> Result<Store<GuestState>, Failure> {
    let limits = &request.setting.limits;
    let logs = limits.logs.as_usize();
    let (stdin, stdout) = match (request.callee, request.arguments) {
        (Callee::Command, Arguments::Chunk(chunk)) => {
            let stdin = Stdin::chunk(chunk).map_err(|error| unreadable(&error))?;
            (stdin, Sink::result(limits.output.as_usize()))
        }
        (Callee::Command, _) => (Stdin::empty(), Sink::result(limits.output.as_usize())),
        (Callee::Function(_), _) => (Stdin::empty(), Sink::log(logs, StandardOutput::Stdout)),
    };
    let stdio = Stdio {
        stdin,
        stdout,
        stderr: Sink::log(logs, StandardOutput::Stderr),
        flows: Flows::default(),
    };
    stdio.listen(request.surroundings);
    let mut state = GuestState::new(&program.module, request, stdio)?;
    state.open_directories(match &compiled.code {
        Code::Core(_) => Preview::One,
        Code::Component(_) => Preview::Two,
    })?;
    let mut store = Store::try_new(&compiled.variant.engine, state)
        .map_err(|error| Failure::new(FailureCode::Internal, format!("{error:#}")))?;
    let passed = limits.output.as_usize().saturating_mul(VAL_OVERHEAD);
    // What a guest reports to its host is not part of the result, and is dropped if it is too much.
    store.set_hostcall_fuel(passed.max(limits.memory.as_usize()));
    arm(&mut store, limits);
    Ok(store)
}

fn report(
    module: &ModuleInfo,
    result: Result<Packed, Failure>,
    request: &Request<'_>,
    store: &mut Store<GuestState>,
) -> Report {
    let notes = store.data_mut().desk.notes.take();
    let state = store.data();
    let is_command = request.callee == Callee::Command;
    let limits = &request.setting.limits;
    let logs = Logs {
        stdout: match (is_command, &result) {
            (true, Ok(_)) => Log::default(),
            (true, Err(_)) => state.stdio.stdout.take_as_log(limits.logs.as_usize()),
            (false, _) => state.stdio.stdout.take(),
        },
        stderr: state.stdio.stderr.take(),
    };
    let printed = !logs.stdout.kept.is_empty() || !logs.stderr.kept.is_empty();
    // Asked only where it is counted: the answer otherwise is an error, which takes longer than a small task.
    let left = limits.fuel.map(|_| store.get_fuel().unwrap_or_default());
    let left = left.unwrap_or_default();
    let overspent = state.has_overspent(left);
    let fuel = limits.fuel.map(|fuel| {
        let used = fuel.saturating_sub(left);
        used.saturating_add(state.host_fuel()).min(fuel)
    });
    // Whether it was stopped before that or came to another end by itself depends on when the host looked.
    let mut result = match result {
        Err(failure) if failure.is_by_clock || failure.code == FailureCode::Cancelled => {
            Err(failure)
        }
        _ if overspent => Err(failure::out_of_fuel(limits)),
        result => result,
    };
    if let Err(failure) = &mut result {
        failure.last_line = logs.stderr.last_line().map(Into::into);
        failure.message += &failure::missing_directory(failure, &logs.stderr, request);
    }
    Report {
        result,
        delivered: state.delivered,
        peak_memory: state.limiter.peak_memory as u64,
        bytes_in: copied_size(module, request.callee, request.arguments)
            .unwrap_or_else(|| state.input().bytes_read()),
        fuel,
        logs: printed.then(|| Box::new(logs)),
        notes,
    }
}

impl Report {
    #[doc(hidden)]
    pub fn refused(failure: Failure) -> Self {
        Self {
            result: Err(failure),
            delivered: 0,
            peak_memory: 0,
            bytes_in: 0,
            fuel: None,
            logs: None,
            notes: None,
        }
    }
}
