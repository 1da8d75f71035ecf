//! The suite once more with its tasks over NATS: servers on the loopback interface, engines that joined them, and the test
//! program that the step before has built.
//!
//! A test that asks for a number of engines is given a cluster that has it, so there is one for each number that tests
//! ask for. Whatever ends this program ends them.

use crate::nats;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The numbers of engines that tests ask the program for, beside the cores of this machine.
const SIZES: [usize; 6] = [1, 2, 3, 4, 5, 8];

/// How long a process may take until it is ready, on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// Tests at a time: they wait more than they compute.
const THREADS: usize = 4;

/// Tests that have servers of their own, and said all they have to say in the step before.
const SAID: [&str; 6] = [
    "durable::",
    "faults::",
    "lifecycle::",
    "nats_servers::",
    "recipes::",
    "security::",
];

/// The peers that tests grant: this machine, one that nobody reaches, and one that is not there.
const PEERS: &str =
    r#""localhost:*", "127.0.0.1:*", "[::1]:*", "10.0.0.1:1", "no-such-host.invalid:80""#;

/// What tests grant their tasks: what they make in temporary directories, variables, peers on this machine.
fn policy(target: &Path) -> String {
    format!(
        "dirs = ['{}', '{}']\nnet = [{PEERS}]\nenv = [\"*\"]\nprecise_clock = true\n",
        std::env::temp_dir().display(),
        target.join("tmp").display(),
    )
}

/// Gives `test` what the suite wants to know to run over NATS, runs it, and ends what was started.
pub(crate) fn run(test: &mut Command) -> Result<()> {
    let server = nats::server()?;
    let target = std::path::absolute(shell::target()?)?;
    let dir = target.join("tmp/over-nats");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let policy_file = dir.join(POLICY);
    write(&policy_file, &policy(&target))?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let sizes = SIZES.into_iter().chain([cores]).collect::<BTreeSet<_>>();
    let place = |size: &usize| dir.join(size.to_string());
    let mut running = sizes
        .iter()
        .map(|size| start_server(&server, &place(size)))
        .collect::<Result<Vec<_>>>()?;
    let mut clusters = Vec::new();
    let mut engines = Vec::new();
    for (size, server) in sizes.iter().zip(&mut running) {
        let place = place(size);
        // `setpriv` becomes the server, and so has its number.
        let ports = place.join(format!("nats-server_{}.ports", server.child.id()));
        let url = server.ready(|| address(&ports))?;
        engines.push(start_engines(&target, *size, &url, &place)?);
        clusters.push(format!("{size} {url}"));
    }
    for (size, engines) in sizes.iter().zip(&mut engines) {
        let ready = place(size).join("ready");
        engines.ready(|| ready.exists().then_some(()))?;
    }
    test.arg("--");
    for tests in SAID {
        test.args(["--skip", tests]);
    }
    test.env("SUITE_OVER", "nats");
    test.env("SUITE_CLUSTERS", clusters.join(" "));
    test.env("SUITE_POLICY", &policy_file);
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        test.env("RUST_TEST_THREADS", THREADS.to_string());
    }
    let done = shell::run(test);
    // What ended meanwhile has failed tests, and says itself why.
    for (what, one) in running
        .iter_mut()
        .chain(&mut engines)
        .map(|one| (one.log.clone(), one))
    {
        if let Some(status) = one.child.try_wait()? {
            bail!(
                "it ended while the tests ran ({status}): {}",
                shell::shown(&what)
            );
        }
    }
    // Engines leave their servers in peace.
    drop(engines);
    drop(running);
    done
}

/// The policy of all engines, beside the directories of the clusters.
const POLICY: &str = "policy.toml";

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Starts a server in a directory of its own.
pub(crate) fn start_server(server: &Path, place: &Path) -> Result<Running> {
    fs::create_dir(place).with_context(|| format!("cannot make {}", place.display()))?;
    // More than there is on disk: what streams may take at most is set aside when they are made.
    write(
        &place.join("server.conf"),
        "jetstream { store_dir: \"js\", max_file_store: 1TB }\n",
    )?;
    let mut command = bound(server);
    command.args(["--addr", "127.0.0.1", "--port", "-1"]);
    command.args(["--config", "server.conf", "--ports_file_dir", "."]);
    Running::start(&mut command, place, "server")
}

/// Sets the cluster up on its server, and starts a process with `size` engines that joins it.
fn start_engines(target: &Path, size: usize, url: &str, place: &Path) -> Result<Running> {
    let program = target.join("debug/rwasm-cluster");
    shell::run(
        Command::new(&program)
            .args(["init", url, "--quiet"])
            .stdin(Stdio::null())
            .stdout(Stdio::null()),
    )?;
    let mut command = bound(&program);
    command.args(["engine", "join", url, "--engines", &size.to_string()]);
    command.args(["--drain-timeout", "0s", "--ready-file", "ready", "--policy"]);
    command.arg(place.with_file_name(POLICY));
    // Kept for the next run: modules in Python and JavaScript take long to compile.
    command.arg("--cache-dir").arg(target.join("tmp/joined"));
    Running::start(&mut command, place, "engines")
}

/// The program, which the system ends with this one, however that ends.
pub(crate) fn bound(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RWASM_") {
            command.env_remove(name);
        }
    }
    command
}

/// A process of its own, killed where this value ends.
pub(crate) struct Running {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Running {
    pub(crate) fn start(command: &mut Command, dir: &Path, name: &str) -> Result<Self> {
        let path = dir.join(format!("{name}.log"));
        let log =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let child = command
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start `setpriv`, which util-linux has")?;
        Ok(Self { child, log: path })
    }

    /// Waits until it is so.
    pub(crate) fn ready<T>(&mut self, is_so: impl Fn() -> Option<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(ready) = is_so() {
                return Ok(ready);
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || start.elapsed() > PATIENCE {
                let said = fs::read_to_string(&self.log).unwrap_or_default();
                bail!(
                    "{} is not ready ({ended:?}): {said}",
                    shell::shown(&self.log)
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a server is reached, as its file of ports says once it is written.
pub(crate) fn address(ports: &Path) -> Option<String> {
    let said = fs::read_to_string(ports).ok()?;
    let start = said.find("nats://")?;
    let url = &said[start..];
    Some(url[..url.find('"')?].to_owned())
}
