//! What stands in for `recording` where the library is built without the feature `history`: the same names, of which
//! nothing can be made, so that no job is recorded and nothing asks whether it might be.

use super::pieces::{Piece, Pieces};
use super::start::NewJob;
use crate::dispatch::TaskInput;
use crate::view::shared::keeper::Keeper;
use crate::view::shared::result::{JobError, JobResult};
use crate::view::shared::settings::TaskSettings;
use crate::view::shared::slot::Slot;
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::input::Input;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::{Failure, Origin, Usage};
use rwasm_sandbox::sandbox::ModuleInfo;
use rwasm_value::value::Packed;

/// The record of a job.
pub(crate) enum Recording {}

/// The record of a task.
pub(crate) enum TaskEntry {}

/// The record of a job's input.
pub(crate) enum InputEntry {}

/// What a job is called in a record.
#[derive(Clone, Copy)]
pub(crate) enum JobKind {
    Run,
    Map,
}

impl Keeper {
    pub(crate) fn job(&self, _: &NewJob<'_>) -> Option<Recording> {
        match *self {}
    }

    pub(crate) fn call(
        &self,
        _: &TaskSettings,
        _: (&Limits, &Grants),
        _: (&ModuleInfo, &str),
        _: &TaskInput,
        _: &Slot,
        _: bool,
    ) {
        match *self {}
    }

    pub(crate) fn noting(&self, _: Box<dyn Pieces>) -> Box<dyn Pieces> {
        match *self {}
    }
}

impl Recording {
    pub(crate) fn read(&mut self, _: &mut Piece) {
        match *self {}
    }

    pub(crate) fn entry(&self, _: &Origin, _: &Result<Packed, Failure>, _: &Usage) -> TaskEntry {
        match *self {}
    }

    pub(crate) fn ended(&mut self, _: TaskEntry) {
        match *self {}
    }

    pub(crate) fn hand_over(&mut self) {
        match *self {}
    }

    pub(crate) fn end(self, _: &Result<JobResult, JobError>, _: bool) {
        match self {}
    }
}

pub(crate) fn input_entries(_: &[Input]) -> Vec<InputEntry> {
    Vec::new()
}
