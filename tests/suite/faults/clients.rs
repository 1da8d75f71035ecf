//! Clients that cancel, and clients that are killed: nothing runs for ever.

use super::{ACK_WAIT, EngineProcess, assets, connect, engines, server, show};
use crate::support::{map, numbers, until};
use rwasm_cluster::EngineId;
use std::io::Write;
use std::process::Stdio;
use std::time::Instant;

#[test]
fn cancelling_reaches_tasks_that_run_on_all_engines() {
    let server = server(&assets(ACK_WAIT));
    let engines = engines(server.url(), 3);
    let cluster = connect(server.url());
    let view = cluster.load_balanced_view();
    let endless = view.map(&numbers().spin, std::iter::repeat_n((), 50));
    let endless = endless.expect("it begins");
    until("all engines are busy", || {
        engines.iter().all(EngineProcess::is_busy)
    });
    let since = Instant::now();
    endless.abort();
    until("all engines are idle", || {
        engines.iter().all(|engine| !engine.is_busy())
    });
    let took = since.elapsed();
    show(&format!("all engines were idle after {took:?}"));
    // Nothing of it is begun later, and each engine takes tasks.
    for engine in &engines {
        let view = cluster.direct_view(EngineId(engine.ids[0]));
        let tasks = view.expect("it is there").try_submit(&numbers().add_one, 1);
        assert_eq!(tasks.expect("it is submitted").get().expect("it runs"), [2]);
        assert!(!engine.is_busy());
    }
}

#[test]
fn what_a_killed_client_submitted_ends() {
    let server = server(&assets(ACK_WAIT));
    let engines = engines(server.url(), 2);
    let mut client = map("numbers")
        .args(["spin", "-", "--timeout", "2s", "--cluster", server.url()])
        .into_command()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut stdin = client.stdin.take().expect("stdin is piped");
    // It takes no arguments, so nothing stands on the lines.
    stdin.write_all(b"\n\n\n").expect("it reads");
    until("its tasks run", || {
        engines.iter().all(EngineProcess::is_busy)
    });
    client.kill().expect("a child can be killed");
    client.wait().expect("a child can be waited for");
    let since = Instant::now();
    until("the engines are through with them", || {
        let idle = engines
            .iter()
            .all(|engine| engine.metric("rwasm_held_dispatches") == 0);
        idle && waiting(&server) == 0
    });
    show(&format!(
        "what it submitted had ended after {:?}",
        since.elapsed()
    ));
    let cluster = connect(server.url());
    let view = cluster.blocking().load_balanced_view();
    assert_eq!(view.apply(&numbers().add_one, 1).expect("it runs"), 2);
}

/// How many tasks wait or run, as the server says.
fn waiting(server: &crate::support::Server) -> u64 {
    let page = server.monitor("/jsz?streams=1").unwrap_or_default();
    let streams = page["account_details"][0]["stream_detail"].as_array();
    let tasks = streams
        .into_iter()
        .flatten()
        .find(|stream| stream["name"] == "RWC_TASKS");
    tasks
        .and_then(|tasks| tasks["state"]["messages"].as_u64())
        .unwrap_or(u64::MAX)
}
