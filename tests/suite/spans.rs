//! Spans of the library: whoever embeds it finds the work of a job below the span in which the job was submitted.

use crate::support::{is_alone, module, numbers, only_here};
use rwasm_cluster::{Cluster, Input, JobSpec};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// The spans that were begun, each with those around it, from the outermost inwards.
#[derive(Clone, Default)]
struct Begun(Arc<Mutex<BTreeSet<String>>>);

impl Begun {
    /// Those of that name.
    fn named(&self, name: &str) -> Vec<String> {
        let all = self.0.lock().expect("no thread panicked with it");
        let is_named = |way: &&String| way.rsplit(' ').next() == Some(name);
        all.iter().filter(is_named).cloned().collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Begun {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let around = context.span_scope(id).expect("it has just begun");
        let names: Vec<&str> = around.from_root().map(|span| span.name()).collect();
        let mut all = self.0.lock().expect("no thread panicked with it");
        all.insert(names.join(" "));
    }
}

#[test]
fn the_work_of_a_job_is_in_the_span_of_whoever_submits_it() {
    if only_here("engines elsewhere do not know the client's spans") {
        return;
    }
    // A subscriber for all threads is for the whole process.
    if !is_alone("spans::the_work_of_a_job_is_in_the_span_of_whoever_submits_it") {
        return;
    }
    let begun = Begun::default();
    let subscriber = tracing_subscriber::registry().with(begun.clone());
    tracing::subscriber::set_global_default(subscriber).expect("there is no other");
    let cluster = Cluster::builder().engines(2).start().expect("it starts");
    let words = module("wordcount");

    tracing::info_span!("of-the-run").in_scope(|| {
        let inputs = vec![Input::bytes("book", "the rain\nthe sea\n")];
        let job = cluster.run(&words, inputs, &JobSpec::default());
        job.expect("it begins").wait().expect("it succeeds");
    });
    tracing::info_span!("of-the-call").in_scope(|| {
        let view = cluster.load_balanced_view().blocking();
        assert_eq!(view.apply(&numbers().add_one, 1).expect("it succeeds"), 2);
    });
    drop(cluster);

    assert_eq!(begun.named("job"), ["of-the-run job"]);
    assert_eq!(
        begun.named("dispatch"),
        ["of-the-call dispatch", "of-the-run job dispatch"]
    );
    assert_eq!(
        begun.named("task"),
        ["of-the-call dispatch task", "of-the-run job dispatch task"]
    );
}
