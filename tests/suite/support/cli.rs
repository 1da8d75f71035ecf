//! The program as a child process: what it is given, and what it has to end with.
//!
//! Nothing of the caller's environment that means something to the program reaches it, and no child outlives its
//! time limit, so that a test that fails never hangs.

use super::over;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Where the program is told of a cluster.
const CLUSTER: &str = "RWASM_CLUSTER";

/// What nothing here takes on the slowest machine.
const TIME_LIMIT: Duration = Duration::from_mins(3);

/// A call of the program that is being put together.
pub(crate) struct Cli {
    command: Command,
    stdin: Option<Vec<u8>>,
    limit: Duration,
    is_placed: bool,
}

/// What a call of the program came to.
pub(crate) struct Ended {
    /// The command line, for messages.
    line: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// `rwasm-cluster`, without arguments so far.
pub(crate) fn program() -> Cli {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rwasm-cluster"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RWASM_") {
            command.env_remove(name);
        }
    }
    // The suite once more, with its tasks behind the boundary.
    if let Some(boundary) = over::boundary() {
        command.env("RWASM_BOUNDARY", boundary);
    }
    command
        .env("NO_COLOR", "1")
        .env("RWASM_CACHE_DIR", super::scratch().join("compiled"))
        .current_dir(super::scratch());
    Cli {
        command,
        stdin: None,
        limit: TIME_LIMIT,
        is_placed: false,
    }
}

/// `rwasm-cluster run` with the guest of that name.
pub(crate) fn run(guest: &str) -> Cli {
    program().arg("run").arg(super::guest(guest))
}

/// `rwasm-cluster call` with the guest of that name.
pub(crate) fn call(guest: &str) -> Cli {
    program().arg("call").arg(super::guest(guest))
}

/// `rwasm-cluster map` with the guest of that name.
pub(crate) fn map(guest: &str) -> Cli {
    program().arg("map").arg(super::guest(guest))
}

/// `rwasm-cluster inspect` with the module at that path.
pub(crate) fn inspect(module: impl AsRef<Path>) -> Cli {
    program().arg("inspect").arg(module.as_ref())
}

impl Cli {
    /// One argument: a file, most often.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Several arguments, as they are.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Arguments as they would be typed, without blanks or quotes in them.
    pub(crate) fn typed(self, arguments: &str) -> Self {
        self.args(arguments.split_whitespace())
    }

    /// A variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Where it runs.
    pub(crate) fn in_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What stands on its stdin; without this call it is empty.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// It may take longer than others: it runs compilers.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// If the suite runs over NATS: on a cluster with this number of engines, whatever the program is told of them here.
    pub(crate) fn on_cluster_of(mut self, engines: u32) -> Self {
        if let Some(url) = over::shared(Some(engines)) {
            self.command.env(CLUSTER, url);
        }
        self
    }

    /// The same over NATS, if the suite runs so: a number of engines selects the cluster that has it.
    fn placed(mut self) -> Self {
        if !over::is_over_nats() || self.is_placed {
            return self;
        }
        self.is_placed = true;
        self.write_directories_whole();
        let arguments: Vec<_> = self.command.get_args().map(OsStr::to_owned).collect();
        // What others say of a cluster is the affair of tests of their own.
        let runs = ["run", "call", "map"];
        let command = arguments.first();
        let is_set = |name| self.command.get_envs().any(|(given, _)| given == name);
        if !command.is_some_and(|name| runs.iter().any(|one| name == one)) || is_set(CLUSTER) {
            return self;
        }
        let end = arguments.iter().position(|argument| argument == "--");
        let option = arguments[..end.unwrap_or(arguments.len())]
            .windows(2)
            .position(|pair| pair[0] == "--engines" || pair[0] == "-j");
        let number = |text: &OsStr| text.to_str().and_then(|text| text.parse().ok());
        let option = option.and_then(|place| Some((place, number(&arguments[place + 1])?)));
        let variables = self.command.get_envs();
        let mut variables = variables.filter(|(name, _)| *name == "RWASM_ENGINES");
        let variable = variables.next().and_then(|(_, value)| number(value?));
        let url = over::shared(option.map(|(_, engines)| engines).or(variable));
        if let (Some(_), Some((place, _))) = (&url, option) {
            let rest = arguments[..place].iter().chain(&arguments[place + 2..]);
            self.command = with_arguments(&self.command, rest);
        }
        if let Some(url) = url.or_else(|| over::shared(None)) {
            self.command.env(CLUSTER, url);
        }
        self
    }

