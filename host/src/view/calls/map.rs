//! The start of a map: a job of many tasks, whose handle has typed values.

use crate::view::handles::job::Job;
use crate::view::handles::map::Map;
use crate::view::runs::pieces::Pieces;
use crate::view::runs::plan::Plan;
use crate::view::runs::recording::JobKind;
use crate::view::runs::spec::ViewKind;
use crate::view::runs::start::NewJob;
use crate::view::runs::submit::SubmitError;
use crate::view::shared::core::Core;
use crate::view::shared::elements::ElementBuffers;
use crate::view::shared::settings::ViewSettings;
use rwasm_sandbox::sandbox::Callable;
use rwasm_value::value::FromWit;
use std::sync::Arc;
use std::time::Instant;
#[cfg(feature = "nats")]
use {
    crate::view::runs::recall::Remembered,
    crate::view::shared::settings::{JobSettings, TaskSettings},
    rwasm_sandbox::{outcome::ArgumentSource, sandbox::DynamicCallable},
    rwasm_value::value::Value,
};

impl Core {
    /// Begins a map of `function` over `pieces`.
    pub(crate) fn map<P, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        pieces: Box<dyn Pieces>,
        view: &ViewKind,
        settings: &ViewSettings,
    ) -> Result<Map<R>, SubmitError> {
        let begun = Instant::now();
        let job = self.map_job(function, pieces, view, settings, None)?;
        let label = settings.task.label.clone();
        Ok(Map::new(job, function.name().into(), label, begun))
    }

    /// The same, as a job without types. Its tasks give `elements` while they run.
    pub(super) fn map_job<P, R>(
        &self,
        function: &Callable<P, R>,
        pieces: Box<dyn Pieces>,
        view: &ViewKind,
        settings: &ViewSettings,
        elements: Option<Arc<ElementBuffers>>,
    ) -> Result<Job, SubmitError> {
        self.check_open(&settings.tenant)?;
        let setting = settings.setting(self)?;
        self.start(NewJob {
            plan: Plan::map(function, settings.job.unordered),
            tenant: &settings.tenant,
            program: self.program(&settings.tenant, function.module(), setting)?,
            setting: Arc::clone(setting),
            run: None,
            view,
            task: &settings.task,
            job: &settings.job,
            kind: JobKind::Map,
            inputs: Vec::new(),
            pieces,
            owner: settings.owner.clone(),
            failures_count: true,
            names_values: true,
            after: settings.after.clone(),
            follow: settings.follow.clone(),
            elements,
        })
    }

    #[cfg(feature = "nats")]
    /// A map whose tasks have outcomes elsewhere.
    pub(crate) fn recall_map(
        &self,
        function: &DynamicCallable,
        task: TaskSettings,
        job: JobSettings,
        sources: impl Iterator<Item = ArgumentSource> + Send + 'static,
        total: u64,
    ) -> Result<Map<Value>, SubmitError> {
        let settings = ViewSettings {
            task,
            job,
            ..ViewSettings::of(Arc::clone(&self.own))
        };
        let pieces = Box::new(Remembered::new(sources, total));
        self.map(function, pieces, &ViewKind::Balanced, &settings)
    }
}
