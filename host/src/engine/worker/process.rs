//! One worker, seen from the engine: started, told what to run, listened to, and ended.

use super::form::{
    self, Attachments, DISPATCH, DispatchHead, FORGET, Forget, HELLO, Hello, LayerForm, READY,
    REFUSED,
};
use super::host_calls::HostRuntime;
use super::listen::{Listening, Progress, RunError, StreamPumps};
use super::lost::Lost;
use super::numbered::Numbered;
use super::report::BoundaryReport;
use super::resident::Resident;
use super::sending::Patience;
use super::told::Preset;
use super::workers::WorkerSettings;
use super::{BUILD, COMMAND, RINGS, START};
use crate::dispatch::{Dispatch, Reuse};
use crate::spin;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::geteuid;
use rwasm_boundary::confine::UDP_IS_OPEN;
use rwasm_boundary::descriptors::{Channel, MOST};
use rwasm_boundary::layers::Layer;
use rwasm_boundary::ring::{Duplex, Received, Receiver, Sender};
use rwasm_boundary::slate::Slate;
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::{Failure, FailureCode};
use rwasm_sandbox::pushed::PushedValues;
use rwasm_sandbox::sandbox::{ModuleHash, Program, Setting, SettingForm, VariantKey, system_roots};
use rwasm_value::ids::EngineId;
use std::collections::HashSet;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long is waited for a message before it is looked whether the worker lives, and whether it is to stop.
pub(super) const LOOK: Duration = Duration::from_millis(5);

/// How long a worker may take to stop a task that is cancelled.
pub(super) const GRACE: Duration = Duration::from_millis(100);

/// How long a worker that has closed its end may take to end.
const LAST: Duration = Duration::from_millis(10);

/// How long is waited for room in a socket or a ring, which a worker that lives makes at once.
pub(super) const ROOM: Duration = Duration::from_secs(10);

/// What a worker that says why it ends has to say.
const CANNOT: &str = "its worker process cannot go on: ";

/// A dispatch that was run to its end.
pub(super) struct Ran {
    pub(super) computed: Duration,
}

/// See the [module](self).
pub(super) struct Process {
    child: Running,
    pub(super) resident: Resident,
    pub(super) channel: Channel,
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    /// What is known of the task that it runs.
    slate: Slate,
    /// The tasks that it has answered.
    answered: u64,
    pub(super) engine: EngineId,
    key: VariantKey,
    is_ready: bool,
    /// The setting of the job whose grants it has; none if it has none.
    granted: Option<Arc<Setting>>,
    layers: Vec<LayerForm>,
    /// Whether it is to have all layers.
    is_strict: bool,
    report: Arc<BoundaryReport>,
    /// Those of the tasks that it ran last.
    limits: Option<Limits>,
    next: u64,
    dispatches: u32,
    /// How long to look for the answers to the next dispatch before sleeping.
    spin: Duration,
    pub(super) programs: Numbered<Arc<Program>>,
    pub(super) presets: Numbered<Preset>,
    pub(super) pushed: Numbered<Arc<PushedValues>>,
    /// The owners that it has an instance for.
    pub(super) kept: HashSet<(u64, ModuleHash)>,
    pub(super) message: Vec<u8>,
}

/// Why a worker cannot be spoken with any more.
pub(super) struct WorkerError(pub(super) String);

impl WorkerError {
    pub(super) fn into_error(self) -> io::Error {
        io::Error::other(self.0)
    }
}

