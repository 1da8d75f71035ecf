//! `start`, `status`, `stop` and `engine list`: clusters on this machine, with the pinned NATS server.

mod asked;
mod crashes;
mod ended;
mod readme;
mod refused;
mod running;
mod ssh;

use crate::support::{Cli, file, folder, nats_server, program};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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
    fn processes(&self) -> Vec<i64> {
        let all = fs::read_dir("/proc").expect("Linux has it").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        // One may end while it is looked at; one that has ended is in no directory.
        let clusters = self.path().join("state");
        // Of one that was killed the first thread may end before the others.
        let is_here = |pid: &i64| {
            let threads = fs::read_dir(format!("/proc/{pid}/task"));
            let mut threads = threads.into_iter().flatten().flatten();
            threads.any(|thread| {
                let dir = fs::read_link(thread.path().join("cwd"));
                dir.is_ok_and(|dir| dir.starts_with(&clusters))
            })
        };
        pids.filter(is_here).collect()
    }

    /// A program that can be asked for its version as a server can, and is then never ready.
    fn stubborn(&self, script: &str) -> PathBuf {
        // It waits for what nobody writes, without a process of its own for that.
        self.script(
            "stubborn",
            &format!(
                "if [ \"$1\" = --version ]; then echo 'nats-server: v2.15.1'; exit; fi\n\
                 mkfifo pipe 2>/dev/null; {script}\n: > begun; exec 3<>pipe; read never <&3; read never <&3"
            ),
        )
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
            kill(pid);
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
