//! What a worker says while it runs a dispatch: heard, checked, and believed as far as it can be.

use super::form::{self, ELEMENTS, END, End, HOST_CALL, NOTE, OUTCOME, REFUSED, StreamInput};
use super::host_calls::HostRuntime;
use super::process::{GRACE, LOOK, Process, WorkerError, refusal};
use crate::dispatch::Dispatch;
use crate::wire::{decode_outcome, largest_outcomes};
use crate::within::within;
use rwasm_boundary::descriptors::DescriptorsError;
use rwasm_boundary::ring::Received;
use rwasm_sandbox::awake::Awake;
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::outcome::{Failure, FailureCode, Outcome};
use rwasm_sandbox::sandbox::{Callee, value_type};
use rwasm_value::ids::EngineId;
use rwasm_value::units::ByteSize;
use rwasm_value::value::Type;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How far a task may be over its time before its worker is ended, if its code stops by itself: then a call of the host hangs.
pub(super) const OVERTIME: Duration = Duration::from_secs(1);

/// The same, and how long it may take to stop, for code that does not: one that waits has ended by then.
const SHORT_GRACE: Duration = Duration::from_millis(30);

/// Outcomes are passed on when they have so many bytes, or have waited so long.
const MOST_READY: u64 = 1 << 20;

/// A task that has said nothing for so many looks is a long one, and is looked at less often: a thousand engines wait at the
/// price of one. Whoever cancels it waits for that, and then for its worker, no more than a tenth of a second.
const PATIENT: u32 = 20;
const RARE_LOOK: Duration = Duration::from_millis(50);

/// Messages that are heard before it is looked what the time is.
const AT_ONCE: u32 = 256;

/// The length that stands before the bytes of a result, which are what is limited.
const LENGTH: u64 = 10;

/// The type of the elements that its tasks give while they run, if they do.
fn element_type(dispatch: &Dispatch) -> Option<Type> {
    match dispatch.callee {
        Callee::Command => None,
        Callee::Function(place) => dispatch.program.module.functions()[place].element_type(),
    }
}

/// How far a dispatch is.
pub(super) struct Progress {
    pub(super) first: usize,
    pub(super) answered: usize,
    pub(super) has_begun: bool,
    /// When the task that runs has begun, as far as is known here.
    pub(super) moved: Instant,
}

/// Why a dispatch was not run to its end.
pub(super) enum RunError {
    /// The task that ran fails so, and its worker is at fault.
    Failure(Failure),
    /// The task that ran fails so, and its worker was to be ended with it.
    Stopped(Failure),
    /// The worker has ended.
    Ended,
    WorkerError(WorkerError),
}

impl From<WorkerError> for RunError {
    fn from(broken: WorkerError) -> Self {
        Self::WorkerError(broken)
    }
}

/// The type of what its tasks return.
pub(super) fn result_type(dispatch: &Dispatch) -> Type {
    match dispatch.callee {
        Callee::Command => Type::bytes(),
        Callee::Function(place) => {
            let function = dispatch.program.module.functions().get(place);
            function.map_or_else(|| Type::tuple([]), value_type)
        }
    }
}

/// Listens to a worker that runs a dispatch.
pub(super) struct Listening<'a> {
    pub(super) dispatch: &'a Dispatch,
    number: u32,
    pub(super) engine: EngineId,
    /// Where the embedder's functions run.
    pub(super) runtime: &'a HostRuntime,
    ty: Type,
    is_lost: bool,
    /// Whether the code of its tasks stops by itself.
    is_stoppable: bool,
    pumps: StreamPumps,
    sent: Instant,
    /// How much time has passed since, at least.
    elapsed: Duration,
    /// When the task that it runs is over its time, and when so is the worker.
    time: Option<Awake>,
    until: Option<Awake>,
    /// When it is to have stopped.
    stop: Option<Instant>,
    /// Whether a task has ended since that was looked at.
    has_moved: bool,
    /// The bytes of the elements that the task that runs has given.
    delivered: u64,
    /// What is to be passed on, its bytes, and since when.
    ready: Vec<Outcome>,
    ready_bytes: u64,
    ready_since: Instant,
}

