//! Lanes: one that is not there takes nothing, one that nobody serves says so, `status` shows all, and weights share engine
//! time.

use crate::faults::engine::EngineProcess;
use crate::support::{Cli, Server, call, file, folder, map, numbers, only_here, program, run};
use async_nats::jetstream::{self, Context};
use rwasm_cluster::Cluster;
use rwasm_cluster::nats::{AssetSettings, ConnectSettings, set_up};
use std::sync::atomic::{AtomicU64, Ordering};

/// A server that was set up as a cluster with these lanes.
fn server(lanes: &[&str]) -> Server {
    let server = Server::start();
    let mut settings = AssetSettings::default();
    settings.lanes = lanes.iter().map(|lane| (*lane).to_owned()).collect();
    set_up(&ConnectSettings::new(server.url()), &settings).expect("the cluster is set up");
    server
}

/// The call, there, whatever else is set on this machine.
fn at(server: &Server, call: Cli) -> Cli {
    let nowhere = crate::support::scratch().join("no-settings");
    call.env("RWASM_CONFIG_DIR", &nowhere)
        .env("RWASM_STATE_DIR", nowhere)
        .arg(format!("--cluster={}", server.url()))
}

fn join(server: &Server, options: &str) -> Cli {
    let join = program().typed("engine join").arg(server.url());
    join.typed(options)
}

/// Asks the server by itself.
fn asked<T>(server: &Server, act: impl AsyncFnOnce(Context) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }
        .enable_all()
        .build()
        .expect("a runtime is built");
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await;
        act(jetstream::new(client.expect("it answers"))).await
    })
}

#[test]
fn a_lane_that_is_not_there_is_refused_before_anything_is_sent() {
    let server = server(&["gpu"]);
    let dir = folder();
    let lines = file(&dir, "ten.txt", "10\n".repeat(10));
    let refused = |call: Cli| {
        let refused = at(&server, call).typed("--lane nosuch").fails(13);
        refused.expect_stderr_has(&[
            "the cluster has no lane `nosuch`",
            "create it with `rwasm-cluster init --lane nosuch`",
        ]);
    };
    refused(call("numbers").typed("fib 10"));
    refused(map("numbers").arg("fib").arg(&lines));
    refused(run("wordcount").arg(&lines));
    refused(map("numbers").arg("fib").arg(&lines).arg("--detach"));
    refused(run("wordcount").arg(&lines).arg("--detach"));
    join(&server, "-n 1 --lane nosuch")
        .fails(13)
        .expect_stderr_has(&["the cluster has no lane `nosuch`"]);
    let odd = at(&server, call("numbers").typed("fib 10 --lane a.b"));
    odd.fails(2)
        .expect_stderr_has(&["expected at most 64 letters, digits"]);
    let jobs = at(&server, program().typed("job list --format json"));
    assert_eq!(jobs.end().json(), serde_json::json!([]));
    let waits = asked(&server, async |js| {
        let mut stream = js.get_stream("RWC_TASKS").await.expect("it is there");
        stream.info().await.expect("it is there").state.messages
    });
    assert_eq!(waits, 0);
}

#[test]
fn a_lane_that_nobody_serves_is_warned_of() {
    let server = server(&["gpu"]);
    let mut engines = join(&server, "-n 1").into_command();
    let mut engines = engines.spawn().expect("it starts");
    let list = || at(&server, program().typed("engine list --format json")).end();
    crate::support::until("the engine has joined", || {
        list().json().as_array().is_some_and(|list| list.len() == 1)
    });
    let warning = "no engine serves the lane `gpu`; tasks wait until one joins with --lane gpu";
    let fib = || call("numbers").typed("fib 10");
    let waits = at(&server, fib())
        .typed("--lane gpu --deadline 1s")
        .fails(11);
    waits.expect_stderr_has(&[&format!("warning: {warning}\n")]);
    let detached = map("numbers").typed("fib - --detach --job-id waits --lane gpu");
    let detached = at(&server, detached.stdin("10\n")).end().expect_code(0);
    let detached = detached.expect_stdout("waits\n");
    detached.expect_stderr_has(&[&format!("warning: {warning}\n")]);
    // On the lane that it serves nothing is said.
    let served = at(&server, fib()).end().expect_code(0);
    served.expect_stderr_is_empty();
    // What its tasks have used is told with the next sign of life.
    let status = || at(&server, program().typed("status --format json")).end();
    crate::support::until("the call is counted", || {
        status().json()["lanes"]["main"]["usage"]["succeeded"] == 1
    });
    assert!(
        at(&server, program().arg("status"))
            .output()
            .contains("1 task done, 0 failed")
    );
    join(&server, "-n 1 -q --lane gpu --exit-when-idle 1s")
        .end()
        .expect_code(0);
    let result = program().typed("job result waits");
    assert_eq!(at(&server, result).output(), "55\n");
    engines.kill().expect("it is killed");
    engines.wait().expect("it ends");
}