impl<E: Display> From<E> for WorkerError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl Process {
    /// Starts a worker, which is not ready yet.
    ///
    /// # Errors
    ///
    /// If the system gives no process or memory, or there is no such program.
    pub(super) fn start(
        settings: &WorkerSettings,
        engine: EngineId,
        key: VariantKey,
        granted: Option<&Arc<Setting>>,
        has_roots: bool,
    ) -> io::Result<Self> {
        let other = |error: &dyn Display| io::Error::other(error.to_string());
        let (channel, theirs) = Channel::pair()?;
        let (duplex, memory) = Duplex::create(RINGS).map_err(|error| {
            io::Error::other(format!(
                "{error} (memory that is shared counts for `ulimit -f`)"
            ))
        })?;
        let (slate, words) = Slate::create().map_err(|error| other(&error))?;
        let (mut sender, receiver) = duplex.split();
        // In a group of its own, so that the key that interrupts the program does not reach it; with no variable, and
        // nothing to read or write but what it is given.
        let child = std::os::unix::process::CommandExt::process_group(
            &mut Command::new(&settings.program),
            0,
        )
        .arg(COMMAND)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| {
            let program = rwasm_value::plain::path(&settings.program);
            io::Error::new(
                error.kind(),
                format!("cannot start the worker `{program}`: {error}"),
            )
        })?;
        // Ended with whatever goes wrong from here on.
        let child = Running(child);
        channel
            .send(&[memory.as_fd(), words.as_fd()], Some(ROOM))
            .map_err(|error| other(&error))?;
        let mut form = None;
        if let Some(setting) = granted {
            let mut files = setting.dirs.descriptors()?;
            if has_roots {
                files.push(roots()?);
            }
            for part in files.chunks(MOST) {
                let part: Vec<BorrowedFd<'_>> = part.iter().map(AsFd::as_fd).collect();
                channel
                    .send(&part, Some(ROOM))
                    .map_err(|error| other(&error))?;
            }
            form = Some(SettingForm::of_grants(setting));
        }
        let hello = Hello {
            engine: engine.0,
            key,
            granted: form,
            has_roots,
        };
        let hello = form::of_build(HELLO, BUILD, &hello);
        let sent = sender.send(&[&hello], Some(Instant::now() + ROOM));
        sent.map_err(|error| other(&error))?;
        sender.flush();
        Ok(Self {
            resident: Resident::of(child.0.id()),
            child,
            channel,
            sender,
            receiver,
            slate,
            answered: 0,
            engine,
            key,
            is_ready: false,
            is_strict: settings.is_strict,
            report: Arc::clone(&settings.report),
            limits: None,
            layers: Vec::new(),
            granted: granted.cloned(),
            next: 0,
            dispatches: 0,
            spin: Duration::ZERO,
            programs: Numbered::default(),
            presets: Numbered::default(),
            pushed: Numbered::default(),
            kept: HashSet::new(),
            message: Vec::new(),
        })
    }

    /// Whether it has what such tasks are granted, and no more.
    pub(super) fn suits(&self, key: VariantKey, granted: Option<&Arc<Setting>>) -> bool {
        let is_same = match (&self.granted, granted) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        is_same && self.key == key
    }

    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.0.try_wait(), Ok(None))
    }

    /// Ends it at once, and waits for it.
    pub(super) fn end(self) {
        drop(self);
    }

    /// Ends it; whoever finds out has another.
    pub(super) fn kill(&mut self) {
        self.child.end();
    }

    /// Looks, if it is time, whether it has more memory than the tasks that it ran last can need.
    pub(super) fn check_memory(&mut self) -> Result<(), Failure> {
        match &self.limits {
            Some(limits) => self.resident.check(limits),
            None => self.resident.check(&Limits::default()),
        }
    }

    /// Whether nobody but this has what it was granted: then it is of no more use.
    pub(super) fn is_orphaned(&self) -> bool {
        let granted = self.granted.as_ref();
        granted.is_some_and(|setting| Arc::strong_count(setting) == 1)
    }

    /// Lets go of the instances of owners that are gone.
    pub(super) fn let_go(&mut self) {
        let gone = |(_, preset): &(u64, Preset)| preset.owner.is_gone();
        let presets: Vec<_> = self.presets.0.extract_if(.., |one| gone(one)).collect();
        if presets.is_empty() {
            return;
        }
        let owners: Vec<u64> = presets
            .iter()
            .map(|(_, preset)| preset.owner_number)
            .collect();
        self.kept.retain(|(owner, _)| !owners.contains(owner));
        let forget = Forget {
            presets: presets.iter().map(|(number, _)| *number).collect(),
            owners,
            ..Forget::default()
        };
        self.send_now(&[&form::plain(FORGET, &forget)]);
        self.sender.flush();
    }

    /// Runs the tasks from `first` on, and answers each.
    pub(super) fn run(
        &mut self,
        count: u32,
        dispatch: &Dispatch,
        first: usize,
        runtime: &HostRuntime,
    ) -> Result<Ran, Lost> {
        let mut course = Progress {
            first,
            answered: 0,
            has_begun: false,
            moved: Instant::now(),
        };
        let ran = self.try_run(count, dispatch, &mut course, runtime);
        let running = self.answered + course.answered as u64 + 1;
        self.answered += course.answered as u64;
        ran.map_err(|stopped| {
            let is_fault = !matches!(stopped, RunError::Stopped(_));
            let failure = match stopped {
                RunError::Failure(failure) | RunError::Stopped(failure) => failure,
                RunError::Ended => {
                    Failure::new(FailureCode::EngineLost, "its worker process ended")
                }
                RunError::WorkerError(WorkerError(reason)) => {
                    let reason = self.end_of(&reason);
                    Failure::new(FailureCode::EngineLost, reason)
                }
            };
            // It writes no more from here on.
            self.child.end();
            Lost {
                answered: course.answered,
                ran_since: course.has_begun.then_some(course.moved),
                failure,
                is_fault,
                words: self.slate.last_words(running).map(Box::new),
            }
        })
    }

    /// Says how the process ended, or what it did instead.
    fn end_of(&mut self, reason: &str) -> String {
        // One that has closed its end is about to end.
        let end = Instant::now() + LAST;
        let status = loop {
            match self.child.0.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                _ => break None,
            }
        };
        let status = status.and_then(|status| status.signal().or(status.code().map(|code| -code)));
        match status {
            Some(signal) if signal > 0 && !self.is_ready => {
                format!("its worker process was ended by signal {signal} before it was ready")
            }
            Some(signal) if signal > 0 => {
                format!("its worker process was ended by signal {signal} while it had the task")
            }
            // It has said why.
            _ if reason.starts_with(CANNOT) => reason.to_owned(),
            Some(code) => {
                format!(
                    "its worker process ended with code {} while it had the task",
                    -code
                )
            }
            None => format!("its worker process broke the rules, and was ended: {reason}"),
        }
    }

    fn try_run(
        &mut self,
        count: u32,
        dispatch: &Dispatch,
        course: &mut Progress,
        runtime: &HostRuntime,
    ) -> Result<Ran, RunError> {
        if let Err(error) = self.make_ready(&dispatch.cancel) {
            // It is ended all the same, and nothing is wrong with it.
            return Err(if dispatch.cancel.is_wanted() {
                RunError::Stopped(Failure::cancelled())
            } else {
                error.into()
            });
        }
        self.let_go();
        let limits = &dispatch.setting.limits;
        if self.limits.as_ref() != Some(limits) {
            self.limits = Some(limits.clone());
        }
        let patience = Patience::with(dispatch);
        let preset = self.preset(dispatch, &patience)?;
        let pushed = self.push(dispatch, &patience)?;
        self.dispatches = self.dispatches.wrapping_add(1);
        let number = self.dispatches;
        let mut out = form::message(DISPATCH);
        let mut tasks = rwasm_value::value::Writer::default();
        let mut beside = Attachments::default();
        for place in course.first..dispatch.tasks.len() {
            form::put_task(self.engine, dispatch, place, &mut tasks, &mut beside);
        }
        let head = DispatchHead {
            number,
            preset,
            engines: dispatch.engine_count.unwrap_or(count),
            id_offset: dispatch.id_offset,
            pushed,
            descriptors: beside.descriptors.len(),
            tasks: dispatch.tasks.len() - course.first,
        };
        head.put(&mut out);
        self.pass(&beside.descriptors, &patience)?;
        drop(beside.descriptors);
        let pumps = StreamPumps::start(beside.pumped)?;
        self.send(&[&out.into_vec(), &tasks.into_vec()], &patience)?;
        self.sender.flush();
        let module = dispatch.program.module.hash();
        let owner = dispatch.owner.number();
        let keeps = dispatch.reuse == Reuse::Engine;
        // One that was replaced has lost what was in it.
        let is_lost = keeps
            && dispatch.owner.has(self.engine, module)
            && !self.kept.contains(&(owner, module));
        let mut listening = Listening::new(dispatch, number, self.engine, is_lost, pumps, runtime);
        let tasks = dispatch.tasks.len() - course.first;
        self.receiver.set_spin(if tasks == 1 {
            self.spin
        } else {
            Duration::ZERO
        });
        let begun = Instant::now();
        let end = listening.listen(self, course)?;
        self.spin = spin::after(tasks, begun.elapsed()).min(spin::ANSWER);
        if keeps {
            if end.has_instance {
                self.kept.insert((owner, module));
            } else {
                self.kept.remove(&(owner, module));
            }
            if end.has_instance || !dispatch.cancel.is_wanted() {
                dispatch.owner.set(self.engine, module, end.has_instance);
            }
        }
        Ok(Ran {
            computed: end.computed,
        })
    }

    /// Waits until it is confined.
    pub(super) fn make_ready(&mut self, cancel: &Cancel) -> Result<(), WorkerError> {
        if self.is_ready {
            return Ok(());
        }
        let end = Instant::now() + START;
        loop {
            let look = Instant::now() + LOOK;
            match self
                .receiver
                .receive(RINGS.to_parent, &mut self.message, Some(look))?
            {
                Received::Message => break,
                Received::Nothing if !self.is_alive() => {
                    return Err("it ended before it was ready".into());
                }
                Received::Nothing if cancel.is_wanted() => {
                    return Err("it was not ready when it was cancelled".into());
                }
                Received::Nothing if Instant::now() > end => {
                    return Err("it did not become ready".into());
                }
                Received::Nothing => {}
            }
        }
        match self.message.split_first() {
            Some((&READY, body)) => {
                let layers = form::read_of_build(body, BUILD).map_err(|other| {
                    let other = rwasm_value::plain::in_line(&other);
                    WorkerError(format!("it is of the build {other}, and not of {BUILD}"))
                })?;
                self.layers = form::read_plain(layers)?;
                self.check()?;
                self.is_ready = true;
                self.report.ready();
                Ok(())
            }
            Some((&REFUSED, reason)) => Err(refusal(reason)),
            _ => Err("its first message is another".into()),
        }
    }

    /// The layers of the boundary, once it is ready.
    pub(super) fn layers(&self) -> &[LayerForm] {
        &self.layers
    }

    /// Looks at the layers that it does not have in full, and why.
    fn check(&self) -> Result<(), WorkerError> {
        let setting = self.granted.as_ref();
        let has_dirs = setting.is_some_and(|setting| !setting.dirs.is_empty());
        let has_peers = setting.is_some_and(|setting| !setting.peers.is_empty());
        let missing = |layer: &LayerForm| {
            let (why, _) = layer.lacks.as_ref()?;
            let is = |one: Layer| layer.name == one.name();
            // Who is granted directories stays root, whose they are; who is granted peers keeps the network, of which few
            // kernels check everything.
            let is_granted = has_dirs && is(Layer::UnusedUser)
                || has_peers && (is(Layer::NetworkNamespace) || why == UDP_IS_OPEN);
            let is_wanted = Layer::ALL
                .into_iter()
                .any(|one| is(one) && is_required(one));
            (is_wanted && !is_granted).then(|| format!("{}: {why}", layer.name))
        };
        let missing: Vec<String> = self.layers.iter().filter_map(missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing = rwasm_value::plain::in_line(&missing.join("; "));
        if self.is_strict {
            let message =
                format!("this machine does not give all layers of the boundary: {missing}");
            return Err(message.into());
        }
        self.report.incomplete(&missing);
        Ok(())
    }

    pub(super) fn flush(&mut self) {
        self.sender.flush();
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// Whether a worker on a machine that gives everything has this layer in full.
pub(super) fn is_required(layer: Layer) -> bool {
    match layer {
        // Only root becomes somebody else.
        Layer::UnusedUser => geteuid().is_root(),
        // It is for others to set up.
        Layer::Cgroup => false,
        _ => true,
    }
}

/// A process that ends with its owner.
struct Running(Child);

impl Running {
    fn end(&mut self) {
        // It holds nothing that it could save.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a worker says that cannot go on.
pub(super) fn refusal(reason: &[u8]) -> WorkerError {
    let reason = rwasm_value::plain::in_line(&String::from_utf8_lossy(reason));
    WorkerError(format!("{CANNOT}{reason}"))
}

/// The certificates that the system trusts, in a file: they are read once.
fn roots() -> io::Result<OwnedFd> {
    static ROOTS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let file = memfd_create("rwasm-roots", MemfdFlags::CLOEXEC)?;
    let mut file = File::from(file);
    form::put_roots(ROOTS.get_or_init(system_roots), &mut file)?;
    Ok(file.into())
}