impl<'a> Listening<'a> {
    pub(super) fn new(
        dispatch: &'a Dispatch,
        number: u32,
        engine: EngineId,
        is_lost: bool,
        pumps: StreamPumps,
        runtime: &'a HostRuntime,
    ) -> Self {
        let now = Instant::now();
        Self {
            dispatch,
            number,
            engine,
            runtime,
            ty: result_type(dispatch),
            is_lost,
            is_stoppable: dispatch
                .program
                .portable()
                .is_none_or(|portable| portable.key.is_stoppable()),
            pumps,
            sent: now,
            elapsed: Duration::ZERO,
            time: None,
            until: None,
            stop: None,
            has_moved: true,
            delivered: 0,
            ready: Vec::new(),
            ready_bytes: 0,
            ready_since: now,
        }
    }
}

impl Listening<'_> {
    /// Listens until the dispatch has ended.
    pub(super) fn listen(
        &mut self,
        process: &mut Process,
        course: &mut Progress,
    ) -> Result<End, RunError> {
        let ended = match self.hear_all(process, course) {
            // What it wrote before is as good as ever.
            Err(RunError::Ended) => self.hear_rest(process, course),
            ended => ended,
        };
        self.pass_on();
        ended
    }

    /// Reads what a worker has left that has ended.
    fn hear_rest(&mut self, process: &mut Process, course: &mut Progress) -> Result<End, RunError> {
        let limit = self.limit();
        let mut message = Vec::new();
        let now = Instant::now();
        loop {
            let received = process.receiver.receive(limit, &mut message, Some(now));
            match received.map_err(WorkerError::from)? {
                Received::Message => {
                    if let Some(end) = self.hear(&message, course)? {
                        return Ok(end);
                    }
                }
                Received::Nothing => return Err(WorkerError("it ended".to_owned()).into()),
            }
        }
    }

    /// The longest message that an outcome may be.
    fn limit(&self) -> usize {
        ByteSize::new(largest_outcomes(&self.dispatch.setting.limits, 1)).as_usize()
    }

    fn hear_all(&mut self, process: &mut Process, course: &mut Progress) -> Result<End, RunError> {
        let limit = self.limit();
        course.has_begun = true;
        course.moved = self.sent;
        let mut message = std::mem::take(&mut process.message);
        let mut looked = Instant::now();
        // How often nothing has come since the last message.
        let mut silent = 0;
        loop {
            let now = Instant::now();
            // One that talks all the time is looked at too.
            if now.duration_since(looked) > LOOK {
                self.look(process, course)?;
                looked = now;
            }
            if self.ready_bytes > MOST_READY || now.duration_since(self.ready_since) > LOOK {
                self.pass_on();
            }
            let mut pause = LOOK;
            if silent > PATIENT {
                let left = self.until.and_then(Awake::left);
                pause = left.map_or(RARE_LOOK, |left| left.clamp(LOOK, RARE_LOOK));
            }
            let look = now + pause;
            let mut received = process.receiver.receive(limit, &mut message, Some(look));
            silent = if let Ok(Received::Nothing) = received {
                silent + 1
            } else {
                0
            };
            if silent > 0 {
                self.pass_on();
                self.look(process, course)?;
            }
            // Those that are there are heard without a look at the clock, which would take as long.
            let mut heard = 0;
            while received.map_err(WorkerError::from)? == Received::Message {
                if let Some((&HOST_CALL, body)) = message.split_first() {
                    self.serve_call(process, body, course)?;
                } else if let Some(end) = self.hear(&message, course)? {
                    process.message = message;
                    return Ok(end);
                }
                if message.first() == Some(&ELEMENTS) {
                    self.wait_for_room(process, course)?;
                }
                heard += 1;
                if heard == AT_ONCE {
                    break;
                }
                received = process.receiver.try_receive(limit, &mut message);
            }
        }
    }

    /// Answers the tasks that have ended.
    fn pass_on(&mut self) {
        if !self.ready.is_empty() {
            self.dispatch.answer(std::mem::take(&mut self.ready));
            self.ready_bytes = 0;
        }
    }

    fn begin_next(&mut self) {
        let setting = &self.dispatch.setting;
        let time = if setting.deterministic {
            setting.limits.wall()
        } else {
            setting.limits.time
        };
        self.time = Awake::now().after(time);
        let overtime = if self.is_stoppable {
            OVERTIME
        } else {
            SHORT_GRACE
        };
        self.until = Awake::now().after(time.saturating_add(overtime));
    }

    fn hear(&mut self, message: &[u8], course: &mut Progress) -> Result<Option<End>, WorkerError> {
        let (kind, body) = message.split_first().ok_or("it sent an empty message")?;
        match *kind {
            OUTCOME => {
                let outcome = decode_outcome(body, &self.ty)?;
                let place = course.first + course.answered;
                let outcome = self.checked(outcome, place)?;
                if self.ready.is_empty() {
                    self.ready_since = Instant::now();
                }
                self.ready_bytes += outcome.usage.bytes_out;
                self.ready.push(outcome);
                course.answered += 1;
                self.has_moved = true;
            }
            NOTE => {
                let (task, note) = form::read_note(body)?;
                // Only the task that runs says something.
                let running = self.dispatch.tasks.get(course.first + course.answered);
                if let Some(listener) = &self.dispatch.listener
                    && running.is_some_and(|running| running.index == task)
                {
                    listener.note(task, note);
                }
            }
            ELEMENTS => self.read(body, course)?,
            END => {
                let end = End::read(body)?;
                let is_all = course.first + course.answered == self.dispatch.tasks.len();
                if end.number != self.number || !(is_all || self.dispatch.cancel.is_wanted()) {
                    return Err("it ended what it had not run".into());
                }
                return Ok(Some(End {
                    computed: end.computed.min(self.sent.elapsed()),
                    ..end
                }));
            }
            // It has ended, and nobody waits for the answer.
            HOST_CALL => {}
            REFUSED => return Err(refusal(body)),
            other => return Err(format!("it sent a message of the unknown kind {other}").into()),
        }
        Ok(None)
    }

    /// Hands on elements of the task that runs.
    fn read(&mut self, body: &[u8], course: &Progress) -> Result<(), WorkerError> {
        let ty = element_type(self.dispatch).ok_or("it gave elements of what has none")?;
        let (task, count, packed) = form::read_elements(body, &ty)?;
        let running = self.dispatch.tasks.get(course.first + course.answered);
        // Nobody waits for room once it is cancelled.
        if let Some(elements) = &self.dispatch.elements
            && !self.dispatch.cancel.is_wanted()
            && running.is_some_and(|running| running.index == task)
        {
            elements.put(task, count, packed);
            self.delivered += packed.len() as u64;
        }
        Ok(())
    }

    /// Waits until whoever reads elements takes more, while the worker waits for room to write them.
    fn wait_for_room(
        &mut self,
        process: &mut Process,
        course: &mut Progress,
    ) -> Result<(), RunError> {
        let Some(elements) = self.dispatch.elements.clone() else {
            return Ok(());
        };
        let running = self.dispatch.tasks.get(course.first + course.answered);
        let Some(task) = running.map(|running| running.index) else {
            return Ok(());
        };
        // Whoever is cancelled has room, so that the worker hears of it.
        while !self.dispatch.cancel.is_wanted() {
            if within(LOOK, |context| elements.poll_room(task, context)).is_some() {
                return Ok(());
            }
            self.pass_on();
            self.look(process, course)?;
            // The worker cannot end it while it waits to write.
            if self.is_time_up() {
                let time = self.dispatch.setting.limits.time;
                return Err(RunError::Stopped(Failure::timeout(time)));
            }
        }
        Ok(())
    }

    /// Whether the task that runs is over its time.
    pub(super) fn is_time_up(&self) -> bool {
        self.time.is_some_and(|time| time.left().is_none())
    }

    /// Whether the worker lives, and its task is within its time.
    pub(super) fn look(
        &mut self,
        process: &mut Process,
        course: &mut Progress,
    ) -> Result<(), RunError> {
        if !process.is_alive() {
            return Err(RunError::Ended);
        }
        let limits = &self.dispatch.setting.limits;
        process.resident.check(limits).map_err(RunError::Failure)?;
        if std::mem::take(&mut self.has_moved) {
            self.begin_next();
            course.moved = Instant::now();
        }
        let now = Instant::now();
        if self.dispatch.cancel.is_wanted() {
            match self.stop {
                None => {
                    // One that has no room to be told has the same time to stop.
                    let told = process
                        .channel
                        .send_with(&[], self.number, Some(Duration::ZERO));
                    if let Err(error) = told
                        && !matches!(error, DescriptorsError::TimedOut)
                    {
                        return Err(WorkerError::from(error).into());
                    }
                    let grace = if self.is_stoppable {
                        GRACE
                    } else {
                        SHORT_GRACE
                    };
                    self.stop = Some(now + grace);
                }
                Some(stop) if now > stop => {
                    let failure = Failure::cancelled();
                    return Err(if self.is_stoppable {
                        RunError::Failure(failure)
                    } else {
                        RunError::Stopped(failure)
                    });
                }
                Some(_) => {}
            }
        }
        if self.until.is_some_and(|until| until.left().is_none()) {
            let setting = &self.dispatch.setting;
            if !self.is_stoppable {
                return Err(RunError::Stopped(Failure::timeout(setting.limits.time)));
            }
            let message = format!(
                "it ran longer than its limit of {}, and its worker process did not end it",
                humantime::format_duration(setting.limits.time)
            );
            return Err(RunError::Failure(Failure::new(
                FailureCode::Timeout,
                message,
            )));
        }
        Ok(())
    }

    /// An outcome as far as it can be believed.
    fn checked(&mut self, mut outcome: Outcome, place: usize) -> Result<Outcome, WorkerError> {
        let task = self
            .dispatch
            .tasks
            .get(place)
            .ok_or("it answered more tasks than it had")?;
        let usage = &mut outcome.usage;
        usage.engine = Some(self.dispatch.told(self.engine));
        usage.attempt = task.attempt;
        usage.queued = self.dispatch.queued;
        if usage.run_time > self.elapsed {
            // Asked only when it matters.
            self.elapsed = self.sent.elapsed();
            usage.run_time = usage.run_time.min(self.elapsed);
        }
        let limits = &self.dispatch.setting.limits;
        usage.peak_memory = usage.peak_memory.min(limits.memory.bytes());
        usage.bytes_out = outcome
            .result
            .as_ref()
            .map_or(0, |value| value.len() as u64);
        let delivered = std::mem::take(&mut self.delivered);
        usage.state_lost |= std::mem::take(&mut self.is_lost);
        if usage.bytes_out > limits.output.bytes().saturating_add(LENGTH) {
            return Err("it returned more than its limit".into());
        }
        usage.bytes_out += delivered;
        if let Some(error) = self.pumps.error_of(place) {
            let mut failure = Failure::new(FailureCode::BadInput, error);
            failure.is_input_error = true;
            outcome.result = Err(failure);
        }
        Ok(outcome)
    }
}