    /// The paths of directories that are granted are those of the machine with the engines.
    fn write_directories_whole(&mut self) {
        let mut arguments: Vec<_> = self.command.get_args().map(OsStr::to_owned).collect();
        let dir = self.command.get_current_dir().map(Path::to_owned);
        let dir = dir.unwrap_or_default();
        let mut is_changed = false;
        for place in 1..arguments.len() {
            if arguments[place - 1] == "--dir" {
                let grant = arguments[place].to_string_lossy().into_owned();
                arguments[place] = over::granted(&dir, &grant).into();
                is_changed = true;
            }
        }
        if is_changed {
            self.command = with_arguments(&self.command, arguments.iter());
        }
    }

    /// The same with stdin, stdout and stderr on a terminal of its own, all of which is then its stdout.
    pub(crate) fn on_terminal(self) -> Self {
        let this = self.placed();
        let quoted = |word: &OsStr| format!("'{}'", word.to_string_lossy());
        let mut line = quoted(this.command.get_program());
        for argument in this.command.get_args() {
            line = line + " " + &quoted(argument);
        }
        // Of util-linux, which every Linux has.
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]);
        surround(&mut command, &this.command);
        Self {
            command,
            stdin: this.stdin,
            limit: this.limit,
            is_placed: true,
        }
    }

    /// The same with a full disk in this directory, which nobody else sees. `kept` is put there before it is full.
    pub(crate) fn on_full_disk(self, dir: &Path, kept: Option<&Path>) -> Self {
        const FILL: &str = r#"mount -t tmpfs -o size=1m full "$0" || exit
            [ -z "$1" ] || cp "$1" "$0" || exit
            head -c 2097152 /dev/zero 2>/dev/null >"$0/filler"
            shift
            exec "$@""#;
        let this = self.placed();
        // Of util-linux; where it may not make a name space, the test says so by its stderr.
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", FILL]);
        command.arg(dir).arg(kept.unwrap_or(Path::new("")));
        command.arg(this.command.get_program());
        command.args(this.command.get_args());
        surround(&mut command, &this.command);
        Self {
            command,
            stdin: this.stdin,
            limit: this.limit,
            is_placed: true,
        }
    }

    /// The command as it stands, for tests that hold its ends themselves.
    pub(crate) fn into_command(self) -> Command {
        self.placed().command
    }

    /// Starts it with pipes for what it writes, for tests that go on while it runs.
    pub(crate) fn start(self) -> Child {
        self.into_command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    /// Runs it to its end.
    pub(crate) fn end(self) -> Ended {
        self.placed().run_to_end()
    }

    fn run_to_end(mut self) -> Ended {
        let line = format!("{:?}", self.command);
        self.command
            .stdin(if self.stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the program starts");
        let feeder = child.stdin.take().zip(self.stdin).map(|(mut pipe, bytes)| {
            // A program that ends early does not read to the end: that is no failure of ours.
            thread::spawn(move || drop(pipe.write_all(&bytes)))
        });
        let stdout = reader(child.stdout.take().expect("stdout is piped"));
        let stderr = reader(child.stderr.take().expect("stderr is piped"));
        let status = wait_within(child, self.limit);
        let stdout = stdout.join().expect("stdout is read");
        let stderr = String::from_utf8_lossy(&stderr.join().expect("stderr is read")).into_owned();
        if let Some(feeder) = feeder {
            feeder.join().expect("stdin is written");
        }
        let Some(status) = status else {
            panic!(
                "{line}\ndid not end within {:?}; it printed {} bytes, and to stderr:\n{stderr}",
                self.limit,
                stdout.len()
            );
        };
        Ended {
            line,
            status,
            stdout,
            stderr,
        }
    }

    /// Runs it, expects that all goes well, and gives what it printed.
    pub(crate) fn output(self) -> String {
        self.end().expect_code(0).text()
    }

    /// Runs it and expects this exit code with nothing on stdout, as for all that is refused.
    pub(crate) fn fails(self, code: i32) -> Ended {
        self.end().expect_code(code).expect_empty_stdout()
    }
}

/// The same program with other arguments.
fn with_arguments<'a>(from: &Command, arguments: impl Iterator<Item = &'a OsString>) -> Command {
    let mut command = Command::new(from.get_program());
    command.args(arguments);
    surround(&mut command, from);
    command
}

