//! `cargo xtask attacks`: what hostile guests and clients take from the machine and from a neighbour, over a minute each.
//!
//! An attack goes on and pauses in turns. The neighbour works beside it, alone, and beside a load that computes as much as the
//! attack's clients do for themselves, so all are measured on the same machine at the same time. Its jobs run one task after the other, and the attack leaves it one of two engines, or has short
//! tasks: that long tasks on all engines delay others follows from what they are, and is not measured.

mod figures;
mod gate;
mod guests;
mod list;
mod load;
mod neighbour;
mod place;
mod wire;

use crate::nats;
use crate::shell::{self, note};
use anyhow::{Result, ensure};
use figures::{Figures, longest_answer, most_memory};
use gate::Gate;
use list::{ATTACKS, Attack, Client, How};
use neighbour::{Beside, Neighbour, median};
use place::{Alone, Cluster, Place};
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

pub(crate) struct Options {
    /// Built by cargo if it is not named.
    pub(crate) program: Option<PathBuf>,
    /// How long each attack goes on, without its pauses.
    pub(crate) time: Duration,
    /// All if none is named.
    pub(crate) names: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            program: None,
            time: Duration::from_mins(1),
            names: Vec::new(),
        }
    }
}

/// Parts of an attack, with a pause before each.
const ROUNDS: u32 = 6;

/// What an attack may leave behind, or take by itself.
const MEMORY: u64 = 64 << 20;

/// Programs that are kept for whoever comes back to them, each of which has its file open: those that nobody uses, and those
/// of the two instances that each engine keeps.
const KEPT: u64 = 128 + 2 * 2;

/// How much slower a neighbour may become.
const SLOWER: f64 = 1.2;

/// How long the health endpoint may take to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// What was measured.
struct Row<'a> {
    attack: &'a Attack,
    before: Figures,
    most: u64,
    after: Figures,
    alone: Duration,
    /// Beside a load that computes as much as the clients of the attack, if it has clients.
    loaded: Option<Duration>,
    beside: Duration,
    wrong: Option<String>,
    /// Of the health endpoint, if there is one.
    answer: Option<Duration>,
    steps: u64,
    failed: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    for name in &options.names {
        ensure!(
            ATTACKS.iter().any(|attack| attack.name == name),
            "there is no attack `{name}`; those are: {}",
            ATTACKS.map(|attack| attack.name).join(", ")
        );
    }
    let program = match &options.program {
        Some(program) => std::path::absolute(program)?,
        None => build()?,
    };
    let server = nats::server()?;
    let place = place::make(
        program,
        std::path::absolute(shell::target()?.join("tmp/attacks"))?,
    )?;
    let is_wanted = |attack: &&Attack| {
        options.names.is_empty() || options.names.iter().any(|name| name == attack.name)
    };
    let mut beyond = Vec::new();
    shell::print(HEAD)?;
    for attack in ATTACKS.iter().filter(is_wanted) {
        note(format_args!("attacks: {} ...", attack.name));
        let row = match attack.how {
            How::Command(arguments) => alone(attack, &place, arguments, options.time)?,
            How::Clients(number, step) => {
                let cluster = Cluster::start(&place, &server)?;
                let row = clients(attack, &place, &cluster, (number, step), options.time)?;
                list::clean(&place)?;
                row
            }
        };
        shell::print(&row)?;
        let reasons = row.beyond();
        for reason in &reasons {
            note(format_args!("attacks: {}: {reason}", attack.name));
        }
        if !reasons.is_empty() {
            beyond.push(attack.name);
        }
    }
    ensure!(
        beyond.is_empty(),
        "attacks beyond their bounds: {}",
        beyond.join(", ")
    );
    Ok(())
}

fn build() -> Result<PathBuf> {
    let mut cargo = shell::cargo(shell::root());
    shell::run(cargo.args([
        "build",
        "--locked",
        "-p",
        "rwasm-cli",
        "--bin",
        "rwasm-cluster",
    ]))?;
    Ok(std::path::absolute(
        shell::target()?.join("debug/rwasm-cluster"),
    )?)
}

/// Measures a command that attacks its own process.
fn alone<'a>(
    attack: &'a Attack,
    place: &Place,
    arguments: &[&str],
    time: Duration,
) -> Result<Row<'a>> {
    let mut neighbour = Neighbour::new(place, None, attack.neighbour)?;
    neighbour.work(Duration::ZERO, Beside::Nothing)?;
    neighbour.alone.clear();
    let mut victim = Alone::start(place, arguments)?;
    let (process, gate) = (victim.process(), Gate::default());
    let before = victim.figures()?;
    let most = scope(|scope| {
        let most = scope.spawn(|| most_memory(process, &gate));
        let turns = take_turns(&mut neighbour, time, 0, |goes_on| {
            victim.signal(if goes_on { "CONT" } else { "STOP" })
        });
        gate.end();
        turns.map(|()| most.join().unwrap_or_default())
    })?;
    Ok(Row {
        attack,
        before,
        most,
        after: victim.figures()?,
        alone: median(&neighbour.alone),
        loaded: None,
        beside: median(&neighbour.beside),
        wrong: neighbour.wrong,
        answer: None,
        steps: 1,
        failed: None,
    })
}