/// Threads that read for a worker what it cannot have.
#[derive(Default)]
pub(super) struct StreamPumps(Vec<(usize, Arc<Mutex<Option<String>>>)>);

impl StreamPumps {
    pub(super) fn start(pumped: Vec<StreamInput>) -> Result<Self, WorkerError> {
        let mut pumps = Vec::new();
        for mut one in pumped {
            let task = one.task;
            let failed = Arc::<Mutex<Option<String>>>::default();
            let failure = Arc::clone(&failed);
            // Not joined: a reader that waits cannot be woken, and ends with what it reads.
            std::thread::Builder::new()
                .name("rwasm-pump".to_owned())
                .spawn(move || {
                    let mut piece = vec![0; 64 << 10];
                    loop {
                        match one.reader.read(&mut piece) {
                            Ok(0) => break,
                            Ok(read) => {
                                // Nobody reads on; that is no error of the input.
                                if io::Write::write_all(&mut one.into, &piece[..read]).is_err() {
                                    break;
                                }
                            }
                            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                            Err(error) => {
                                *lock(&failure) = Some(error.to_string());
                                break;
                            }
                        }
                    }
                })?;
            pumps.push((task, failed));
        }
        Ok(Self(pumps))
    }

    fn error_of(&self, place: usize) -> Option<String> {
        let (_, failed) = self.0.iter().find(|(task, _)| *task == place)?;
        lock(failed).take()
    }
}
