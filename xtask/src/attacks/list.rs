//! The attacks.

use super::guests::{self, put};
use super::place::{ATTACKER, Cluster, NOBODY, Place, end, signal};
use super::wire::{self, Wire};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(super) struct Attack {
    pub(super) name: &'static str,
    /// What it does, for whoever reads the table.
    pub(super) what: &'static str,
    pub(super) how: How,
    /// Further options of the neighbour.
    pub(super) neighbour: &'static [&'static str],
}

pub(super) enum How {
    /// A local command, which is stopped while the neighbour is alone.
    Command(&'static [&'static str]),
    /// So many clients at a time, each of which does this again and again.
    Clients(usize, fn(&Client<'_>) -> Result<()>),
}

pub(super) const ATTACKS: [Attack; 15] = [
    Attack {
        name: "endless",
        what: "one endless task after the other, for comparison",
        how: How::Clients(1, spin),
        neighbour: &[],
    },
    Attack {
        name: "stdin",
        what: "polls a silent stdin with a time-out of 0",
        how: How::Command(&["run", "polls.wat", "-", "-j", "1", "--timeout", "1h"]),
        neighbour: &[],
    },
    Attack {
        name: "terminal",
        what: "notes of 500 kB with -v and a terminal that is stalled",
        how: How::Command(&[
            "call",
            "notes.wat",
            "flood",
            "-v",
            "-j",
            "1",
            "--timeout",
            "1h",
        ]),
        neighbour: &[],
    },
    Attack {
        name: "notes",
        what: "notes of 500 kB to a client on a cluster",
        how: How::Clients(1, flood),
        neighbour: &[],
    },
    Attack {
        name: "listener",
        what: "the same to a client that has stopped",
        how: How::Clients(1, stop_listening),
        neighbour: &[],
    },
    Attack {
        name: "deterministic",
        what: "deterministic tasks that ask for the time for ever",
        how: How::Clients(1, ask_for_the_time),
        neighbour: &[],
    },
    Attack {
        name: "tiny",
        what: "messages of 16 384 tasks that do nothing",
        how: How::Clients(1, map_nothing),
        neighbour: &[],
    },
    Attack {
        name: "types",
        what: "modules of 40 million types, and of as many items as are read, stored past any client",
        how: How::Clients(2, ask_for_types),
        neighbour: &[],
    },
    Attack {
        name: "compile",
        what: "four clients with new modules of 5 000 functions",
        how: How::Clients(4, compile),
        neighbour: &[],
    },
    Attack {
        name: "modules",
        what: "new modules of 8 MiB",
        how: How::Clients(1, send_much),
        neighbour: &[],
    },
    Attack {
        name: "parts",
        what: "components of 32 core instances with --reuse engine",
        how: How::Clients(2, keep_parts),
        neighbour: &[],
    },
    Attack {
        name: "described",
        what: "components of a kilobyte whose types take MiBs when written out",
        how: How::Clients(2, describe),
        neighbour: &[],
    },
    Attack {
        name: "stacks",
        what: "many sizes of stacks, with and without fuel and determinism",
        how: How::Clients(1, vary),
        neighbour: &["--fuel", "1000000000"],
    },
    Attack {
        name: "cancelled",
        what: "four clients that cancel endless tasks",
        how: How::Clients(4, cancel),
        neighbour: &[],
    },
    Attack {
        name: "names",
        what: "cancels of 4 096 long names each",
        how: How::Clients(1, cancel_names),
        neighbour: &[],
    },
];

/// One who attacks.
pub(super) struct Client<'a> {
    pub(super) place: &'a Place,
    pub(super) cluster: &'a Cluster,
    /// The number of this step.
    pub(super) step: u64,
    /// What the steps of one attack share.
    pub(super) prepared: &'a OnceLock<Types>,
}

/// Exit code of a job whose tasks failed.
const TASKS_FAILED: i32 = 11;

/// How much later than its limit a command may end.
const GRACE: Duration = Duration::from_secs(5);

impl Client<'_> {
    /// The program with these arguments, on the attacker's lane.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.elsewhere(arguments);
        command.arg(format!("--cluster={}", self.cluster.url));
        command.args(["--lane", ATTACKER]).stderr(Stdio::null());
        command
    }

    /// Runs a command that must end so.
    fn run(&self, arguments: &[&str], limit: Duration, code: i32) -> Result<()> {
        let status = end(&mut self.command(arguments), limit + GRACE)?;
        let command = arguments.join(" ");
        ensure!(
            status.code() == Some(code),
            "`{command}` ended with {status}, not {code}"
        );
        Ok(())
    }

    /// Writes a module of this step; returns its name.
    fn module(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<String> {
        // A few steps later nobody reads it any more.
        let name = format!("{}-{name}", self.step % 64);
        put(&self.place.dir.join(&name), bytes)?;
        Ok(name)
    }
}

fn spin(client: &Client<'_>) -> Result<()> {
    let arguments = ["call", "spin.wat", "spin", "--timeout", "1s"];
    client.run(&arguments, Duration::from_secs(1), TASKS_FAILED)
}