/// Gives it the environment and the directory of another.
fn surround(command: &mut Command, other: &Command) {
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(dir) = other.get_current_dir() {
        command.current_dir(dir);
    }
}

/// Interrupts a command, as its key does, when it has printed a line, and waits for its end.
pub(crate) fn interrupt_after_a_line(mut command: Command) {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().expect("it starts");
    let stdout = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(stdout).lines();
    lines.next().expect("a result").expect("it is text");
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it runs");
    wait(child).expect("it ends");
}

/// Waits for the child; one that takes too long is killed, and then there is no status.
pub(crate) fn wait(child: Child) -> Option<ExitStatus> {
    wait_within(child, TIME_LIMIT)
}

fn wait_within(mut child: Child, limit: Duration) -> Option<ExitStatus> {
    let id = rustix::process::Pid::from_child(&child);
    let (ended, end): (_, Receiver<ExitStatus>) = channel();
    let waiter = thread::spawn(move || {
        let status = child.wait().expect("a child can be waited for");
        // Whoever waited may have given up.
        let _ = ended.send(status);
    });
    let status = end.recv_timeout(limit).ok();
    if status.is_none() {
        // It may have ended just now.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
    }
    waiter.join().expect("the waiting thread ends");
    status
}

fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

impl Ended {
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert!(
            self.status.code() == Some(code),
            "{}\nended with {:?} (signal {:?}), not with {code}; its stderr:\n{}",
            self.line,
            self.status.code(),
            self.status.signal(),
            self.stderr
        );
        self
    }

    /// Expects each of these in what it wrote to stderr.
    #[track_caller]
    pub(crate) fn expect_stderr_has(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "{}\nits stderr should contain `{part}`, but is:\n{}",
                self.line,
                self.stderr
            );
        }
        self
    }

    #[track_caller]
    pub(crate) fn expect_stderr_is_empty(self) -> Self {
        assert!(
            self.stderr.is_empty(),
            "{}\nits stderr should be empty, but is:\n{}",
            self.line,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub(crate) fn expect_empty_stdout(self) -> Self {
        assert!(
            self.stdout.is_empty(),
            "{}\nshould print nothing, but printed {} bytes: {:.200}",
            self.line,
            self.stdout.len(),
            String::from_utf8_lossy(&self.stdout)
        );
        self
    }

    /// Expects exactly this on stdout; says where a difference begins, for texts that are long.
    #[track_caller]
    pub(crate) fn expect_stdout(self, expected: impl AsRef<[u8]>) -> Self {
        let expected = expected.as_ref();
        let same = self
            .stdout
            .iter()
            .zip(expected)
            .take_while(|(a, b)| a == b)
            .count();
        let from = |bytes: &[u8]| {
            String::from_utf8_lossy(&bytes[same.saturating_sub(40)..])
                .chars()
                .take(200)
                .collect::<String>()
        };
        assert!(
            self.stdout == expected,
            "{}\nprinted {} bytes where {} were expected; around byte {same} it is {:?}, not {:?}; its stderr:\n{}",
            self.line,
            self.stdout.len(),
            expected.len(),
            from(&self.stdout),
            from(expected),
            self.stderr
        );
        self
    }

    /// What it printed.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("it prints text")
    }

    /// What it printed, which must be one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{}\nprinted no JSON: {error}", self.line))
    }

    /// What it printed, which must be one JSON document on each line.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        self.text()
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("{}\n{line} is not JSON: {error}", self.line))
            })
            .collect()
    }
}
