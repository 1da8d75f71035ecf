//! Where attacks happen: the program, a directory, and a process with engines that two lanes share.

use super::figures::Figures;
use super::guests;
use crate::over_nats::{Running, address, bound, start_server};
use crate::shell;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The lanes of the attacker and of the neighbour, and one that nobody serves.
pub(super) const ATTACKER: &str = "attacker";
pub(super) const NEIGHBOUR: &str = "neighbour";
pub(super) const NOBODY: &str = "nobody";

/// How long the health endpoint may be silent.
const SILENCE: Duration = Duration::from_secs(30);

pub(super) struct Place {
    pub(super) program: PathBuf,
    pub(super) dir: PathBuf,
}

impl Place {
    /// The program with these arguments.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        self.set(bound(&self.program), arguments)
    }

    /// The same for attackers, who would be on another machine: what they compute is not to slow down the neighbour.
    pub(super) fn elsewhere(&self, arguments: &[&str]) -> Command {
        let mut command = bound(Path::new("nice"));
        command.args(["-n", "19"]).arg(&self.program);
        self.set(command, arguments)
    }

    fn set(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(arguments).current_dir(&self.dir);
        for (name, dir) in [("CACHE", "cache"), ("CONFIG", "none"), ("STATE", "none")] {
            command.env(format!("RWASM_{name}_DIR"), self.dir.join(dir));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

/// Waits until a command ends; kills it after that time.
pub(super) fn end(command: &mut Command, limit: Duration) -> Result<ExitStatus> {
    let start = Instant::now();
    let mut child = command.spawn().context("cannot start `setpriv`")?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("a command did not end within {}", shell::seconds(limit));
        }
        sleep(Duration::from_millis(2));
    }
}

/// Sends a signal, by its name.
pub(super) fn signal(child: &Child, name: &str) -> Result<()> {
    let id = child.id().to_string();
    shell::run(Command::new("kill").args(["-s", name, &id]))
}

/// A server, and a process with two engines.
pub(super) struct Cluster {
    pub(super) url: String,
    /// Dropped before the server.
    engines: Running,
    _server: Running,
    health: u16,
}

impl Cluster {
    pub(super) fn start(place: &Place, server: &Path) -> Result<Self> {
        let dir = place.dir.join("cluster");
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        let mut server = start_server(server, &dir)?;
        let ports = dir.join(format!("nats-server_{}.ports", server.child.id()));
        let url = server.ready(|| address(&ports))?;
        for lane in [ATTACKER, NEIGHBOUR, NOBODY] {
            let init = ["init", &url, "--quiet", "--lane", lane];
            shell::run(&mut place.command(&init))?;
        }
        let health = free_port()?;
        let (lanes, address) = (
            [ATTACKER, NEIGHBOUR].map(|lane| format!("{lane}=1")),
            format!("127.0.0.1:{health}"),
        );
        let mut join = place.command(&["engine", "join", &url, "--engines", "2"]);
        join.args(["--lane", &lanes[0], "--lane", &lanes[1]]);
        join.args(["--health", &address, "--ready-file", "ready"]);
        let mut engines = Running::start(&mut join, &dir, "engines")?;
        let ready = dir.join("ready");
        engines.ready(|| ready.exists().then_some(()))?;
        Ok(Self {
            url,
            engines,
            _server: server,
            health,
        })
    }

    /// The process with engines.
    pub(super) fn process(&self) -> u32 {
        self.engines.child.id()
    }

    /// A page of its health endpoint.
    pub(super) fn page(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.health))?;
        stream.set_read_timeout(Some(SILENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: engine\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Waits until no engine has anything to do.
    pub(super) fn quiet(&self) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let start = Instant::now();
        while !self
            .page("/metrics")?
            .contains("\nrwasm_held_dispatches 0\n")
        {
            ensure!(
                start.elapsed() < PATIENCE,
                "tasks of attackers who are gone go on"
            );
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// A process of its own that attacks itself, and is stopped while it pauses.
pub(super) struct Alone(Child);

impl Alone {
    pub(super) fn start(place: &Place, arguments: &[&str]) -> Result<Self> {
        // What it prints goes to a pipe that nobody reads, and its stdin says nothing.
        let mut command = place.command(arguments);
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Self(command.spawn().context("cannot start `setpriv`")?);
        let begun = Duration::from_millis(500);
        sleep(begun);
        ensure!(
            process.0.try_wait()?.is_none(),
            "the attack has ended at once: {}",
            process.said()
        );
        Ok(process)
    }

    pub(super) fn process(&self) -> u32 {
        self.0.id()
    }

    pub(super) fn signal(&self, name: &str) -> Result<()> {
        signal(&self.0, name)
    }

    /// Fails if it has ended.
    pub(super) fn figures(&mut self) -> Result<Figures> {
        ensure!(
            self.0.try_wait()?.is_none(),
            "the attack has ended: {}",
            self.said()
        );
        Figures::of(self.process())
    }

    fn said(&mut self) -> String {
        let mut said = String::new();
        if let Some(stderr) = &mut self.0.stderr {
            // It is what it is.
            let _ = stderr.take(4096).read_to_string(&mut said);
        }
        said
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nothing listens on.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Writes the modules of all attacks.
pub(super) fn make(program: PathBuf, dir: PathBuf) -> Result<Place> {
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    guests::write(&dir)?;
    Ok(Place { program, dir })
}
