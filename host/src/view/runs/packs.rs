//! The tasks of jobs that continue without their submitter, as dispatches to be stored. Where they are stored is not known
//! here.

use super::lines::Lines;
use super::pieces::{Listed, Piece, Pieces};
use super::plan::Plan;
use super::run::cut;
use super::spec::JobSpec;
use super::submit::SubmitError;
use crate::dispatch::{Answer, Dispatch, DispatchPreset, DispatchedTask, Owner, Reply};
use crate::job::MOST_TASKS;
use crate::view::Lookup;
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::input::{Input, InputError};
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::ArgumentSource;
use rwasm_sandbox::sandbox::{Callee, CommandLine, DynamicCallable, Module, Program, Setting};
use rwasm_value::ids::{DispatchId, JobId};
use std::io::Read;
use std::sync::Arc;

/// The tasks of a job, a message of them at a time.
pub(crate) struct Packs {
    pieces: Box<dyn Pieces>,
    preset: DispatchPreset,
    callee: Callee,
    dispatch_size: Option<usize>,
    /// The first task of the next pack, where it was read too far.
    ahead: Option<Piece>,
    given: u64,
    ended: bool,
}

/// Tasks that travel together.
pub(crate) struct Pack {
    /// The index of the first.
    pub(crate) first: u64,
    pub(crate) dispatch: Dispatch,
    /// What each works on.
    pub(crate) sources: Vec<ArgumentSource>,
}

/// Many packs of one task at first, so that a job of few tasks spreads over engines; then larger ones, so that one of
/// millions is not millions of messages. So many packs are of each size.
const PACKS_OF_A_SIZE: u64 = 64;
const LARGEST_PACK: usize = 256;

/// Bytes of a pack of several tasks.
const PACK_BYTES: u64 = 256 << 10;

impl Packs {
    /// The tasks of a run.
    pub(crate) fn of_run(
        module: &Module,
        inputs: Vec<Input>,
        spec: &JobSpec,
        limits: &Limits,
        grants: &Grants,
    ) -> Result<Self, SubmitError> {
        let plan = Plan::new(module, spec)?;
        let setting = spec.task.settle(
            limits,
            &Arc::new(grants.clone()),
            plan.command.clone(),
            Lookup::Elsewhere,
            None,
        )?;
        let chunks = cut(&plan, &setting.limits, inputs, spec.job.max_failures)?;
        Ok(Self::new(module, setting, plan.map, spec, Box::new(chunks)))
    }

    /// The tasks of a map over lines.
    pub(crate) fn of_lines(
        function: &DynamicCallable,
        name: &str,
        lines: impl Read + Send + 'static,
        spec: &JobSpec,
        limits: &Limits,
        grants: &Grants,
    ) -> Result<Self, SubmitError> {
        let grants = Arc::new(grants.clone());
        let setting = spec.task.settle(
            limits,
            &grants,
            CommandLine::default(),
            Lookup::Elsewhere,
            None,
        )?;
        let given = Lines::new(function, name, lines, limits);
        let pieces = Box::new(Listed::new(given, None));
        Ok(Self::new(
            function.module(),
            setting,
            function.callee(),
            spec,
            pieces,
        ))
    }

    fn new(
        module: &Module,
        setting: Arc<Setting>,
        callee: Callee,
        spec: &JobSpec,
        pieces: Box<dyn Pieces>,
    ) -> Self {
        Self {
            pieces,
            preset: DispatchPreset {
                job: JobId(0),
                account: Arc::default(),
                priority: spec.task.priority,
                program: Arc::new(Program::of_elsewhere(module.clone())),
                setting,
                reuse: spec.task.reuse,
                owner: Owner::default(),
                span: tracing::Span::none(),
                observer: None,
            },
            callee,
            dispatch_size: spec.job.dispatch_size,
            ahead: None,
            given: 0,
            ended: false,
        }
    }

    /// The next tasks that travel together.
    pub(crate) fn next(&mut self) -> Option<Result<Pack, InputError>> {
        let most = if let Some(size) = self.dispatch_size {
            size.clamp(1, MOST_TASKS)
        } else {
            let step = u32::try_from(self.given / PACKS_OF_A_SIZE).unwrap_or(u32::MAX);
            4_usize.saturating_pow(step).min(LARGEST_PACK)
        };
        let mut pieces: Vec<Piece> = Vec::new();
        let mut bytes = 0;
        while pieces.len() < most && !self.ended {
            let piece = match self.ahead.take() {
                Some(piece) => piece,
                None => match self.pieces.next(&Cancel::default()) {
                    Some(Ok(piece)) => piece,
                    Some(Err(error)) => {
                        self.ended = true;
                        return Some(Err(error));
                    }
                    None => {
                        self.ended = true;
                        break;
                    }
                },
            };
            let size = piece.size.unwrap_or(PACK_BYTES);
            if !pieces.is_empty() && bytes + size > PACK_BYTES {
                self.ahead = Some(piece);
                break;
            }
            bytes += size;
            pieces.push(piece);
        }
        let first = pieces.first()?.index.0;
        self.given += 1;
        let sources = pieces.iter().map(|piece| piece.source.clone()).collect();
        let tasks = pieces.into_iter().map(|piece| DispatchedTask {
            input: piece.input,
            index: piece.index.0,
            attempt: 1,
            start_by: None,
        });
        let (id, tasks) = (DispatchId(first), tasks.collect());
        let dispatch = self
            .preset
            .dispatch(id, self.callee, tasks, Arc::new(Nobody));
        Some(Ok(Pack {
            first,
            dispatch,
            sources,
        }))
    }
}

/// Whoever wants the outcomes finds them where they are stored.
struct Nobody;

impl Reply for Nobody {
    fn answer(&self, _: Answer) {}
}
