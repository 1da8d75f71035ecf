//! Engines that joined with a boundary: their tasks run in worker processes, and one that is lost is one failed task.

use super::{EngineProcess, server};
use crate::boundary::{field, ticks};
use crate::compile::children;
use crate::support::{call, file, folder, map, program, until};
use rustix::process::{Signal, kill_process};
use rwasm_cluster::nats::AssetSettings;

#[test]
fn engines_have_the_boundary_that_is_asked_for() {
    let server = server(&AssetSettings::default());
    let url = server.url();
    let engine = EngineProcess::join(url, "-n 1 --boundary process");
    let numbers: Vec<String> = (0..=1_000).map(|number| number.to_string()).collect();
    let lines = |numbers: &[String]| numbers.join("\n") + "\n";
    map("numbers")
        .arg("add-one")
        .env("RWASM_CLUSTER", url)
        .stdin(lines(&numbers[..1_000]))
        .end()
        .expect_code(0)
        .expect_stdout(lines(&numbers[1..]));
    let workers = children(engine.pid());
    assert!(!workers.is_empty());
    for worker in &workers {
        assert_eq!(field(*worker, "Seccomp"), "2");
    }
    let endless = call("numbers")
        .typed("spin --timeout 60s --retries 0")
        .env("RWASM_CLUSTER", url)
        .start();
    until("a worker computes", || {
        let workers = children(engine.pid());
        workers.iter().any(|worker| ticks(*worker) > 30)
    });
    for worker in children(engine.pid()) {
        // A spare may have ended meanwhile.
        let _ = kill_process(worker, Signal::KILL);
    }
    let ended = endless.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(11), "{stderr}");
    assert!(
        stderr.contains("engine-lost") && stderr.contains("signal 9"),
        "{stderr}"
    );
    // The engine has another.
    call("numbers")
        .args(["fib", "10"])
        .env("RWASM_CLUSTER", url)
        .end()
        .expect_code(0)
        .expect_stdout("55\n");
    // The cluster is told.
    let status = || program().arg("status").env("RWASM_CLUSTER", url).end();
    until("the status has the loss", || {
        let shown = status().stdout;
        String::from_utf8_lossy(&shown).contains("1 worker lost, the last because")
    });
}

#[test]
fn a_policy_requires_a_boundary_whatever_is_asked_for() {
    let server = server(&AssetSettings::default());
    let url = server.url();
    let dir = folder();
    let policy = file(&dir, "policy.toml", "boundary = \"process\"\n");
    let options = format!("-n 1 --boundary thread --policy {}", policy.display());
    let engine = EngineProcess::join(url, &options);
    call("numbers")
        .args(["fib", "10"])
        .env("RWASM_CLUSTER", url)
        .end()
        .expect_code(0)
        .expect_stdout("55\n");
    assert!(!children(engine.pid()).is_empty());
    let policy = file(&dir, "wrong.toml", "boundary = \"none\"\n");
    program()
        .args(["engine", "join", url, "--policy"])
        .arg(&policy)
        .fails(2)
        .expect_stderr_has(&[
            "`boundary`: `none` is not a valid boundary; use thread, process or strict",
        ]);
}
