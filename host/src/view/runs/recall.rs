//! Runs of tasks that have run elsewhere, whose stored outcomes are read instead.

use super::pieces::{Piece, Pieces, Total};
use super::plan::Plan;
use super::spec::JobSpec;
use super::start::NewJob;
use super::submit::SubmitError;
use crate::dispatch::TaskInput;
use crate::view::handles::job::Job;
use crate::view::shared::core::Core;
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::input::InputError;
use rwasm_sandbox::outcome::{ArgumentSource, Failure, FailureCode};
use rwasm_sandbox::sandbox::Module;
use rwasm_value::ids::ChunkIndex;

/// Tasks that were submitted before, by what each worked on.
pub(crate) struct Remembered<I> {
    sources: I,
    next: u64,
    total: u64,
}

impl<I: Iterator<Item = ArgumentSource> + Send> Remembered<I> {
    pub(crate) fn new(sources: I, total: u64) -> Self {
        Self {
            sources,
            next: 0,
            total,
        }
    }
}

impl<I: Iterator<Item = ArgumentSource> + Send> Pieces for Remembered<I> {
    fn next(&mut self, _: &Cancel) -> Option<Result<Piece, InputError>> {
        let source = self.sources.next()?;
        let index = self.next;
        self.next += 1;
        // Never called with: the backend of such a job finds the outcome by the index.
        let failure = Failure::new(FailureCode::Internal, "the task has run elsewhere");
        Some(Ok(Piece {
            index: ChunkIndex(index),
            source,
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
        sources: impl Iterator<Item = ArgumentSource> + Send + 'static,
        total: u64,
    ) -> Result<Job, SubmitError> {
        let plan = Plan::new(module, spec)?;
        let setting = self.setting(&self.own, &spec.task, plan.command.clone())?;
        let program = self.program(&self.own, module, &setting)?;
        let pieces = Box::new(Remembered::new(sources, total));
        self.start(NewJob::of_run(
            &self.own, spec, plan, setting, program, pieces,
        ))
    }
}