fn flood(client: &Client<'_>) -> Result<()> {
    let arguments = ["call", "notes.wat", "flood", "-v", "--timeout", "1s"];
    client.run(&arguments, Duration::from_secs(1), TASKS_FAILED)
}

fn stop_listening(client: &Client<'_>) -> Result<()> {
    let flood = ["call", "notes.wat", "flood", "-v", "--timeout", "3s"];
    let mut child = client.command(&flood).spawn()?;
    sleep(Duration::from_millis(300));
    signal(&child, "STOP")?;
    sleep(Duration::from_secs(3));
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn ask_for_the_time(client: &Client<'_>) -> Result<()> {
    // The limit by the clock is ten times the other.
    let arguments = [
        "call",
        "clock.wat",
        "ask",
        "--deterministic",
        "--timeout",
        "200ms",
    ];
    client.run(&arguments, Duration::from_secs(2), TASKS_FAILED)
}

fn map_nothing(client: &Client<'_>) -> Result<()> {
    let arguments = [
        "map",
        "same.wat",
        "same",
        "ones.txt",
        "--dispatch-size",
        "16384",
    ];
    client.run(&arguments, Duration::from_secs(30), 0)
}

/// Modules that no client of ours sends, and a message that asks for another one.
pub(super) struct Types {
    hashes: [String; 2],
    message: Vec<u8>,
}

impl Types {
    fn prepare(client: &Client<'_>) -> Result<Self> {
        let url = &client.cluster.url;
        let scratch = client.place.dir.join("types.wasm");
        let mut wire = Wire::connect(url)?;
        let hashes = [
            wire.store(&guests::types(40_000_000), &scratch)?,
            wire.store(&guests::types(1_000_000), &scratch)?,
        ];
        wire.subscribe(&format!("rwc.t.{NOBODY}.>"))?;
        let mut call = client.place.elsewhere(&["call", "same.wat", "same", "1"]);
        call.arg(format!("--cluster={url}")).stderr(Stdio::null());
        call.args(["--lane", NOBODY, "--deadline", "1s"]);
        end(&mut call, GRACE)?;
        let message = wire.next()?;
        Ok(Self { hashes, message })
    }
}

fn ask_for_types(client: &Client<'_>) -> Result<()> {
    let types = if let Some(types) = client.prepared.get() {
        types
    } else {
        let types = Types::prepare(client)?;
        client.prepared.get_or_init(|| types)
    };
    let hash = &types.hashes[usize::from(client.step.is_multiple_of(2))];
    let message = wire::with_module(&types.message, hash)?;
    let mut wire = Wire::connect(&client.cluster.url)?;
    let session = format!("types{}", client.step);
    wire.subscribe(&format!("rwc.r.{session}.1"))?;
    wire.publish(&format!("rwc.t.{ATTACKER}.mid.{session}.1"), &message)?;
    wire.next().context("no engine has refused the module")?;
    Ok(())
}

fn compile(client: &Client<'_>) -> Result<()> {
    let module = client.module("functions.wat", guests::functions(client.step))?;
    client.run(&["call", &module, "same", "1"], Duration::from_mins(1), 0)
}

fn send_much(client: &Client<'_>) -> Result<()> {
    let module = client.module("large.wasm", guests::large(client.step))?;
    client.run(&["call", &module, "same", "1"], Duration::from_secs(30), 0)
}

fn keep_parts(client: &Client<'_>) -> Result<()> {
    let module = client.module("parts.wat", guests::parts(client.step))?;
    let arguments = [
        "call",
        &module,
        "f",
        "--reuse",
        "engine",
        "--targets",
        "all",
    ];
    client.run(&arguments, Duration::from_secs(30), 0)
}

fn describe(client: &Client<'_>) -> Result<()> {
    let module = client.module("described.wat", guests::described(client.step))?;
    client.run(&["call", &module, "f"], Duration::from_secs(30), 0)
}

fn vary(client: &Client<'_>) -> Result<()> {
    let limit = format!("stack={}KiB", 16 + client.step % 26 * 300);
    let mut arguments = vec!["call", "same.wat", "same", "1", "--limit", &limit];
    match client.step % 3 {
        0 => arguments.extend(["--fuel", "1000000"]),
        1 => arguments.push("--deterministic"),
        _ => {}
    }
    client.run(&arguments, Duration::from_secs(30), 0)
}

fn cancel(client: &Client<'_>) -> Result<()> {
    let mut command = client.command(&["call", "spin.wat", "spin", "--timeout", "10s"]);
    let mut child = command.spawn().context("cannot start `setpriv`")?;
    sleep(Duration::from_millis(150));
    signal(&child, "INT")?;
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > GRACE {
            child.kill()?;
            child.wait()?;
            bail!("a client does not end when it is interrupted");
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn cancel_names(client: &Client<'_>) -> Result<()> {
    const MESSAGES: u64 = 16;
    let mut wire = Wire::connect(&client.cluster.url)?;
    for message in 0..MESSAGES {
        let number = client.step * MESSAGES + message;
        let subject = format!("rwc.c.session{number}");
        wire.publish(&subject, &wire::cancel(number))?;
    }
    wire.flush()
}

/// Removes what steps have written.
pub(super) fn clean(place: &Place) -> Result<()> {
    for entry in fs::read_dir(&place.dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
