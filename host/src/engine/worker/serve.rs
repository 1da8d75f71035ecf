//! The worker: the process that runs the tasks of an engine, from its start to its end.

use super::carrier::{EngineCarrier, Inbox};
use super::form::{
    self, DISPATCH, DispatchHead, End, FORGET, Forget, HELLO, Hello, LayerForm, OUTCOME, PRESET,
    PROGRAM, PUSHED, PresetForm, ProgramForm, READY, REFUSED,
};
use super::{BUILD, COMMAND, DESCRIPTORS, LARGEST, START, WorkerError};
use crate::dispatch::{Answer, DispatchPreset, Owner, Reply};
use crate::engine::kept::KeptInstances;
use crate::engine::{EngineContext, THREAD_STACK, processor_time, run_dispatch};
use crate::spin;
use crate::wire::put_outcome;
use bytes::Bytes;
use rustix::fs::Mode;
use rustix::process::umask;
use rwasm_boundary::confine::{self, Confinement, Connect, Early, Ports, Start, User, early};
use rwasm_boundary::descriptors::Channel;
use rwasm_boundary::layers::Standing;
use rwasm_boundary::ring::{Duplex, Received, Receiver, Sender};
use rwasm_boundary::slate::Slate;
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::element::ElementSink;
use rwasm_sandbox::grants::{Access, Grants};
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::note::{Listener, Recorder, StandardOutput, TaskNote};
use rwasm_sandbox::outcome::Outcome;
use rwasm_sandbox::pushed::PushedValues;
use rwasm_sandbox::sandbox::{
    Callee, GrantedDirs, HostCarrier, HostFunctions, Portable, Program, Runner, Sandbox,
    trust_roots,
};
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use rwasm_value::units::ByteSize;
use rwasm_value::value::{Reader, Writer};
use std::collections::HashMap;
use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Whoever waits for outcomes is woken when tasks have run this long since,
const WAKE: Duration = Duration::from_millis(5);

/// or so many have ended: those that the clock does not see take some time, too.
const WAKE_TASKS: u32 = 1 << 12;

/// The memory that outcomes are written in is kept up to this size, in bytes.
const LARGEST_KEPT: usize = 64 << 10;