/// Measures clients that attack the process with engines.
fn clients<'a>(
    attack: &'a Attack,
    place: &Place,
    cluster: &Cluster,
    (number, step): (usize, fn(&Client<'_>) -> Result<()>),
    time: Duration,
) -> Result<Row<'a>> {
    let mut neighbour = Neighbour::new(place, Some(cluster), attack.neighbour)?;
    // Each engine has run something.
    neighbour.work(Duration::from_secs(2), Beside::Nothing)?;
    neighbour.alone.clear();
    let (process, gate, prepared) = (cluster.process(), Gate::default(), OnceLock::new());
    let client = |step| Client {
        place,
        cluster,
        step,
        prepared: &prepared,
    };
    let memory = Figures::of(process)?.memory;
    // What is made once for a kind of task, such as its ticker, is there from now on.
    gate.note(step(&client(0)));
    let before = Figures {
        memory,
        ..Figures::at_rest(process)?
    };
    let (most, answer) = scope(|scope| {
        let most = scope.spawn(|| most_memory(process, &gate));
        let answer = scope.spawn(|| longest_answer(|| cluster.page("/healthz"), &gate));
        for _ in 0..number {
            scope.spawn(|| gate.repeat(|number| step(&client(number))));
        }
        let turns = take_turns(&mut neighbour, time, number, |goes_on| {
            if goes_on {
                gate.open();
                return Ok(());
            }
            gate.close();
            gate.note(cluster.quiet());
            Ok(())
        });
        gate.end();
        let measured = (
            most.join().unwrap_or_default(),
            answer.join().unwrap_or_default(),
        );
        turns.map(|()| measured)
    })?;
    let (steps, failed) = gate.steps();
    Ok(Row {
        attack,
        before,
        most,
        after: Figures::at_rest(process)?,
        alone: median(&neighbour.alone),
        loaded: Some(median(&neighbour.loaded)),
        beside: median(&neighbour.beside),
        wrong: neighbour.wrong,
        answer: Some(answer),
        steps,
        failed,
    })
}

/// Has the neighbour work alone and beside the attack, which goes on and pauses as it is told, in turns. If there are
/// `clients`, it works beside a load of as many threads too.
fn take_turns(
    neighbour: &mut Neighbour<'_>,
    time: Duration,
    clients: usize,
    mut attack: impl FnMut(bool) -> Result<()>,
) -> Result<()> {
    for _ in 0..ROUNDS {
        attack(false)?;
        let start = load::spent()?;
        let jobs = neighbour.work(time / ROUNDS / 2, Beside::Nothing)?;
        let job = load::spent()?.saturating_sub(start) / jobs;
        attack(true)?;
        // Until it is in full swing.
        sleep(Duration::from_millis(200));
        let (start, began) = (load::spent()?, Instant::now());
        let jobs = neighbour.work(time / ROUNDS, Beside::Attack)?;
        let spent = load::spent()?.saturating_sub(start + job * jobs);
        let took = began.elapsed();
        if clients == 0 {
            continue;
        }
        attack(false)?;
        let threads = u32::try_from(clients).unwrap_or(u32::MAX);
        let share = spent.as_secs_f64() / took.as_secs_f64() / f64::from(threads);
        let gate = Gate::default();
        scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| load::compute(share, &gate));
            }
            let done = neighbour.work(time / ROUNDS / 2, Beside::Load);
            gate.end();
            done
        })?;
    }
    attack(false)
}

const HEAD: &str = "\
| attack | what it does | steps | memory at first, at most, at the end (MiB) | threads | descriptors | /healthz at most | \
neighbour alone, beside as much load, beside it | ratio to alone, to load | within bounds |
|---|---|---|---|---|---|---|---|---|---|";

impl Row<'_> {
    /// How many times as long the neighbour takes beside the attack as alone.
    fn ratio(&self) -> f64 {
        self.beside.as_secs_f64() / self.alone.as_secs_f64()
    }

    /// The same, but for what the clients of the attack take of the processors that they share with the cluster here.
    fn ratio_to_load(&self) -> f64 {
        let without = self.loaded.unwrap_or(self.alone).max(self.alone);
        self.beside.as_secs_f64() / without.as_secs_f64()
    }

    /// What is more than it may be.
    fn beyond(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let mut say = |is_so: bool, reason: String| {
            if is_so {
                reasons.push(reason);
            }
        };
        let (before, after) = (self.before, self.after);
        let grown = after.memory.saturating_sub(before.memory);
        say(
            grown > MEMORY,
            format!("it leaves {} MiB more", grown >> 20),
        );
        say(
            after.threads > before.threads,
            format!(
                "it leaves {} threads more",
                after.threads.saturating_sub(before.threads)
            ),
        );
        say(
            after.files > before.files + KEPT,
            format!(
                "it leaves {} descriptors more",
                after.files.saturating_sub(before.files)
            ),
        );
        let ratio = self.ratio_to_load();
        say(
            ratio > SLOWER,
            format!("the neighbour takes {ratio:.2} times as long"),
        );
        let answer = self.answer.unwrap_or_default();
        say(
            answer > ANSWER,
            format!("/healthz took {}", shell::seconds(answer)),
        );
        reasons.extend(self.wrong.iter().chain(&self.failed).cloned());
        reasons
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (self.before, self.after);
        let mib = |bytes: u64| bytes >> 20;
        write!(
            out,
            "| {} | {} | {} | {}, {}, {} | {} → {} | {} → {} | ",
            self.attack.name,
            self.attack.what,
            self.steps,
            mib(before.memory),
            mib(self.most),
            mib(after.memory),
            before.threads,
            after.threads,
            before.files,
            after.files,
        )?;
        match self.answer {
            Some(answer) => write!(out, "{} ms", answer.as_millis())?,
            None => out.write_str("–")?,
        }
        let right = if self.wrong.is_some() { "wrong: " } else { "" };
        write!(
            out,
            " | {right}{}, {}, {} | {:.2}, {:.2} | {} |",
            shell::seconds(self.alone),
            self.loaded.map_or_else(|| "–".to_owned(), shell::seconds),
            shell::seconds(self.beside),
            self.ratio(),
            self.ratio_to_load(),
            if self.beyond().is_empty() {
                "yes"
            } else {
                "no"
            },
        )
    }
}
