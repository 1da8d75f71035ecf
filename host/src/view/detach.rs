//! Jobs that go on without whoever submitted them: their tasks as dispatches that are stored elsewhere, and the same tasks
//! remembered, whose outcomes are found there.
//!
//! It knows nothing of where they are stored.

use super::core::{Core, NewJob};
use super::handle::Job;
use super::lines::Lines;
use super::map::Map;
use super::options::{Options, Wishes};
use super::pieces::{Listed, Piece, Pieces, Total};
use super::plan::Plan;
use super::recording::JobKind;
use super::run::cut;
use super::spec::{JobSpec, ViewKind};
use super::{SubmitError, balanced::MapOptions};
use crate::dispatch::{Answer, Course, Dispatch, DispatchedTask, Owner, Reply, TaskInput};
use crate::placement::{Eligible, Stage};
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::input::{Input, InputError};
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::{Failure, FailureCode, Place};
use rwasm_sandbox::sandbox::{Callee, DynamicCallable, Module, Program, Setting};
use rwasm_value::ids::{ChunkIndex, DispatchId, JobId};
use rwasm_value::value::Value;
use std::io::Read;
use std::sync::Arc;
use std::time::SystemTime;

/// The tasks of a job, a message of them at a time.
pub(crate) struct Packs {
    pieces: Box<dyn Pieces>,
    program: Arc<Program>,
    setting: Arc<Setting>,
    callee: Callee,
    spec: JobSpec,
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
    pub(crate) places: Vec<Place>,
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
        let setting = Wishes {
            limits,
            grants: &Arc::new(grants.clone()),
            deterministic: spec.deterministic,
            reuse: spec.reuse,
            program_arguments: plan.arguments.clone(),
        }
        .settle(false)?;
        let chunks = cut(&plan, &setting.limits, inputs)?;
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
        let setting = Wishes {
            limits,
            grants: &Arc::new(grants.clone()),
            deterministic: spec.deterministic,
            reuse: spec.reuse,
            program_arguments: Vec::new(),
        }
        .settle(false)?;
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
            program: Arc::new(Program::of_elsewhere(module.clone())),
            setting,
            callee,
            spec: spec.clone(),
            ahead: None,
            given: 0,
            ended: false,
        }
    }

    /// The next tasks that travel together.
    pub(crate) fn next(&mut self) -> Option<Result<Pack, InputError>> {
        let most = if let Some(size) = self.spec.dispatch_size {
            size.max(1)
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
        let places = pieces.iter().map(|piece| piece.place.clone()).collect();
        let tasks = pieces.into_iter().map(|piece| DispatchedTask {
            input: piece.input,
            index: piece.index.0,
            attempt: 1,
            start_by: None,
        });
        let dispatch = Dispatch {
            id: DispatchId(first),
            job: JobId(0),
            eligible: Eligible::Any,
            priority: self.spec.priority,
            stage: Stage::Map,
            program: Arc::clone(&self.program),
            setting: Arc::clone(&self.setting),
            reuse: self.spec.reuse,
            owner: Owner::default(),
            callee: self.callee,
            tasks: tasks.collect(),
            queued: SystemTime::now(),
            cancel: Cancel::default(),
            pushed: None,
            listener: None,
            reply: Arc::new(Nobody),
            course: Course::default(),
            engine_count: None,
        };
        Some(Ok(Pack {
            first,
            dispatch,
            places,
        }))
    }
}

/// Whoever wants the outcomes finds them where they are stored.
struct Nobody;

impl Reply for Nobody {
    fn answer(&self, _: Answer) {}
}

/// Tasks that were submitted before, by what each worked on.
pub(crate) struct Remembered<I> {
    places: I,
    next: u64,
    total: u64,
}

impl<I: Iterator<Item = Place> + Send> Remembered<I> {
    pub(crate) fn new(places: I, total: u64) -> Self {
        Self {
            places,
            next: 0,
            total,
        }
    }
}

impl<I: Iterator<Item = Place> + Send> Pieces for Remembered<I> {
    fn next(&mut self, _: &Cancel) -> Option<Result<Piece, InputError>> {
        let place = self.places.next()?;
        let index = self.next;
        self.next += 1;
        // Never called with: the backend of such a job finds the outcome by the index.
        let failure = Failure::new(FailureCode::Internal, "the task has run elsewhere");
        Some(Ok(Piece {
            index: ChunkIndex(index),
            place,
            position: index,
            size: None,
            held: 0,
            input: TaskInput::Refused(failure),
            start_by: None,
            #[cfg(feature = "history")]
            kept: None,
        }))
    }

    fn total(&self) -> Total {
        Total::Tasks(self.total)
    }
}

impl Core {
    /// A run whose chunks have outcomes elsewhere: merges them, or delivers each.
    pub(crate) fn recall_run(
        &self,
        module: &Module,
        spec: &JobSpec,
        places: impl Iterator<Item = Place> + Send + 'static,
        total: u64,
    ) -> Result<Job, SubmitError> {
        let plan = Plan::new(module, spec)?;
        let defaults = self.defaults_for(spec);
        let setting = Wishes {
            limits: &defaults.limits,
            grants: &defaults.grants,
            deterministic: spec.deterministic,
            reuse: spec.reuse,
            program_arguments: plan.arguments.clone(),
        }
        .settle(false)?;
        self.start(NewJob {
            plan,
            spec,
            program: self.program(module, &setting)?,
            setting,
            kind: JobKind::Run,
            inputs: Vec::new(),
            pieces: Box::new(Remembered::new(places, total)),
            owner: Owner::default(),
            failures_count: false,
            names_values: false,
            after: Vec::new(),
            follow: Vec::new(),
        })
    }

    /// A map whose tasks have outcomes elsewhere.
    pub(crate) fn recall_map(
        &self,
        function: &DynamicCallable,
        spec: &JobSpec,
        places: impl Iterator<Item = Place> + Send + 'static,
        total: u64,
    ) -> Result<Map<Value>, SubmitError> {
        let mut options = Options::of(&self.defaults);
        options.deterministic = spec.deterministic;
        options.label = spec.label.as_deref().map(Arc::from);
        options.priority = spec.priority;
        let map = MapOptions {
            max_failures: spec.max_failures,
            ..MapOptions::default()
        };
        let pieces = Box::new(Remembered::new(places, total));
        self.map(function, pieces, ViewKind::Balanced, &options, &map)
    }
}
