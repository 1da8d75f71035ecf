//! A cluster that starts, is looked at, runs a job and stops; and two of them side by side.

use super::{Home, engines, ids, pid, session};
use crate::support::{call, file, run, word_count};
use std::process::Stdio;

#[test]
fn a_cluster_starts_runs_a_job_and_stops() {
    let home = Home::new();
    let none = home.cli("status").fails(13);
    none.expect_stderr_has(&[
        "the cluster `default` is not running on this machine",
        "rwasm-cluster start",
    ]);
    home.with(call("numbers"))
        .typed("fib 30 --cluster")
        .fails(13);

    let url = home.start("-n 2");
    let status = home.status("");
    assert_eq!(status["url"], url.as_str());
    assert_eq!(status["profile"], "default");
    assert_eq!(status["engines"], 2);
    assert_eq!(status["lanes"]["main"]["waiting"], 0);
    assert_eq!(status["jobs"], serde_json::json!([]));
    // Each is the first of a session of its own, which no closed terminal ends.
    for process in [pid(&status), engines(&status)] {
        assert_eq!(session(process), process);
    }

    let text = "the rain falls\nthe sea takes the rain\n".repeat(1000);
    let book = file(&home.0, "book.txt", &text);
    let local = run("wordcount").arg(&book).output();
    for cluster in [
        "--cluster",
        "--cluster=running",
        &format!("--cluster={url}"),
    ] {
        let far = home.with(run("wordcount")).arg(&book).arg(cluster);
        far.end().expect_code(0).expect_stdout(&local);
    }
    assert_eq!(local, word_count(&[&text]));

    let again = home.cli("start -n 2").end().expect_code(0);
    again
        .expect_stdout(format!("{url}\n"))
        .expect_stderr_has(&["is already running, with 2 engines"]);
    let more = home.cli("start -n 3").end().expect_code(0);
    more.expect_stdout(format!("{url}\n"))
        .expect_stderr_has(&["engine join", "engine.key"]);
    let after = home.status("");
    assert_eq!((pid(&after), ids(&after)), (pid(&status), vec![0, 1]));

    is_shown(&home, &url);

    home.cli("stop")
        .end()
        .expect_code(0)
        .expect_empty_stdout()
        .expect_stderr_has(&["stopped the cluster"]);
    assert_eq!(home.processes(), Vec::<i64>::new());
    let twice = home.cli("stop").end().expect_code(0).expect_empty_stdout();
    twice.expect_stderr_has(&["the cluster `default` is not running"]);
    home.cli("status --format json").fails(13);
    home.cli("engine list").fails(13);

    // Where it was, with what it has stored: the ids of engines go on.
    assert_eq!(home.start("-n 1"), url);
    assert_eq!(ids(&home.status("")), [2]);
    home.cli("stop -q")
        .end()
        .expect_code(0)
        .expect_stderr_is_empty();
}

/// Asserts what people are shown of a cluster that has two engines and nothing to do.
fn is_shown(home: &Home, url: &str) {
    let shown = home.cli("status").output();
    for part in [
        "cluster  default\n",
        url,
        "engines  2 in 1 process",
        "main: 0 dispatches waiting, 0 running",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let list = home.cli("engine list").output();
    assert!(
        list.starts_with("ENGINES  HOST") && list.contains("\n0,1 "),
        "{list}"
    );
    let list = home.cli("engine list --format json").end().json();
    assert_eq!(list[0]["lanes"], serde_json::json!(["main"]));
}

#[test]
fn clusters_stand_side_by_side_by_profile() {
    let home = Home::new();
    home.profile(
        "two",
        "engines = 2\nlanes = ['gpu']\nlabels = { zone = 'a' }\n",
    );
    let one = home.start("--profile one -n 1");
    let two = home.start("--profile two");
    assert_ne!(one, two);
    assert_eq!(home.status("--profile one")["engines"], 1);
    let status = home.status("--profile two");
    assert_eq!(status["engines"], 2);
    assert_eq!(status["processes"][0]["labels"]["zone"], "a");
    assert_eq!(
        status["processes"][0]["lanes"],
        serde_json::json!(["gpu", "main"])
    );
    assert_eq!(status["lanes"]["gpu"]["running"], 0);
    home.cli("status")
        .fails(13)
        .expect_stderr_has(&["`default`"]);

    // Options override the environment, which overrides the project file, which overrides the profile.
    let fib = || home.with(call("numbers")).typed("fib 10");
    let key = home.path().join("state/clusters/one/keys/client.key");
    home.profile(
        "far",
        &format!("url = '{one}'\nkey = '{}'\n", key.display()),
    );
    home.profile("gone", "url = 'nats://127.0.0.1:1'\n");
    assert_eq!(fib().env("RWASM_PROFILE", "far").output(), "55\n");
    assert_eq!(
        fib()
            .env("RWASM_PROFILE", "gone")
            .typed("--profile two")
            .output(),
        "55\n"
    );
    assert_eq!(fib().typed("--cluster=local").output(), "55\n");
    assert_eq!(fib().env("RWASM_CLUSTER", &two).output(), "55\n");
    // A project file does not say which one is meant.
    for setting in [
        "cluster = 'running'",
        "profile = 'two'",
        "key = 'key'",
        "allow-plain = true",
    ] {
        file(&home.0, "rwasm.toml", setting);
        let name = setting.split(' ').next().expect("a name");
        let refused = format!(
            "`{name}` cannot be set here: a project file may come from an untrusted project"
        );
        fib()
            .fails(2)
            .expect_stderr_has(&["rwasm.toml", &refused, &format!("use --{name}")]);
    }
    file(&home.0, "rwasm.toml", "");
    fib().typed("--profile gone").fails(13);
    assert_eq!(fib().typed("--profile far").output(), "55\n");

    let far = home.cli("start --profile far").fails(2);
    far.expect_stderr_has(&["names the cluster at nats://127.0.0.1:", "--profile"]);
    home.cli("stop --profile one").end().expect_code(0);
    home.cli("status --profile one").fails(13);
    assert_eq!(fib().typed("--cluster --profile two").output(), "55\n");
    home.cli("stop --profile two").end().expect_code(0);
    assert_eq!(home.processes(), Vec::<i64>::new());
}

#[test]
fn two_that_start_at_once_start_one() {
    let home = Home::new();
    let start = || {
        let mut command = home.cli("start -n 2").into_command();
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().expect("it starts")
    };
    let both = [start(), start(), start()];
    let urls = both.map(|child| {
        let ended = child.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(0));
        String::from_utf8(ended.stdout).expect("text")
    });
    assert!(
        urls[0].starts_with("nats://") && urls.iter().all(|url| *url == urls[0]),
        "{urls:?}"
    );
    assert_eq!(home.status("")["engines"], 2);
    assert_eq!(home.processes().len(), 2);
    home.cli("stop").end().expect_code(0);
}
