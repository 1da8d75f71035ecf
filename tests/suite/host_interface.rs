//! What guests ask of the host and of the program that embeds the library, through the library's own API.

use crate::support::{bounded, cluster, component, finish, module, shown, spec};
use rwasm_cluster::{
    Cluster, HostError, HostFunctions, Input, JobError, JobResult, JobSpec, Limits, Merge, Module,
    StartError,
};
use std::time::Duration;

const DICTIONARY: &str = "example:dictionary/words@0.1.0";

/// A dictionary of one word, which is asked for on the engines' own runtime.
fn dictionary() -> HostFunctions {
    HostFunctions::new().function(
        DICTIONARY,
        "lookup",
        async |_, (word,): (String,)| match word.as_str() {
            "wasm" => Ok(Some("a portable code".to_owned())),
            "never" => std::future::pending().await,
            "closed" => Err(HostError::new("the library is closed")),
            _ => Ok(None),
        },
    )
}

fn offering(functions: HostFunctions) -> Cluster {
    bounded(Cluster::builder().engines(2).host_functions(functions))
        .start()
        .expect("a cluster starts")
}

fn run(
    cluster: &Cluster,
    module: &Module,
    text: &str,
    spec: &JobSpec,
) -> Result<JobResult, JobError> {
    let inputs = vec![Input::bytes("text", text.as_bytes().to_vec())];
    cluster
        .run(module, inputs, spec)
        .expect("the job begins")
        .wait()
}

#[test]
fn a_mapper_asks_the_program_that_embeds_the_library() {
    let cluster = offering(dictionary());
    let result = finish(
        &cluster,
        &module("lookup"),
        "wasm what\n",
        &spec(Merge::Default),
    );
    let merged = result.merged.expect("there is a value");
    assert_eq!(shown(&merged), "wasm: a portable code\nwhat: ?\n");
}

#[test]
fn a_component_asks_it_too() {
    let cluster = offering(dictionary());
    let module = Module::from_bytes("lookup", component("lookup")).expect("a component");
    let result = finish(&cluster, &module, "wasm\n", &spec(Merge::Default));
    assert_eq!(
        shown(&result.merged.expect("there is a value")),
        "wasm: a portable code\n"
    );
}

#[test]
fn a_task_that_waits_for_it_ends_with_its_time() {
    let cluster = offering(dictionary());
    let mut spec = spec(Merge::Default);
    spec.task.limits.get_or_insert_default().time = Duration::from_millis(300);
    let error = run(&cluster, &module("lookup"), "never\n", &spec).expect_err("it times out");
    assert!(error.to_string().contains("time limit"), "{error}");
    // The engine goes on.
    let result = finish(&cluster, &module("lookup"), "wasm\n", &spec);
    assert!(result.merged.is_some());
}

#[test]
fn what_it_refuses_is_the_failure_of_the_task() {
    let cluster = offering(dictionary());
    let error = run(
        &cluster,
        &module("lookup"),
        "closed\n",
        &spec(Merge::Default),
    )
    .expect_err("it fails");
    let wanted = format!("`lookup` of `{DICTIONARY}` failed: the library is closed");
    assert!(error.to_string().contains(&wanted), "{error}");
}

#[test]
fn what_nobody_offers_fails_where_it_is_called() {
    let cluster = cluster(1);
    let error =
        run(&cluster, &module("lookup"), "wasm\n", &spec(Merge::Default)).expect_err("it fails");
    assert!(error.to_string().contains("does not provide"), "{error}");
}

#[test]
fn types_that_do_not_fit_are_refused_before_anything_runs() {
    let functions =
        HostFunctions::new().function(DICTIONARY, "lookup", async |_, (_,): (u64,)| Ok(true));
    let error = offering(functions)
        .prepare(&module("lookup"), &Limits::default())
        .expect_err("the types do not fit");
    let text = error.to_string();
    assert!(
        text.contains("func(word: string) -> option<string>"),
        "{text}"
    );
    assert!(text.contains("func(u64) -> bool"), "{text}");
}

#[test]
fn the_hosts_own_interface_is_not_for_others_to_define() {
    let functions =
        HostFunctions::new().function("rwasm:task/host@0.2.0", "engine-id", async |_, ()| {
            Ok(0_u32)
        });
    let error = bounded(Cluster::builder().engines(1).host_functions(functions)).start();
    let Err(StartError::HostFunctions(error)) = error else {
        panic!("the cluster should not start");
    };
    assert!(
        error.to_string().contains("`rwasm:task/host@0.2.0`"),
        "{error}"
    );
}

#[test]
fn a_module_says_what_is_offered_to_it_and_what_is_not() {
    let offered = |name: &str, interface: &str| {
        let module = module(name);
        let mut imports = module.imports().iter();
        let import = imports.find(|import| import.module == interface);
        import.expect("it is imported").offered
    };
    assert!(offered("hosted", "rwasm:task/host@0.2.0"));
    assert!(!offered("lookup", DICTIONARY));
}
