//! What a worker is told before its tasks: programs, what dispatches have in common, and pushed values; each once, as long as
//! the worker knows it.

use super::form::{self, FORGET, Forget, PRESET, PROGRAM, PresetForm, ProgramForm};
use super::listen::RunError;
use super::names;
use super::process::{Process, WorkerError};
use super::sending::Patience;
use crate::dispatch::{Dispatch, OwnerMark, Reuse};
use rwasm_sandbox::sandbox::{Callee, Program, Setting, SettingForm};
use std::os::fd::AsFd;
use std::sync::Arc;

/// What dispatches have in common, as long as the worker knows it.
pub(super) struct Preset {
    program: Arc<Program>,
    setting: Arc<Setting>,
    callee: Callee,
    reuse: Reuse,
    listens: bool,
    reads: bool,
    pub(super) owner_number: u64,
    pub(super) owner: OwnerMark,
}

impl Process {
    /// Tells it the program, unless it knows it.
    fn program(
        &mut self,
        program: &Arc<Program>,
        patience: &Patience<'_>,
    ) -> Result<u64, RunError> {
        if let Some(number) = self.programs.find(|one| Arc::ptr_eq(one, program)) {
            return Ok(number);
        }
        let portable = program
            .portable()
            .ok_or_else(|| WorkerError::from("the module was not prepared for workers"))?;
        let number = self.number();
        let form = ProgramForm {
            number,
            name: portable.name.clone(),
            key: portable.key,
            as_component: portable.as_component,
            strict_imports: portable.strict_imports,
            host: portable
                .host
                .iter()
                .map(|import| (import.interface.to_string(), import.name.to_string()))
                .collect(),
        };
        let files = [portable.module.as_fd(), portable.code.as_fd()];
        self.pass_these(&files, patience)?;
        self.send(&[&form::plain(PROGRAM, &form)], patience)?;
        if let Some((gone, _)) = self.programs.add(number, Arc::clone(program)) {
            let forget = Forget {
                programs: vec![gone],
                ..Forget::default()
            };
            self.send(&[&form::plain(FORGET, &forget)], patience)?;
        }
        Ok(number)
    }

    /// Tells it what the dispatch has in common with others, unless it knows it.
    pub(super) fn preset(
        &mut self,
        dispatch: &Dispatch,
        patience: &Patience<'_>,
    ) -> Result<u64, RunError> {
        let listens = dispatch.listener.is_some();
        let reads = dispatch.elements.is_some();
        let is = |one: &Preset| {
            Arc::ptr_eq(&one.program, &dispatch.program)
                && Arc::ptr_eq(&one.setting, &dispatch.setting)
                && one.callee == dispatch.callee
                && one.reuse == dispatch.reuse
                && (one.listens, one.reads) == (listens, reads)
                && one.owner.is(&dispatch.owner)
        };
        if let Some(number) = self.presets.find(is) {
            return Ok(number);
        }
        let program = self.program(&dispatch.program, patience)?;
        let number = self.number();
        // They were looked up before; a worker could not ask.
        let names = if names::asks(&dispatch.program) {
            dispatch.setting.peers.known_names()
        } else {
            Vec::new()
        };
        let form = PresetForm {
            number,
            program,
            function: match dispatch.callee {
                Callee::Command => None,
                Callee::Function(place) => Some(place),
            },
            setting: SettingForm::of(&dispatch.setting, names),
            reuse: dispatch.reuse.name().to_owned(),
            owner: dispatch.owner.number(),
            listens,
            reads,
        };
        self.send(&[&form::plain(PRESET, &form)], patience)?;
        let preset = Preset {
            program: Arc::clone(&dispatch.program),
            setting: Arc::clone(&dispatch.setting),
            callee: dispatch.callee,
            reuse: dispatch.reuse,
            listens,
            reads,
            owner_number: dispatch.owner.number(),
            owner: dispatch.owner.mark(),
        };
        if let Some((gone, preset)) = self.presets.add(number, preset) {
            // With its owner, unless another has that too: what a worker knows is bounded.
            let owner = preset.owner_number;
            let is_needed = |(_, one): &(u64, Preset)| one.owner_number == owner;
            let is_gone = !self.presets.0.iter().any(is_needed);
            if is_gone {
                self.kept.retain(|(kept, _)| *kept != owner);
            }
            let forget = Forget {
                presets: vec![gone],
                owners: is_gone.then_some(owner).into_iter().collect(),
                ..Forget::default()
            };
            self.send(&[&form::plain(FORGET, &forget)], patience)?;
        }
        Ok(number)
    }

    /// Tells it the values that were pushed to the engine, unless it knows them.
    pub(super) fn push(
        &mut self,
        dispatch: &Dispatch,
        patience: &Patience<'_>,
    ) -> Result<Option<u64>, RunError> {
        let values = dispatch
            .pushed
            .as_ref()
            .and_then(|pushed| pushed.get(&self.engine));
        let Some(values) = values else {
            return Ok(None);
        };
        if let Some(number) = self.pushed.find(|one| Arc::ptr_eq(one, values)) {
            return Ok(Some(number));
        }
        let number = self.number();
        self.send(&[&form::pushed_message(number, values)], patience)?;
        // Each change makes them anew, and the last are the ones that count.
        let gone: Vec<u64> = std::mem::take(&mut self.pushed.0)
            .into_iter()
            .map(|(gone, _)| gone)
            .collect();
        self.pushed.add(number, Arc::clone(values));
        if !gone.is_empty() {
            let forget = Forget {
                pushed: gone,
                ..Forget::default()
            };
            self.send(&[&form::plain(FORGET, &forget)], patience)?;
        }
        Ok(Some(number))
    }
}
