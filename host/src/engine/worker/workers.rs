//! The workers of one engine: a few, each for one tenant and one variant, of which one runs at a time.

use super::host_calls::HostRuntime;
use super::lost::Lost;
use super::names::{LookedUp, look_up};
use super::process::{Process, Ran, WorkerError};
use super::report::BoundaryReport;
use crate::account::Account;
use crate::dispatch::Dispatch;
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::outcome::{Failure, FailureCode, Outcome, Usage};
use rwasm_sandbox::sandbox::{Setting, VariantKey};
use rwasm_value::ids::EngineId;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Workers that an engine has at a time. The one that was not used for longest goes first.
const MOST: usize = 4;

/// How long after the last spare was taken the next is started, by an engine that has no time: a program that is over before
/// that pays for none.
const REFILL: Duration = Duration::from_secs(1);

/// How often an engine that has nothing to do looks after its workers.
const REST: Duration = Duration::from_secs(1);

/// How often in a row a worker may be lost before it began a task: then nothing can run here.
const MOST_LOST: u32 = 3;

/// How workers are started.
#[derive(Clone, Debug)]
pub(crate) struct WorkerSettings {
    /// The program, which calls [`task_worker`](super::task_worker) first.
    pub(crate) program: PathBuf,
    /// The variant that tasks are likely to need.
    pub(crate) first: VariantKey,
    /// Whether one that lacks a layer is refused.
    pub(crate) is_strict: bool,
    /// The engines with lower ids start a worker at once, the others with their first task.
    pub(crate) ready_below: EngineId,
    /// Whether the first one is to be ready before an engine starts.
    pub(crate) is_checked: bool,
    /// Whether another one is started in advance when the last of those is taken.
    pub(crate) keeps_spares: bool,
    pub(crate) report: Arc<BoundaryReport>,
}

/// See the [module](self).
pub(crate) struct Workers {
    settings: WorkerSettings,
    engine: EngineId,
    /// The last used last.
    list: Vec<(Arc<Account>, Process)>,
    /// Where the embedder's functions run.
    runtime: Rc<HostRuntime>,
    /// Why workers were lost of which nobody has heard.
    lost: Vec<Arc<str>>,
    /// One that is started, was granted nothing, and has no tenant yet.
    spare: Option<Process>,
    /// The variant that it has, or is to have.
    spare_key: VariantKey,
    /// When there is to be another.
    refill: Option<Instant>,
}

/// What a worker must have for the tasks of a dispatch.
struct Wanted<'a> {
    account: &'a Arc<Account>,
    key: VariantKey,
    granted: Option<&'a Arc<Setting>>,
    /// Whether it needs the certificates that the system trusts.
    has_roots: bool,
}

impl<'a> Wanted<'a> {
    fn by(dispatch: &'a Dispatch) -> io::Result<Self> {
        let Some(portable) = dispatch.program.portable() else {
            return Err(io::Error::other("the module was not prepared for workers"));
        };
        let setting = &dispatch.setting;
        let is_granted = !(setting.dirs.is_empty() && setting.peers.is_empty());
        let mut imports = dispatch.program.module.imports().iter();
        Ok(Self {
            account: &dispatch.account,
            key: portable.key,
            granted: is_granted.then_some(setting),
            has_roots: !setting.peers.is_empty()
                && imports.any(|import| import.module.starts_with("wasi:http/")),
        })
    }

    fn suits(&self, (of, process): &(Arc<Account>, Process)) -> bool {
        of.tenant == self.account.tenant && process.suits(self.key, self.granted)
    }
}

impl Workers {
    /// Starts the first one, if it is to be ready before there are tasks.
    ///
    /// # Errors
    ///
    /// If the program cannot be started.
    pub(crate) fn start(settings: WorkerSettings, engine: EngineId) -> io::Result<Self> {
        let mut spare = None;
        if engine < settings.ready_below {
            let mut first = Process::start(&settings, engine, settings.first, None, false)?;
            if settings.is_strict || settings.is_checked {
                first
                    .make_ready(&Cancel::default())
                    .map_err(WorkerError::into_error)?;
            }
            spare = Some(first);
        }
        Ok(Self {
            spare_key: settings.first,
            settings,
            engine,
            list: Vec::new(),
            runtime: Rc::default(),
            lost: Vec::new(),
            spare,
            refill: None,
        })
    }

