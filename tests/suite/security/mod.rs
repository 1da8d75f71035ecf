//! Who may do what at a cluster, and how everything else is refused: in one sentence and at once, on real servers with the
//! configuration that `server-config` writes.
//!
//! `connecting` is about servers and certificates, `roles` about what each key may not, `needless` about every request that
//! a key's work does not need, `duties` about what it needs, `looking` about what a viewer sees, `limits` about servers that
//! are too small, too old or not set up, `objects` about large values, `orders` about whose orders engines obey, `making`
//! about the commands themselves, `revoked` about keys that were taken back, `tenants` about accounts that share engines. `member` is somebody with a key who speaks to a server directly.

mod connecting;
mod duties;
mod limits;
mod looking;
mod making;
mod member;
mod needless;
mod objects;
mod orders;
mod revoked;
mod roles;
mod tenants;

use crate::support::{Cli, Server, folder, guest, program};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What is refused is refused in this time, on a busy machine too: the time-out of a connection is longer.
const AT_ONCE: Duration = Duration::from_secs(9);

/// Options of `server-config` for a server that reads its configuration again: it is told its name as it starts, and
/// reads none with another.
const NAMED: [&str; 2] = ["--name", "alone"];

/// The keys of a cluster, and its server.
struct Site {
    dir: TempDir,
    server: Server,
}

impl Site {
    /// One whose connections are encrypted, and which was not set up.
    fn encrypted() -> Self {
        let dir = keys(&["--host", "localhost,127.0.0.1"]);
        Self::of(dir, &[])
    }

    /// One of plain connections, with these further options of `server-config`.
    fn plain(options: &[&str]) -> Self {
        Self::of(keys(&[]), options)
    }

    fn of(dir: TempDir, options: &[&str]) -> Self {
        let config = config(&dir, options);
        Self::configured(dir, &config)
    }

    fn configured(dir: TempDir, config: &str) -> Self {
        let server = Server::configured("alone", config);
        Self { dir, server }
    }

    /// A file in the directory of keys.
    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("keys").join(name)
    }

    /// Takes the key with this label out of the list of public keys, and has the server, which is [`NAMED`], read what
    /// follows. Returns the list as it was.
    fn lock_out(&self, label: &str) -> String {
        let list = self.file("public.toml");
        let text = fs::read_to_string(&list).expect("it is there");
        let kept = text.lines().filter(|line| !line.starts_with(label));
        self.read_again(&kept.collect::<Vec<_>>().join("\n"));
        text
    }

    /// Has the server, which is [`NAMED`], read a configuration with this list of public keys.
    fn read_again(&self, list: &str) {
        fs::write(self.file("public.toml"), list).expect("written");
        let config = config(&self.dir, &NAMED);
        fs::write(self.server.dir().join("server.conf"), config).expect("written");
        let pid = i32::try_from(self.server.pid())
            .ok()
            .and_then(Pid::from_raw);
        kill_process(pid.expect("it has a number"), Signal::HUP)
            .expect("it is told to read it again");
    }

    /// How clients reach the server, by a name or address.
    fn url(&self, host: &str) -> String {
        let (scheme, address) = self.server.url().split_once("://").expect("it is a URL");
        let (_, port) = address.rsplit_once(':').expect("it has a port");
        format!("{scheme}://{host}:{port}")
    }

    /// `init` by the key of that role, which believes the server's authority.
    fn init(&self, role: &str) -> Cli {
        self.init_at(&self.url("127.0.0.1"), role)
    }

    fn init_at(&self, url: &str, role: &str) -> Cli {
        self.with_key(tool("init").arg(url), role)
    }

    /// The command with the key of that role, which believes the server's authority.
    fn with_key(&self, command: Cli, role: &str) -> Cli {
        let command = command.arg("--key").arg(self.file(&format!("{role}.key")));
        let ca = self.file("ca.pem");
        if ca.exists() {
            command.arg("--ca").arg(ca)
        } else {
            command
        }
    }

    /// `run` there, of a module that counts words.
    fn run(&self, role: &str) -> Cli {
        let run = tool("run").arg(guest("wordcount")).stdin("dog cat dog\n");
        let run = run.arg("--cluster").arg(self.url("127.0.0.1"));
        self.with_key(run, role)
    }

    /// `engine join` there, which leaves when there is nothing to do.
    fn join(&self, role: &str) -> Cli {
        let join = tool("engine").arg("join").arg(self.url("127.0.0.1"));
        self.with_key(join.typed("-n 1 --exit-when-idle 1s --quiet"), role)
    }

    /// Sets the cluster up. What streams may take at most is set aside on the disk, so that is little.
    fn set_up(self) -> Self {
        self.init("admin").typed("--max-bytes 100MiB").output();
        self
    }
}

/// A command of those that set clusters up; settings of whoever runs the tests are not its own.
fn tool(command: &str) -> Cli {
    let nowhere = crate::support::scratch().join("no-settings");
    program()
        .env("RWASM_CONFIG_DIR", &nowhere)
        .env("RWASM_STATE_DIR", nowhere)
        .arg(command)
}

/// A directory with `keys` in it.
fn keys(options: &[&str]) -> TempDir {
    let dir = folder();
    tool("keys").args(options).in_dir(&dir).output();
    dir
}

/// The configuration of a server that takes these keys.
fn config(dir: &TempDir, options: &[&str]) -> String {
    tool("server-config").args(options).in_dir(dir).output()
}

/// Runs it and expects that it is refused at once, in one sentence with these parts.
#[track_caller]
fn refused(call: Cli, code: i32, parts: &[&str]) {
    let before = Instant::now();
    let ended = call.fails(code).expect_stderr_has(parts);
    let took = before.elapsed();
    assert!(took < AT_ONCE, "it took {took:?}: {}", ended.stderr);
    let errors = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{}", ended.stderr);
    for vague in [
        "timed out",
        "time-out",
        "timeout",
        "deadline",
        "in time",
        "not answer",
    ] {
        assert!(!ended.stderr.contains(vague), "{}", ended.stderr);
    }
}
