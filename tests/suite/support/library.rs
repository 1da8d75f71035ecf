//! A cluster in the test's own process.

use super::over::{self, TestCluster};
use rwasm_cluster::format::{Format, WriteOptions, write_value};
use rwasm_cluster::{
    Boundary, Chunking, Cluster, ClusterBuilder, Input, JobResult, JobSpec, Merge, Module, Packed,
    Value,
};
use std::num::NonZeroU64;

/// A cluster with this number of engines, with the compiled code of earlier runs at hand.
pub(crate) fn cluster(engines: u32) -> TestCluster {
    if over::is_over_nats() {
        return TestCluster::elsewhere(engines);
    }
    let builder = Cluster::builder()
        .engines(engines)
        .cache_dir(super::scratch().join("compiled"));
    let cluster = bounded(builder).start();
    TestCluster::here(cluster.expect("a cluster starts"))
}

/// With the boundary behind which the suite runs.
pub(crate) fn bounded(builder: ClusterBuilder) -> ClusterBuilder {
    if over::boundary().is_none() {
        return builder;
    }
    let worker = env!("CARGO_BIN_EXE_rwasm-cluster");
    builder.boundary(Boundary::Process(worker.into()))
}

/// A job that merges like this, with nothing else said.
pub(crate) fn spec(merge: Merge) -> JobSpec {
    let mut spec = JobSpec::default();
    spec.merge = merge;
    spec
}

/// The same, with each line a chunk and so a task of its own.
pub(crate) fn one_line_each(merge: Merge) -> JobSpec {
    let mut spec = spec(merge);
    spec.chunking = Some(Chunking::Lines(NonZeroU64::MIN));
    spec
}

/// Runs a job to its end, which must be a good one.
#[track_caller]
pub(crate) fn finish(
    cluster: &Cluster,
    module: &Module,
    input: impl Into<Vec<u8>>,
    spec: &JobSpec,
) -> JobResult {
    let inputs = vec![Input::bytes("text", input.into())];
    match cluster
        .run(module, inputs, spec)
        .map(rwasm_cluster::Job::wait)
    {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => panic!("the job failed: {error}"),
        Err(error) => panic!("the job did not begin: {error}"),
    }
}

/// The value as people are shown it.
#[track_caller]
pub(crate) fn shown(value: &Packed) -> String {
    let value = value.unpack().expect("a value can be unpacked");
    let mut text = Vec::new();
    write_value(&mut text, &value, Format::Text, WriteOptions::default())
        .expect("memory can be written");
    String::from_utf8(text).expect("the value is text")
}

/// The number that a job came to.
#[track_caller]
pub(crate) fn number(result: &JobResult) -> u64 {
    let merged = result.merged.as_ref().expect("there is a merged value");
    let value: Value = merged.unpack().expect("a value can be unpacked");
    value.as_u64().expect("it is a number")
}