#[test]
fn status_shows_all_lanes_and_leaves_nothing_behind() {
    let server = server(&["gpu", "large"]);
    let detached = map("numbers").typed("fib - --detach --lane gpu");
    let detached = at(&server, detached.stdin("10\n")).end();
    detached.expect_code(0);
    // As when a lane is taken away while something waits for it.
    asked(&server, async |js| {
        let stream = js.get_stream("RWC_TASKS").await.expect("it is there");
        for class in ["hi", "mid", "lo"] {
            let consumer = stream.delete_consumer(&format!("gpu-{class}")).await;
            consumer.expect("it was there");
        }
    });
    let shown = at(&server, program().arg("status")).output();
    for line in [
        "lane     main: 0 dispatches waiting, 0 running; no engine serves it",
        "lane     gpu: 1 dispatch waiting, 0 running; there is no such lane: `rwasm-cluster init --lane gpu` creates it\n",
        "lane     large: 0 dispatches waiting, 0 running; no engine serves it: `rwasm-cluster engine join --lane large`\n",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    let status = at(&server, program().typed("status --format json")).end();
    let lanes = status.json()["lanes"].clone();
    assert_eq!(
        lanes["gpu"],
        serde_json::json!({ "waiting": 1, "running": 0, "engines": 0, "made": false })
    );
    assert_eq!(lanes["large"]["made"], true);
    // With an engine there is something to be read.
    let mut engines = join(&server, "-n 2 --lane large").into_command();
    let mut engines = engines.spawn().expect("it starts");
    let lanes = || {
        let status = at(&server, program().typed("status --format json")).end();
        status.json()["lanes"].clone()
    };
    crate::support::until("the engines have joined", || {
        lanes()["large"]["engines"] == 2
    });
    assert_eq!(lanes()["main"]["engines"], 0);
    // Whoever looked reads by a consumer, and servers can handle only a few.
    let readers = asked(&server, async |js| {
        let mut stream = js.get_stream("KV_RWC_ENGINES").await.expect("it is there");
        stream
            .info()
            .await
            .expect("it is there")
            .state
            .consumer_count
    });
    assert_eq!(readers, 0);
    engines.kill().expect("it is killed");
    engines.wait().expect("it ends");
}

#[test]
fn lanes_with_weights_share_the_engine_time() {
    if only_here("it has a cluster of its own") {
        return;
    }
    let server = server(&["long", "short"]);
    let join = || EngineProcess::join(server.url(), "-n 1 --lane long=1 --lane short=3");
    let _engines = [join(), join()];
    let at = |lane: &str| (ConnectSettings::new(server.url()), lane.to_owned());
    check_shares(at("long"), at("short"));
}

/// Expects that engine time is shared one to three: of two engines by tasks of 150 ms on one lane and of 20 ms on the other.
pub(crate) fn check_shares(long: (ConnectSettings, String), short: (ConnectSettings, String)) {
    // Milliseconds that tasks of each lane had an engine, of which they sleep for nearly all.
    let had = [AtomicU64::new(0), AtomicU64::new(0)];
    let total = || {
        had.iter()
            .map(|one| one.load(Ordering::Relaxed))
            .sum::<u64>()
    };
    std::thread::scope(|scope| {
        for ((connect, lane), nap, had) in [(long, 150_u64, &had[0]), (short, 20, &had[1])] {
            let total = &total;
            scope.spawn(move || {
                let builder = Cluster::builder().connect(connect);
                let cluster = builder.lane(lane).start().expect("the cluster is reached");
                let view = cluster.load_balanced_view().unordered();
                let mut naps = view.map(&numbers().nap, std::iter::repeat_n(nap, 20_000));
                let naps = naps.as_mut().expect("it begins");
                while total() < 12_000
                    && let Some(outcome) = naps.next()
                {
                    outcome.expect("it ends well");
                    had.fetch_add(nap, Ordering::Relaxed);
                }
                naps.abort();
            });
        }
    });
    let [long, short] = had.map(AtomicU64::into_inner);
    // Three quarters, and on a busy machine less, since the short ones are not always there in time; without weights, nothing
    // or a half. What is under way at the end counts for neither.
    let percent = 100 * short / (long + short);
    assert!((58..88).contains(&percent), "{long} ms, {short} ms");
}

#[test]
fn weights_are_for_all_lanes_or_for_none() {
    let server = server(&["a", "b"]);
    for (options, said) in [
        ("--lane a=1 --lane b", "has no weight"),
        ("--lane a --lane a", "named twice"),
        ("--lane a=0", "is not a weight"),
    ] {
        join(&server, options).fails(2).expect_stderr_has(&[said]);
    }
}
