//! What stands in for `recording` where the library is built without the feature `history`: the same names, of which
//! nothing can be made, so that no job is recorded and nothing asks whether it might be.

use super::handle::{JobError, JobResult};
use super::options::Options;
use super::pieces::{Piece, Pieces};
use super::plan::Plan;
use super::slot::Slot;
use super::spec::JobSpec;
use crate::dispatch::TaskInput;
use rwasm_sandbox::input::Input;
use rwasm_sandbox::outcome::{Failure, Origin, Usage};
use rwasm_sandbox::sandbox::{Module, Program, Setting};
use rwasm_value::value::Packed;

/// Where the jobs of a cluster are recorded: nowhere.
#[derive(Clone)]
pub(crate) enum Keeper {}

/// The record of a job.
pub(super) enum Recording {}

/// The record of a task.
pub(super) enum TaskEntry {}

/// The record of a job's input.
pub(super) enum InputEntry {}

/// What a job is called in a record.
#[derive(Clone, Copy)]
pub(super) enum JobKind {
    Run,
    Map,
}

/// What is recorded of a job when it begins.
pub(super) enum Beginning {}

impl Keeper {
    pub(super) fn job(&self, _: Beginning, _: bool) -> Option<Recording> {
        match *self {}
    }

    pub(super) fn call(&self, _: &Options, _: &Module, _: &str, _: &TaskInput, _: &Slot) {
        match *self {}
    }

    pub(super) fn noting(&self, _: Box<dyn Pieces>) -> Box<dyn Pieces> {
        match *self {}
    }
}

impl Recording {
    pub(super) fn read(&mut self, _: &mut Piece) {
        match *self {}
    }

    pub(super) fn entry(&self, _: &Origin, _: &Result<Packed, Failure>, _: &Usage) -> TaskEntry {
        match *self {}
    }

    pub(super) fn ended(&mut self, _: TaskEntry) {
        match *self {}
    }

    pub(super) fn hand_over(&mut self) {
        match *self {}
    }

    pub(super) fn end(self, _: &Result<JobResult, JobError>) {
        match self {}
    }
}

pub(super) fn input_entries(_: &[Input]) -> Vec<InputEntry> {
    Vec::new()
}

pub(super) fn beginning(
    _: &Plan,
    _: &JobSpec,
    _: &Setting,
    _: &Program,
    _: JobKind,
    _: Vec<InputEntry>,
) -> Beginning {
    unreachable!("nothing is recorded without a keeper, of which there is none")
}
