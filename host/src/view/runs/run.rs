//! A run: a function of a module mapped over inputs that are cut into chunks, and merged.

use super::plan::Plan;
use super::recording::input_entries;
use super::spec::JobSpec;
use super::start::NewJob;
use super::submit::SubmitError;
use crate::graph::Dependency;
use crate::job::Tolerance;
use crate::view::handles::job::Job;
use crate::view::shared::core::Core;
use crate::view::shared::elements::ElementBuffers;
use crate::view::shared::tenant::TenantState;
use rwasm_sandbox::input::{Chunks, Cut, Input, InputError};
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::sandbox::Module;
use std::sync::Arc;

impl Core {
    /// Begins a run. What can be refused is refused before anything is compiled or run.
    pub(crate) fn run(
        &self,
        tenant: &Arc<TenantState>,
        module: &Module,
        inputs: Vec<Input>,
        spec: &JobSpec,
        after: Vec<Dependency>,
    ) -> Result<Job, SubmitError> {
        let plan = Plan::new(module, spec)?;
        self.run_planned(tenant, module, inputs, (spec, plan), after, None)
    }

    /// The same, as it was planned. Its tasks give `elements` while they run.
    pub(crate) fn run_planned(
        &self,
        tenant: &Arc<TenantState>,
        module: &Module,
        inputs: Vec<Input>,
        (spec, plan): (&JobSpec, Plan),
        after: Vec<Dependency>,
        elements: Option<Arc<ElementBuffers>>,
    ) -> Result<Job, SubmitError> {
        let entries = match &self.keeper {
            Some(_) => input_entries(&inputs),
            None => Vec::new(),
        };
        let setting = self.setting(tenant, &spec.task, plan.command.clone())?;
        let chunks = cut(&plan, &setting.limits, inputs, spec.job.max_failures)?;
        let program = self.program(tenant, module, &setting)?;
        self.start(NewJob {
            inputs: entries,
            after,
            elements,
            ..NewJob::of_run(tenant, spec, plan, setting, program, Box::new(chunks))
        })
    }
}

/// Looks at all inputs. In a job that tolerates failures, one that cannot be read is a task that fails.
pub(crate) fn cut(
    plan: &Plan,
    limits: &Limits,
    inputs: Vec<Input>,
    tolerance: Tolerance,
) -> Result<Chunks, InputError> {
    Chunks::check(
        inputs,
        Cut {
            chunking: plan.chunking,
            max_chunk: limits.input.bytes(),
            is_streamed: plan.is_streamed,
            reading: plan.reading.clone(),
            max_inflated: limits.inflated,
            goes_on: tolerance != Tolerance::default(),
        },
    )
}