    /// Lets go of what nobody needs: workers of tenants that are closed or whose grants nobody has any more, and instances of
    /// owners that are gone.
    pub(crate) fn let_go(&mut self) {
        for (_, process) in &mut self.list {
            process.let_go();
        }
        self.list
            .retain(|(account, process)| !account.is_closed() && !process.is_orphaned());
    }

    /// How long an engine that has nothing to do waits before it has the workers [looked after](Self::look_after); none if there
    /// are none.
    pub(crate) fn rest(&self) -> Option<Duration> {
        let has_none = self.list.is_empty() && self.refill.is_none();
        (!has_none).then_some(REST)
    }

    /// Ends what has more memory than it can need, though it runs nothing, and starts the worker that is to be spare.
    pub(crate) fn look_after(&mut self) {
        self.check_memory();
        self.let_go();
        if self.refill.take().is_some() {
            self.start_spare();
        }
    }

    /// Takes why workers were lost since this was asked last.
    pub(crate) fn take_lost(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.lost)
    }

    /// Has a worker run the tasks, and answers each. Returns how long was computed.
    ///
    /// A worker that is lost takes the task with it that it ran; the others go on in the next.
    pub(crate) fn run(&mut self, count: u32, dispatch: &Dispatch) -> Duration {
        self.check_memory();
        let computed = self.run_tasks(count, dispatch);
        dispatch.cancel_rest(Some(self.engine));
        if self.refill.is_some_and(|time| Instant::now() >= time) {
            self.refill = None;
            self.start_spare();
        }
        computed
    }

    fn run_tasks(&mut self, count: u32, dispatch: &Dispatch) -> Duration {
        let runtime = Rc::clone(&self.runtime);
        let mut computed = Duration::ZERO;
        let mut first = 0;
        let mut lost_idle = 0;
        while first < dispatch.tasks.len() && !dispatch.cancel.is_wanted() {
            if let Err(failure) = self.expect_grants(dispatch) {
                dispatch.fail_rest_with(Some(self.engine), &failure);
                break;
            }
            match look_up(dispatch) {
                LookedUp::Known => {}
                LookedUp::Cancelled => break,
                LookedUp::TooLate => {
                    self.time_out(dispatch, first);
                    first += 1;
                    continue;
                }
            }
            let lost = match self.worker(dispatch) {
                Ok(process) => match process.run(count, dispatch, first, &runtime) {
                    Ok(Ran { computed: spent }) => {
                        computed += spent;
                        break;
                    }
                    Err(lost) => {
                        self.replace_last(dispatch, first + lost.answered);
                        lost
                    }
                },
                Err(error) => Lost {
                    answered: 0,
                    ran_since: None,
                    failure: Failure::new(FailureCode::EngineLost, error.to_string()),
                    is_fault: true,
                    words: None,
                },
            };
            first += lost.answered;
            if lost.is_fault {
                self.note_loss(&lost.failure.message);
            }
            if lost.ran_since.is_none() && lost.answered == 0 {
                lost_idle += 1;
                if lost_idle < MOST_LOST {
                    continue;
                }
                // None of the others would find a worker either.
                self.settings.report.unusable(&lost.failure.message);
                dispatch.fail_rest_with(Some(self.engine), &lost.failure);
                break;
            }
            lost_idle = 0;
            if dispatch.cancel.is_wanted() {
                break;
            }
            if let Some(task) = dispatch.tasks.get(first) {
                dispatch.answer(vec![lost.outcome(dispatch, task, self.engine)]);
                first += 1;
            }
        }
        computed
    }

    /// Whether what is granted can be had here, and is what it was.
    fn expect_grants(&self, dispatch: &Dispatch) -> Result<(), Failure> {
        let setting = &dispatch.setting;
        setting.dirs.expect_in_place(&setting.grants)?;
        if self.settings.is_strict && !setting.peers.is_empty() {
            let message =
                "a strict boundary grants no peers: the kernel does not know their addresses";
            return Err(Failure::new(FailureCode::PolicyDenied, message));
        }
        Ok(())
    }

    /// Answers a task whose peers' names were not known in its time.
    fn time_out(&self, dispatch: &Dispatch, place: usize) {
        if let Some(task) = dispatch.tasks.get(place) {
            let time = dispatch.setting.limits.time;
            let engine = dispatch.told(self.engine);
            let mut usage = Usage::none(Some(engine), task.attempt, dispatch.queued);
            usage.run_time = time;
            dispatch.answer(vec![Outcome {
                result: Err(Failure::timeout(time)),
                usage,
            }]);
        }
    }

    fn note_loss(&mut self, reason: &str) {
        self.lost.push(reason.into());
        tracing::warn!(engine = %self.engine, reason, "lost a worker");
    }

    /// The worker for these tasks, put last.
    fn worker(&mut self, dispatch: &Dispatch) -> io::Result<&mut Process> {
        let wanted = Wanted::by(dispatch)?;
        let place = self.list.iter().position(|one| wanted.suits(one));
        let mut found = place.map(|place| self.list.remove(place).1);
        let process = match found.take_if(Process::is_alive) {
            Some(process) => process,
            None => self.fresh(&wanted)?,
        };
        self.put_last(&wanted, process);
        let (_, last) = self.list.last_mut().ok_or(io::ErrorKind::NotFound)?;
        Ok(last)
    }

    fn put_last(&mut self, wanted: &Wanted<'_>, process: Process) {
        if self.list.len() == MOST {
            self.list.remove(0);
        }
        self.list.push((Arc::clone(wanted.account), process));
    }

    fn fresh(&mut self, wanted: &Wanted<'_>) -> io::Result<Process> {
        if wanted.granted.is_none() {
            // The next is likely to be wanted so, too.
            self.spare_key = wanted.key;
        }
        let is_it = |spare: &mut Process| spare.suits(wanted.key, wanted.granted);
        if let Some(mut spare) = self.spare.take_if(is_it)
            && spare.is_alive()
        {
            self.want_spare(REFILL);
            return Ok(spare);
        }
        // One of another variant is of no use any more.
        self.spare
            .take_if(|spare| !spare.suits(self.spare_key, None));
        if self.spare.is_none() {
            self.want_spare(REFILL);
        }
        Process::start(
            &self.settings,
            self.engine,
            wanted.key,
            wanted.granted,
            wanted.has_roots,
        )
    }

    /// Ends the one that was used last. For the tasks from `first` on another such one is on its way, while they are looked at.
    fn replace_last(&mut self, dispatch: &Dispatch, first: usize) {
        if let Some((_, process)) = self.list.pop() {
            process.end();
        }
        let Ok(wanted) = Wanted::by(dispatch) else {
            return;
        };
        if let Some(spare) = &mut self.spare
            && spare.suits(wanted.key, wanted.granted)
            && spare.is_alive()
        {
            // It is at hand, and the next is started when these tasks have ended.
            self.want_spare(Duration::ZERO);
            return;
        }
        // The task at `first` went with it.
        if first + 1 < dispatch.tasks.len()
            && !dispatch.cancel.is_wanted()
            && let Ok(process) = self.fresh(&wanted)
        {
            self.put_last(&wanted, process);
        }
        self.want_spare(Duration::ZERO);
    }

    /// Has a spare one started in so much time, or before.
    fn want_spare(&mut self, within: Duration) {
        if self.settings.keeps_spares {
            let time = Instant::now() + within;
            self.refill = Some(self.refill.map_or(time, |before| before.min(time)));
        }
    }

    fn start_spare(&mut self) {
        if self.spare.as_mut().is_some_and(Process::is_alive) {
            return;
        }
        // Without one, the next that is wanted is started when it is wanted.
        self.spare = Process::start(&self.settings, self.engine, self.spare_key, None, false).ok();
    }

    /// Ends those that have more memory than they can need, though they run nothing.
    fn check_memory(&mut self) {
        let mut found = Vec::new();
        self.list.retain_mut(|(_, process)| {
            let checked = process.check_memory();
            let fits = checked.is_ok();
            found.extend(checked.err());
            fits
        });
        if self
            .spare
            .as_mut()
            .is_some_and(|spare| spare.check_memory().is_err())
        {
            self.spare = None;
        }
        for failure in found {
            self.note_loss(&failure.message);
        }
    }
}