/// Runs tasks for an engine, if the program was started for that: call it first in `main`. `arguments` are those of the
/// process without its name.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     if let Some(ended) = rwasm_cluster::task_worker(std::env::args_os().skip(1)) {
///         return ended;
///     }
///     // …
///     ExitCode::SUCCESS
/// }
/// ```
pub fn task_worker(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if arguments.next()? != COMMAND {
        return None;
    }
    Some(match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

fn serve() -> Result<(), WorkerError> {
    // What tasks make in granted directories is as open as what the program makes.
    let mask = umask(Mode::empty());
    let socket: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    let early = early(&Start {
        keep: &[socket.as_fd()],
        // It looks for its parent by the socket.
        parent: None,
        limits: confine::Limits {
            descriptors: DESCRIPTORS,
            ..confine::Limits::default()
        },
    })?;
    umask(mask);
    let channel = Channel::from(socket);
    let memory = channel.receive(2, Some(START))?;
    let [rings, slate] = &memory[..] else {
        return Err("no memory came".into());
    };
    let (sender, mut receiver) = Duplex::open(rings)?.split();
    let slate = Arc::new(TaskRecorder(Slate::open(slate)?));
    let told = Arc::new(Mutex::new(MessageWriter {
        sender,
        outcome: Writer::default(),
        unheard: Duration::ZERO,
        unheard_tasks: 0,
    }));
    let begun = begin(early, &channel, &mut receiver);
    let ended = begun.and_then(|begun| {
        lock(&told).tell(&[&form::of_build(READY, BUILD, &begun.layers)], true);
        begun.run(channel, Arc::clone(&told), receiver, slate)
    });
    if let Err(error) = &ended {
        lock(&told).tell(&[&[REFUSED], said(&**error).as_bytes()], true);
    }
    ended
}

/// An error with what it comes from.
fn said(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        said = format!("{said}: {error}");
        source = error.source();
    }
    said
}

/// A worker that is confined, before the first byte of a guest.
struct ReadyWorker {
    engine: EngineId,
    sandbox: Sandbox,
    runner: Runner,
    dirs: GrantedDirs,
    /// What it has given up, and what not.
    layers: Vec<LayerForm>,
}

/// What the runtime needs is made before the lock, and threads are started after it.
fn begin(
    early: Early,
    channel: &Channel,
    receiver: &mut Receiver,
) -> Result<ReadyWorker, WorkerError> {
    let mut message = Vec::new();
    let Received::Message =
        receiver.receive(LARGEST, &mut message, Some(Instant::now() + START))?
    else {
        return Err("nobody said what it is for".into());
    };
    let Some((&HELLO, hello)) = message.split_first() else {
        return Err("the first message is another".into());
    };
    let hello = form::read_of_build(hello, BUILD)
        .map_err(|other| format!("it is of the build {BUILD}, and its engine of {other}"))?;
    let hello: Hello = form::read_plain(hello)?;
    let sandbox = Sandbox::still(hello.key)?;
    let runner = Runner::new()?;
    // No files in memory: the kernel refuses now and then to seal those that the runtime would make for what the memories of
    // components begin with. It copies that instead; core modules have it in the file of their code.
    let mut confinement = Confinement::new();
    let (mut files, mut dirs) = (Vec::new(), GrantedDirs::default());
    let grants = hello.granted.map(|form| form.grants()).transpose()?;
    if let Some(grants) = &grants {
        while files.len() < grants.dirs.len() + usize::from(hello.has_roots) {
            files.extend(
                channel
                    .receive_with(Some(START))?
                    .0
                    .into_iter()
                    .map(File::from),
            );
        }
        let roots = if hello.has_roots { files.pop() } else { None };
        if let Some(roots) = roots {
            let mut bytes = vec![0; usize::try_from(roots.metadata()?.len())?];
            roots.read_exact_at(&mut bytes, 0)?;
            trust_roots(form::read_roots(&bytes)?);
        }
        dirs = GrantedDirs::given(grants, &files)?;
        for (file, dir) in files.iter().zip(&grants.dirs) {
            let access = match dir.access {
                Access::ReadWrite => confine::Access::ReadWrite,
                _ => confine::Access::ReadOnly,
            };
            // Whoever root is elsewhere, what is granted may be root's.
            confinement = confinement
                .directory(file.as_fd(), access)
                .user(User::AsStarted);
        }
        if !grants.net.is_empty() {
            confinement = confinement.ports(ports(grants));
        }
    }
    let layers = early.lock(&confinement)?;
    let layers = layers.layers().iter().map(|(layer, standing)| LayerForm {
        name: layer.name().to_owned(),
        lacks: match standing {
            Standing::Full => None,
            Standing::Partial(why) => Some((why.clone(), false)),
            Standing::Missing(why) => Some((why.clone(), true)),
        },
    });
    sandbox.begin()?;
    Ok(ReadyWorker {
        engine: EngineId(hello.engine),
        sandbox,
        runner,
        dirs,
        layers: layers.collect(),
    })
}

/// The ports of granted peers. Which addresses they have is not for the kernel to know.
fn ports(grants: &Grants) -> Ports {
    let ports: Option<Vec<u16>> = grants.net.iter().map(|peer| peer.port).collect();
    Ports {
        connect: ports.map_or(Connect::Any, Connect::Only),
        bind: vec![0],
        udp: true,
    }
}

impl ReadyWorker {
    fn run(
        self,
        channel: Channel,
        sender: Arc<Mutex<MessageWriter>>,
        receiver: Receiver,
        recorder: Arc<TaskRecorder>,
    ) -> Result<(), WorkerError> {
        let (passed, descriptors) = mpsc::channel();
        let current = Arc::<RunningDispatch>::default();
        let watched = Arc::clone(&current);
        std::thread::Builder::new()
            .name("rwasm-watch".to_owned())
            .spawn(move || watch(&channel, &passed, &watched))?;
        let inbox = Arc::new(Mutex::new(Inbox::new(receiver)));
        let carrier = Arc::new(EngineCarrier {
            inbox: Arc::clone(&inbox),
            writer: Arc::clone(&sender),
        });
        let mut served = Worker {
            engine: self.engine,
            sandbox: self.sandbox,
            dirs: self.dirs,
            sender,
            inbox,
            carrier,
            recorder,
            descriptors,
            current,
            programs: HashMap::new(),
            presets: HashMap::new(),
            pushed: HashMap::new(),
            owners: HashMap::new(),
            kept: KeptInstances::default(),
            computed: Duration::ZERO,
        };
        let runner = self.runner;
        let thread = std::thread::Builder::new()
            .name(format!("rwasm-engine-{}", self.engine))
            .stack_size(ByteSize::new(THREAD_STACK).as_usize())
            .spawn(move || served.run(&runner))?;
        thread.join().map_err(|_| "its engine panicked")?
    }
}

/// Takes what comes over the socket: descriptors, and requests to stop. The process ends with whoever started it.
fn watch(channel: &Channel, passed: &mpsc::Sender<Vec<OwnedFd>>, current: &RunningDispatch) {
    while let Ok((descriptors, number)) = channel.receive_with(None) {
        if descriptors.is_empty() {
            current.cancel(number);
        } else if passed.send(descriptors).is_err() {
            break;
        }
    }
    // Nothing that runs here may outlive it.
    std::process::exit(0);
}

/// The dispatch that runs, and the last that was cancelled, which may not have begun.
#[derive(Default)]
struct RunningDispatch(Mutex<RunningState>);

#[derive(Default)]
struct RunningState {
    running: Option<(u32, Cancel)>,
    cancelled: Option<u32>,
}

impl RunningDispatch {
    fn begin(&self, number: u32, cancel: Cancel) {
        let mut state = lock(&self.0);
        if state.cancelled == Some(number) {
            cancel.cancel();
        }
        state.running = Some((number, cancel));
    }

    fn cancel(&self, number: u32) {
        let mut state = lock(&self.0);
        state.cancelled = Some(number);
        if let Some((running, cancel)) = &state.running
            && *running == number
        {
            cancel.cancel();
        }
    }
}

/// What is written for the engine, and when it was woken last.
pub(super) struct MessageWriter {
    sender: Sender,
    /// What the next outcome is written in.
    outcome: Writer,
    /// How long the tasks ran whose outcomes nobody was woken for, and how many they are.
    unheard: Duration,
    unheard_tasks: u32,
}

impl MessageWriter {
    /// Writes a message, which is read by the next wake at the latest.
    pub(super) fn tell(&mut self, parts: &[&[u8]], wake: bool) {
        // There is nobody else to tell, and no more to do.
        if self.sender.send(parts, None).is_err() {
            std::process::exit(1);
        }
        if wake {
            self.sender.flush();
            (self.unheard, self.unheard_tasks) = (Duration::ZERO, 0);
        }
    }

    /// Writes an outcome. The clock is not asked: that would take as long as writing it.
    fn tell_outcome(&mut self, outcome: &Outcome) {
        self.unheard += outcome.usage.run_time;
        self.unheard_tasks += 1;
        let wake = self.unheard > WAKE || self.unheard_tasks == WAKE_TASKS;
        let mut out = std::mem::take(&mut self.outcome);
        out.clear();
        out.put_u8(OUTCOME);
        put_outcome(outcome, &mut out);
        self.tell(&[out.as_slice()], wake);
        // One that was large is not kept.
        if out.len() <= LARGEST_KEPT {
            self.outcome = out;
        }
    }
}

/// Writes down what is known of the task that runs.
struct TaskRecorder(Slate);

impl Recorder for TaskRecorder {
    fn begin(&self) {
        self.0.begin();
    }

    fn peak_memory(&self, bytes: u64) {
        self.0.set_peak_memory(bytes);
    }

    fn bytes_read(&self, bytes: u64) {
        self.0.set_bytes_read(bytes);
    }

    fn fuel(&self, used: u64) {
        self.0.set_fuel(used);
    }

    fn printed(&self, output: StandardOutput, bytes: &[u8]) {
        self.0.print(form::stream_of(output), bytes);
    }
}

/// Writes outcomes as they come, so that they outlive the worker.
struct EngineReply(Arc<Mutex<MessageWriter>>);

impl Reply for EngineReply {
    fn answer(&self, answer: Answer) {
        let mut writer = lock(&self.0);
        for outcome in &answer.outcomes {
            writer.tell_outcome(outcome);
        }
    }
}

impl Listener for EngineReply {
    fn note(&self, task: u64, note: TaskNote) {
        lock(&self.0).tell(&[&form::note_message(task, &note)], true);
    }
}

impl ElementSink for EngineReply {
    fn poll_room(&self, _: u64, _: &mut Context<'_>) -> Poll<()> {
        // There is room as long as its engine reads: until then, writing waits.
        Poll::Ready(())
    }

    fn put(&self, task: u64, count: usize, packed: &[u8]) {
        let message = form::elements_message(task, count, packed);
        lock(&self.0).tell(&[&message], true);
    }
}

/// What dispatches have in common.
struct Preset {
    common: DispatchPreset,
    callee: Callee,
    listens: bool,
    reads: bool,
}

struct Worker {
    engine: EngineId,
    sandbox: Sandbox,
    dirs: GrantedDirs,
    sender: Arc<Mutex<MessageWriter>>,
    inbox: Arc<Mutex<Inbox>>,
    carrier: Arc<dyn HostCarrier>,
    recorder: Arc<TaskRecorder>,
    descriptors: mpsc::Receiver<Vec<OwnedFd>>,
    current: Arc<RunningDispatch>,
    programs: HashMap<u64, Arc<Program>>,
    presets: HashMap<u64, Preset>,
    pushed: HashMap<u64, Arc<PushedValues>>,
    owners: HashMap<u64, Owner>,
    kept: KeptInstances,
    computed: Duration,
}

impl Worker {
    fn run(&mut self, runner: &Runner) -> Result<(), WorkerError> {
        let mut spin = Duration::ZERO;
        loop {
            let message = lock(&self.inbox).next(spin)?;
            spin = Duration::ZERO;
            let kind = *message.first().ok_or("an empty message came")?;
            let body = &message[1..];
            match kind {
                PROGRAM => self.program(form::read_plain(body)?)?,
                PRESET => self.preset(form::read_plain(body)?)?,
                PUSHED => {
                    let (number, values) = form::read_pushed(body)?;
                    self.pushed.insert(number, Arc::new(values));
                }
                FORGET => self.forget(&form::read_plain(body)?),
                DISPATCH => {
                    let begun = Instant::now();
                    let tasks = self.dispatch(runner, &Bytes::from(message).slice(1..))?;
                    spin = spin::after(tasks, begun.elapsed());
                    continue;
                }
                other => return Err(format!("a message of the unknown kind {other} came").into()),
            }
            lock(&self.inbox).put_back(message);
        }
    }

    /// The next descriptors, of which there are as many as the message says.
    fn take(&self, count: usize) -> Result<Vec<OwnedFd>, WorkerError> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.extend(self.descriptors.recv()?);
        }
        Ok(taken)
    }

    fn program(&mut self, form: ProgramForm) -> Result<(), WorkerError> {
        let mut files = self.take(2)?.into_iter().map(File::from);
        let mut file = || files.next().ok_or("a file is missing");
        let portable = Portable {
            name: form.name,
            module: file()?,
            code: file()?,
            key: form.key,
            as_component: form.as_component,
            strict_imports: form.strict_imports,
            // It is their types that are known there.
            host: Vec::new(),
        };
        let host = HostFunctions::carried(&form.host, &self.carrier);
        let program = self.sandbox.program_of(&portable, &host)?;
        self.programs.insert(form.number, Arc::new(program));
        Ok(())
    }

    fn preset(&mut self, form: PresetForm) -> Result<(), WorkerError> {
        let program = self
            .programs
            .get(&form.program)
            .ok_or("its program is not here")?;
        let common = DispatchPreset {
            job: JobId(0),
            account: Arc::default(),
            priority: 0,
            program: Arc::clone(program),
            setting: Arc::new(form.setting.setting(self.dirs.clone())?),
            reuse: form.reuse.parse()?,
            owner: self.owners.entry(form.owner).or_default().clone(),
            span: tracing::Span::none(),
            observer: None,
        };
        let preset = Preset {
            common,
            callee: form.function.map_or(Callee::Command, Callee::Function),
            listens: form.listens,
            reads: form.reads,
        };
        self.presets.insert(form.number, preset);
        Ok(())
    }

    fn forget(&mut self, gone: &Forget) {
        for number in &gone.presets {
            self.presets.remove(number);
        }
        for number in &gone.programs {
            self.programs.remove(number);
        }
        for number in &gone.pushed {
            self.pushed.remove(number);
        }
        for number in &gone.owners {
            self.owners.remove(number);
        }
        self.kept.let_go();
    }

    /// Runs a dispatch, and returns the number of its tasks.
    fn dispatch(&mut self, runner: &Runner, body: &Bytes) -> Result<usize, WorkerError> {
        let mut from = Reader::new(body);
        let head = DispatchHead::read(&mut from)?;
        let mut descriptors = form::Received::new(self.take(head.descriptors)?);
        let preset = self
            .presets
            .get(&head.preset)
            .ok_or("its preset is not here")?;
        let params = form::params(&preset.common.program.module, preset.callee);
        let tasks = form::read_tasks(&mut from, body, head.tasks, &params, &mut descriptors)?;
        let reply = Arc::new(EngineReply(Arc::clone(&self.sender)));
        let id = DispatchId(head.number.into());
        let mut dispatch =
            preset
                .common
                .dispatch(id, preset.callee, tasks, Arc::clone(&reply) as _);
        dispatch.engine_count = Some(head.engines);
        dispatch.id_offset = head.id_offset;
        if preset.reads {
            dispatch.elements = Some(Arc::clone(&reply) as Arc<dyn ElementSink>);
        }
        dispatch.listener = preset.listens.then_some(reply as Arc<dyn Listener>);
        if let Some(number) = head.pushed {
            let values = self.pushed.get(&number).ok_or("its values are not here")?;
            dispatch.pushed = Some(Arc::new(HashMap::from([(self.engine, Arc::clone(values))])));
        }
        self.current.begin(head.number, dispatch.cancel.clone());
        let on = EngineContext {
            engine: self.engine,
            count: head.engines,
            runner,
            answers_each: true,
            recorder: Some(Arc::clone(&self.recorder) as _),
        };
        dispatch.begin();
        run_dispatch(&on, &dispatch, &mut self.kept);
        let module = dispatch.program.module.hash();
        let now = processor_time();
        let end = End {
            number: head.number,
            computed: now.saturating_sub(self.computed),
            has_instance: dispatch.owner.has(self.engine, module),
        };
        self.computed = now;
        lock(&self.sender).tell(&[&end.message()], true);
        Ok(head.tasks)
    }
}
