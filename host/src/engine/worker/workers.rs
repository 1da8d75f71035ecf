//! The workers of one engine: a few, each for one tenant and one variant, of which one runs at a time.

use super::host_calls::HostRuntime;
use super::lost::Lost;
use super::process::{Process, Ran, WorkerError};
use crate::account::Account;
use crate::dispatch::Dispatch;
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::outcome::{Failure, FailureCode};
use rwasm_sandbox::sandbox::{Setting, VariantKey};
use rwasm_value::ids::EngineId;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Workers that an engine has at a time. The one that was not used for longest goes first.
const MOST: usize = 4;

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
    /// One that is started and has no tenant yet.
    spare: Option<Process>,
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
            if settings.is_strict {
                first
                    .make_ready(&Cancel::default())
                    .map_err(WorkerError::into_error)?;
            }
            spare = Some(first);
        }
        Ok(Self {
            settings,
            engine,
            list: Vec::new(),
            runtime: Rc::default(),
            lost: Vec::new(),
            spare,
        })
    }

    /// Lets go of what nobody needs: workers of tenants that are closed, and instances of owners that are gone.
    pub(crate) fn let_go(&mut self) {
        self.list.retain(|(account, _)| !account.is_closed());
        for (_, process) in &mut self.list {
            process.let_go();
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
        let runtime = Rc::clone(&self.runtime);
        let mut computed = Duration::ZERO;
        let mut first = 0;
        let mut lost_idle = 0;
        while first < dispatch.tasks.len() && !dispatch.cancel.is_wanted() {
            if let Err(failure) = dispatch
                .setting
                .dirs
                .expect_in_place(&dispatch.setting.grants)
            {
                dispatch.fail_rest_with(Some(self.engine), &failure);
                break;
            }
            if self.settings.is_strict && !dispatch.setting.peers.is_empty() {
                let message =
                    "a strict boundary grants no peers: the kernel does not know their addresses";
                let failure = Failure::new(FailureCode::PolicyDenied, message);
                dispatch.fail_rest_with(Some(self.engine), &failure);
                break;
            }
            let lost = match self.worker(dispatch) {
                Ok(process) => match process.run(count, dispatch, first, &runtime) {
                    Ok(Ran { computed: spent }) => {
                        computed += spent;
                        break;
                    }
                    Err(lost) => {
                        self.end_last();
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
                self.lost.push(lost.failure.message.as_str().into());
                tracing::warn!(engine = %self.engine, reason = lost.failure.message, "lost a worker");
            }
            if lost.ran_since.is_none() && lost.answered == 0 {
                lost_idle += 1;
                if lost_idle < MOST_LOST {
                    continue;
                }
                // None of the others would find a worker either.
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
        dispatch.cancel_rest(Some(self.engine));
        computed
    }

    /// The worker for these tasks, put last.
    fn worker(&mut self, dispatch: &Dispatch) -> io::Result<&mut Process> {
        let Some(portable) = dispatch.program.portable() else {
            return Err(io::Error::other("the module was not prepared for workers"));
        };
        let account = &dispatch.account;
        let setting = &dispatch.setting;
        let is_granted = !(setting.dirs.is_empty() && setting.peers.is_empty());
        let granted = is_granted.then_some(setting);
        let mut imports = dispatch.program.module.imports().iter();
        let has_roots = !setting.peers.is_empty()
            && imports.any(|import| import.module.starts_with("wasi:http/"));
        let suits = |(of, process): &(Arc<Account>, Process)| {
            of.tenant == account.tenant && process.suits(portable.key, granted)
        };
        let process = match self.list.iter().position(suits) {
            Some(place) => {
                let (_, mut process) = self.list.remove(place);
                if process.is_alive() {
                    process
                } else {
                    self.fresh(portable.key, granted, has_roots)?
                }
            }
            None => self.fresh(portable.key, granted, has_roots)?,
        };
        if self.list.len() == MOST {
            self.list.remove(0);
        }
        self.list.push((Arc::clone(account), process));
        let (_, last) = self.list.last_mut().ok_or(io::ErrorKind::NotFound)?;
        Ok(last)
    }

    fn fresh(
        &mut self,
        key: VariantKey,
        granted: Option<&Arc<Setting>>,
        has_roots: bool,
    ) -> io::Result<Process> {
        let spare = self.spare.take_if(|spare| spare.suits(key, granted));
        if let Some(mut spare) = spare
            && spare.is_alive()
        {
            return Ok(spare);
        }
        Process::start(&self.settings, self.engine, key, granted, has_roots)
    }

    /// Ends the one that was used last.
    fn end_last(&mut self) {
        if let Some((_, process)) = self.list.pop() {
            process.end();
        }
        // The next is on its way while the rest of the tasks is looked at.
        if self.spare.is_none() {
            self.spare = Process::start(
                &self.settings,
                self.engine,
                self.settings.first,
                None,
                false,
            )
            .ok();
        }
    }
}
