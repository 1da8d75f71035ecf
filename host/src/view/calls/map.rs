//! How a map starts: as a job of many tasks, held by a handle of typed values.

use crate::view::handles::map::Map;
use crate::view::runs::pieces::Pieces;
use crate::view::runs::plan::Plan;
use crate::view::runs::recording::JobKind;
use crate::view::runs::spec::{JobSpec, Merge, ViewKind};
use crate::view::runs::start::NewJob;
use crate::view::runs::submit::SubmitError;
use crate::view::shared::core::Core;
use crate::view::shared::settings::{MapOptions, Options};
use rwasm_sandbox::grants::Grants;
use rwasm_sandbox::sandbox::Callable;
use rwasm_value::value::FromWit;
use std::sync::Arc;
use std::time::Instant;
#[cfg(feature = "nats")]
use {
    crate::view::runs::recall::Remembered,
    rwasm_sandbox::{outcome::Place, sandbox::DynamicCallable},
    rwasm_value::value::Value,
};

impl Core {
    /// Begins a map of `function` over `pieces`.
    pub(crate) fn map<P, R: FromWit>(
        &self,
        function: &Callable<P, R>,
        pieces: Box<dyn Pieces>,
        view: ViewKind,
        options: &Options,
        map: &MapOptions,
    ) -> Result<Map<R>, SubmitError> {
        let spec = JobSpec {
            merge: Merge::None,
            view,
            reuse: options.reuse,
            limits: Some(options.limits.clone()),
            grants: Some(Grants::clone(&options.grants)),
            deterministic: options.deterministic,
            retry: options.retry.clone(),
            max_failures: map.max_failures,
            deadline: options.deadline,
            queue_timeout: options.queue_time,
            label: options.label.as_deref().map(str::to_owned),
            priority: options.priority,
            unordered: map.unordered,
            dispatch_size: map.dispatch_size,
            max_outstanding: map.max_outstanding,
            keep_records: map.keep_records,
            #[cfg(feature = "history")]
            repeats: options.repeats,
            #[cfg(feature = "history")]
            memo: match (&self.keeper, &options.memo) {
                (Some(_), Some(memo)) => serde_json::Value::clone(memo),
                _ => serde_json::Value::Null,
            },
            ..JobSpec::default()
        };
        let begun = Instant::now();
        let setting = options.setting(self.is_here())?;
        let job = self.start(NewJob {
            plan: Plan::map(function, map.unordered),
            program: self.program(function.module(), setting)?,
            setting: Arc::clone(setting),
            spec: &spec,
            kind: JobKind::Map,
            inputs: Vec::new(),
            pieces,
            owner: options.owner.clone(),
            failures_count: true,
            names_values: true,
            after: options.after.clone(),
            follow: options.follow.clone(),
        })?;
        Ok(Map::new(
            job,
            function.name().into(),
            options.label.clone(),
            begun,
        ))
    }

    #[cfg(feature = "nats")]
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
