//! `start`: a server, its streams, and engines; of what runs already nothing is started again.
//!
//! One command at a time is at a cluster: it holds the lock. What it has started is written down as soon as it is there,
//! and ended again where the whole does not come to be.

use super::super::args::{HostArgument, StartArguments};
use super::super::exit::CliError;
use super::super::output::print;
use super::super::profile::{self, Profile};
use super::super::signals::Signals;
use super::super::tell;
use super::began::{Began, end, ended_at_once};
use super::process::Mark;
use super::state::{Group, Kept, Place, State};
use super::stop::gone;
use super::waiting::Deadline;
use super::wishes::Wishes;
use super::{engines, found, server};
use rwasm_cluster::ByteSize;
use rwasm_cluster::nats::{
    AssetSettings, ConnectSettings, Key, Overview, Process, Role, overview, set_up,
};
use std::time::Duration;

/// What a server stores at most where nothing is said.
const STORE: u64 = 40 << 30;

/// Tasks, results and large values may take a quarter each; modules and records have the rest.
const PARTS: u64 = 4;

/// What a store cannot do without.
const LEAST_STORE: u64 = 64 << 20;

/// How long a process that was killed may take to be gone, on a machine that has other things to do.
const DYING: Duration = Duration::from_secs(1);

/// Starts what is missing of the cluster, and prints its URL.
pub(crate) fn start(arguments: &StartArguments, signals: &Signals) -> Result<(), CliError> {
    let profile = Profile::find(arguments.profile.as_deref())?;
    let wishes = Wishes::of(arguments, &profile)?;
    let place = Place::of(profile.name())?;
    place.make()?;
    let quiet = arguments.loudness.quiet;
    let _lock = place.lock(|| {
        if !quiet {
            tell::print("waiting for another command on this cluster\n");
        }
    })?;
    let known = found::known(&place)?;
    let began = Began::new(signals, &place, known.as_ref());
    let started = bring_up(&wishes, &place, known.as_ref(), arguments, &began, signals);
    let started = started.and_then(|started| began.keep().map(|()| started));
    let (state, report) = match started {
        Ok(started) => started,
        Err(error) => {
            began.end()?;
            // What failed may have failed since a signal ended what it was about.
            return Err(signals.ending().map_or(error, CliError::Signal));
        }
    };
    if !quiet {
        tell::print(&report);
    }
    print(&format!("{}\n", state.url.unwrap_or_default()))
}

/// Starts what does not run. What was started is in `began` at any time.
fn bring_up(
    wishes: &Wishes,
    place: &Place,
    known: Option<&State>,
    arguments: &StartArguments,
    began: &Began,
    signals: &Signals,
) -> Result<(State, String), CliError> {
    let deadline = Deadline::within(arguments.within);
    let mut report = String::new();
    let running = known.filter(|state| state.server.is_running());
    let there = running.and_then(|state| Some((state, state.url.as_ref()?)));
    let there = match there {
        Some((state, url)) => {
            check_same(wishes, arguments, place, url)?;
            match make_streams(wishes, place, url, arguments.within) {
                Ok(()) => Some(state.clone()),
                // It was killed a moment ago, and is there no more.
                Err(_) if gone(std::slice::from_ref(&state.server), DYING) => None,
                Err(error) => return Err(error),
            }
        }
        None => None,
    };
    let mut state = if let Some(state) = there {
        state
    } else {
        // One that a command had begun to start that was killed.
        if let Some(half) = running {
            end(std::slice::from_ref(&half.server));
        }
        let state = begin(wishes, place, known, deadline, began, signals, &mut report)?;
        let url = state.url.clone().unwrap_or_default();
        make_streams(wishes, place, &url, arguments.within)?;
        state
    };
    let url = state.url.clone().unwrap_or_default();
    state.drain_ms = u64::try_from(wishes.wanted.drain_timeout.as_millis()).unwrap_or(u64::MAX);
    state.engines.retain(|group| group.process.is_running());
    add_engines(
        wishes,
        place,
        &url,
        &mut state,
        deadline,
        began,
        signals,
        &mut report,
    )?;
    if report.is_empty() {
        let viewer = connect(place, &url, Role::Viewer)?;
        let found = overview(&viewer).map_err(|error| profile::unanswered(error, &url))?;
        report = format!(
            "the cluster `{}` is already running, with {}\n",
            place.name(),
            engines::counted(engines_of(&found, |_| true))
        );
        let of_engines = !arguments.lanes.is_empty()
            || !arguments.labels.is_empty()
            || arguments.policy.is_some();
        if of_engines {
            report += "its engines keep their lanes, labels and policy until they stop\n";
        }
        let here = |process: &Process| {
            let groups = state.engines.iter().filter(|group| group.host.is_none());
            groups
                .map(|group| group.process.pid)
                .any(|pid| pid == process.pid)
        };
        if wishes.says_engines && wishes.engines > engines_of(&found, here) {
            report += &format!(
                "add engines with `rwasm-cluster engine join {url} --key {}`\n",
                place.key(Role::Engine).display()
            );
        }
    } else {
        report += &format!(
            "use it with --cluster{}; stop it with `rwasm-cluster stop{}`\n",
            profile::option(place.name()),
            profile::option(place.name()),
        );
    }
    Ok((state, report))
}

