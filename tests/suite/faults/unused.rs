//! Modules that no job uses any more: the server removes them, and whoever needs one again stores it anew.

use super::{assets, connect, engines, server};
use crate::support::{SOON, Server, numbers, until};
use async_nats::jetstream::stream::Config;
use rwasm_cluster::durable::{DurableJobs, DurableSettings};
use rwasm_cluster::nats::ConnectSettings;
use rwasm_cluster::{Input, JobSpec, Module};
use std::time::{Duration, Instant};

const MODULES: &str = "OBJ_RWC_MODULES";

/// How long the server keeps a module here: for as long as it takes to be used.
const KEPT: Duration = Duration::from_secs(2);

/// Has the server keep modules for a short time, and says for how long it would have.
fn kept_briefly(server: &Server) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let client = async_nats::connect(server.url())
            .await
            .expect("it connects");
        let js = async_nats::jetstream::new(client);
        let stream = js.get_stream(MODULES).await.expect("it is there");
        let before = stream.cached_info().config.clone();
        let config = Config {
            max_age: KEPT,
            duplicate_window: KEPT,
            ..before.clone()
        };
        js.update_stream(config).await.expect("it is changed");
        before.max_age
    })
}

fn is_there(server: &Server) -> bool {
    server.stored(MODULES) > 0
}

#[test]
fn a_module_that_no_job_uses_goes_from_the_server_and_one_in_use_stays() {
    let server = server(&assets(SOON));
    let usually = kept_briefly(&server);
    assert_eq!(usually, Duration::from_hours(14 * 24));
    let cluster = connect(server.url());
    let view = cluster.load_balanced_view();
    let add = |number| {
        let task = view.try_submit(&numbers().add_one, number);
        task.expect("it is submitted").get().expect("it runs")
    };
    let first = engines(server.url(), 1);
    assert_eq!(add(1), 2);
    assert!(is_there(&server));
    until("it is gone", || !is_there(&server));
    drop(first);
    // Another process, which has to fetch it, from a client that has stored it before.
    let _second = engines(server.url(), 1);
    assert_eq!(add(2), 3);
    // It stays for as long as it is used, beyond its time.
    let begun = Instant::now();
    while begun.elapsed() < KEPT * 2 {
        assert_eq!(add(3), 4);
        assert!(is_there(&server), "after {:?}", begun.elapsed());
    }
}

#[test]
fn a_retry_whose_module_is_gone_says_so_and_one_before_that_keeps_it() {
    let server = server(&assets(SOON));
    kept_briefly(&server);
    let _engines = engines(server.url(), 1);
    let jobs = DurableJobs::connect(&ConnectSettings::new(server.url())).expect("it connects");
    let traps = r#"(module (func (export "_start") unreachable))"#;
    let traps = Module::from_bytes("traps.wat", traps).expect("it is a module");
    let input = vec![Input::bytes("text", "text")];
    let id = jobs.submit(
        &traps,
        input,
        &JobSpec::default(),
        &DurableSettings::default(),
    );
    let id = id.expect("it is stored");
    let is_done = || {
        let (_, counts) = jobs.show(&id).expect("it is there");
        counts.is_some_and(|counts| counts.failed == 1)
    };
    until("it has failed", is_done);
    // Each retry is within the module's time, and all of them are not.
    let begun = Instant::now();
    while begun.elapsed() < KEPT * 2 {
        assert_eq!(jobs.retry(&id).expect("it is retried"), 1);
        until("it has failed again", is_done);
    }
    until("it is gone", || !is_there(&server));
    let error = jobs.retry(&id).expect_err("there is no module");
    let text = error.to_string();
    assert!(text.contains("no longer in RWC_MODULES"), "{text}");
}
