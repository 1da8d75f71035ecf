//! Modules that are run: every function that can be called is, under small limits, and each task ends as one should.

use crate::types::value_of;
use arbitrary::Unstructured;
use rwasm_cluster::{
    ApplyError, Argument, ByteSize, Cluster, Failure, FailureCode, Form, Input, JobError, JobSpec,
    Limits, Lowering, Merge, Module, SubmitError, TaskError,
};
use std::time::{Duration, Instant};

/// How long one task may compute.
const TIME: Duration = Duration::from_millis(50);

/// Each task ends within this time, on any machine.
const SOON: Duration = Duration::from_secs(10);

/// The most calls of one module.
const CALLS: usize = 24;

/// A cluster that keeps no compiled code: few modules come twice.
pub(crate) fn cluster(lowering: Lowering) -> Cluster {
    let builder = Cluster::builder().engines(1).max_engines(1);
    builder
        .lowering(lowering)
        .start()
        .expect("a cluster starts")
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.time = TIME;
    limits.memory = ByteSize::mib(16);
    limits.output = ByteSize::mib(1);
    limits
}

/// Calls what the module exports, with arguments made of `bytes`.
pub(crate) fn run_all(cluster: &Cluster, module: &Module, mut bytes: Unstructured) {
    let view = cluster.load_balanced_view().limits(limits()).blocking();
    for function in module.functions().iter().take(CALLS) {
        let Ok(callable) = module.dynamic_function(&function.name) else {
            continue;
        };
        let arguments: arbitrary::Result<Vec<Argument>> = function
            .params
            .iter()
            .map(|(_, ty)| value_of(&mut bytes, ty).map(Argument::Value))
            .collect();
        let arguments = arguments.expect("random bytes that are used up are zeros");
        let start = Instant::now();
        match view.apply(&callable, arguments) {
            Ok(_) => {}
            // Refused as a whole: so are all the others.
            Err(ApplyError::Refused(SubmitError::Load(_))) => return,
            Err(ApplyError::Refused(error)) => panic!("{}: not submitted: {error}", function.name),
            Err(ApplyError::Failed(TaskError::Failed(failed))) => {
                well_failed(&function.name, &failed.failure);
            }
            Err(other) => panic!("{}: {other}", function.name),
        }
        assert!(start.elapsed() < SOON, "{} took too long", function.name);
    }
    if module.form() == Form::Command {
        run_command(cluster, module);
    }
}

/// A failure is never a fault of the host.
#[track_caller]
fn well_failed(what: &str, failure: &Failure) {
    let ours = [FailureCode::Internal, FailureCode::EngineLost];
    assert!(!ours.contains(&failure.code), "{what}: {failure}");
}

fn run_command(cluster: &Cluster, module: &Module) {
    let mut spec = JobSpec::default();
    spec.merge = Merge::None;
    spec.task.limits = Some(limits());
    let inputs = vec![Input::bytes("input", "some\nlines\n")];
    let Ok(mut job) = cluster.run(module, inputs, &spec) else {
        return;
    };
    while let Some((_, outcome)) = job.next_outcome() {
        if let Err(failure) = outcome.result {
            well_failed("the command", &failure);
        }
    }
    if let Err(error) = job.wait() {
        assert!(!matches!(error, JobError::Internal(_)), "{error}");
    }
}