/// Refuses what a server that runs cannot become.
fn check_same(
    wishes: &Wishes,
    arguments: &StartArguments,
    place: &Place,
    url: &str,
) -> Result<(), CliError> {
    let what = if arguments
        .port
        .is_some_and(|port| port_of(url) != Some(port))
    {
        "on another port"
    } else if arguments.store.is_some() && wishes.store.map(ByteSize::bytes) != place.kept().store {
        "with another store size"
    } else {
        return Ok(());
    };
    Err(CliError::Wrong {
        message: format!("the cluster `{}` is already running at {url}", place.name()),
        hint: format!("stop it first to start it {what}"),
    })
}

/// Starts the server.
fn begin(
    wishes: &Wishes,
    place: &Place,
    known: Option<&State>,
    deadline: Deadline,
    began: &Began,
    signals: &Signals,
    report: &mut String,
) -> Result<State, CliError> {
    let program = server::Program::find(wishes.nats_server.as_deref())?;
    let kept = place.kept();
    let port = server::port(wishes.port, kept.port)?;
    let size = store_size(wishes, place, &kept)?;
    server::configure(place, port, ByteSize::new(size))?;
    // Engines that were left over know the old port alone.
    let left: Vec<Group> = known.map(|state| state.engines.clone()).unwrap_or_default();
    let left = if port.is_some() && port == kept.port {
        left
    } else {
        let marks: Vec<Mark> = left.into_iter().map(|group| group.process).collect();
        end(&marks);
        Vec::new()
    };
    if known.is_some() {
        *report += "the server had exited unexpectedly; it restarts with its stored data\n";
    }
    let half = |server: Mark, url: Option<String>| State {
        url,
        server,
        engines: left.clone(),
        drain_ms: 0,
    };
    let (started, url) = server::start(&program, place, deadline, signals, began, |mark| {
        half(mark, None)
    })?;
    let mark = Mark::of(started.child.id()).ok_or_else(|| ended_at_once(&started))?;
    let state = half(mark, Some(url.clone()));
    began.record(&state)?;
    place.keep(&Kept {
        port: port_of(&url),
        store: Some(size),
    })?;
    *report += &format!(
        "nats-server {} listens at {url} (pid {}) and stores its data in {}\n",
        program.version(),
        state.server.pid,
        place.file("store").display()
    );
    Ok(state)
}

/// Starts the engines that are wanted and not there.
#[expect(
    clippy::too_many_arguments,
    reason = "each is a thing of its own, and it is called once"
)]
fn add_engines(
    wishes: &Wishes,
    place: &Place,
    url: &str,
    state: &mut State,
    deadline: Deadline,
    began: &Began,
    signals: &Signals,
    report: &mut String,
) -> Result<(), CliError> {
    let add = |state: &mut State, process: Mark, engines, host: Option<&HostArgument>| {
        state.engines.push(Group {
            process,
            engines,
            host: host.map(|host| host.host.clone()),
        });
        state.clone()
    };
    let has = |state: &State, host: Option<&str>| {
        state
            .engines
            .iter()
            .any(|group| group.host.as_deref() == host)
    };
    let viewer = connect(place, url, Role::Viewer)?;
    let mut before = Vec::new();
    if !wishes.hosts.is_empty() {
        let found = overview(&viewer).map_err(|error| profile::unanswered(error, url))?;
        before.extend(found.processes.into_iter().map(|process| process.id));
    }
    let mut joining = Vec::new();
    for host in &wishes.hosts {
        if !has(state, Some(&host.host)) {
            let port = port_of(url).unwrap_or_default();
            let started = engines::start_on(host, place, port, &wishes.wanted, began, |process| {
                add(state, process, host.engines, Some(host))
            })?;
            joining.push((host, started));
        }
    }
    if wishes.engines > 0 && !has(state, None) {
        let count = wishes.engines;
        let wanted = &wishes.wanted;
        let started = engines::start(
            place,
            url,
            count,
            wanted,
            deadline,
            signals,
            began,
            |process| add(state, process, count, None),
        )?;
        *report += &format!(
            "{} joined (pid {}); log: {}\n",
            engines::counted(count),
            started.child.id(),
            started.log.path().display()
        );
    }
    for (host, mut started) in joining {
        engines::await_joined(host, &mut started, &before, &viewer, deadline, signals)?;
        *report += &format!(
            "{} joined from {}\n",
            engines::counted(host.engines),
            host.host
        );
    }
    began.record(state)
}

/// Makes the streams; the server may need a moment to have read what it had.
fn make_streams(
    wishes: &Wishes,
    place: &Place,
    url: &str,
    within: Duration,
) -> Result<(), CliError> {
    let admin = connect(place, url, Role::Admin)?.timeout(within);
    let store = place.kept().store.unwrap_or(STORE);
    let mut assets = AssetSettings::default();
    assets.lanes.clone_from(&wishes.wanted.lanes);
    assets.max_bytes = Some(i64::try_from(store / PARTS).unwrap_or(i64::MAX));
    assets.keep = wishes.keep;
    // What somebody asks for is to hold for streams that were there, too.
    assets.change = wishes.keep.is_some() || wishes.store.is_some();
    set_up(&admin, &assets).map_err(|error| profile::unanswered(error, url))?;
    Ok(())
}

/// How to reach a server of this machine in a role.
fn connect(place: &Place, url: &str, role: Role) -> Result<ConnectSettings, CliError> {
    let key = Key::read(&place.key(role)).map_err(CliError::Key)?;
    Ok(ConnectSettings::new(url).key(key))
}

/// How much the server may store: as was said, else as before, else half of what is free.
fn store_size(wishes: &Wishes, place: &Place, kept: &Kept) -> Result<u64, CliError> {
    let size = match (wishes.store, kept.store) {
        (Some(size), _) => size.bytes(),
        (None, Some(size)) => size,
        (None, None) => {
            let free = rustix::fs::statvfs(place.dir())
                .map_or(STORE, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
            (free / 2).min(STORE)
        }
    };
    if size < LEAST_STORE {
        return Err(CliError::Wrong {
            message: format!(
                "the cluster can store only {}, but needs at least {}",
                ByteSize::new(size),
                ByteSize::new(LEAST_STORE)
            ),
            hint: "raise --store, or set RWASM_STATE_DIR to a directory on a larger disk"
                .to_owned(),
        });
    }
    Ok(size)
}

/// How many engines there are that take something, in the processes that are meant.
fn engines_of(found: &Overview, is_meant: impl Fn(&Process) -> bool) -> u32 {
    let processes = found.processes.iter();
    let processes = processes.filter(|process| !process.draining && is_meant(process));
    let engines: usize = processes.map(|process| process.engines.len()).sum();
    u32::try_from(engines).unwrap_or(u32::MAX)
}

fn port_of(url: &str) -> Option<u16> {
    url.rsplit_once(':')?.1.parse().ok()
}
