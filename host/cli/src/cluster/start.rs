//! `start`: a server, its streams, and engines; of what runs already nothing is started again.
//!
//! One command at a time is at a cluster: it holds the lock. What it has started is written down as soon as it is there,
//! and ended again where the whole does not come to be.

use super::began::{Began, end, ended_at_once};
use super::process::Mark;
use super::profile::{self, Profile};
use super::settings::StartSettings;
use super::state::{ClusterDir, ClusterState, EngineGroup, Kept};
use super::stop::gone;
use super::waiting::Deadline;
use super::{engines, found, server};
use crate::args::{HostArgument, StartArguments};
use crate::environment::signals::Signals;
use crate::exit::CliError;
use crate::output::messages;
use crate::output::stdout::print;
use crate::text::counted;
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
    let settings = StartSettings::resolve(arguments, &profile)?;
    let place = ClusterDir::of(profile.name())?;
    place.make()?;
    let quiet = arguments.loudness.quiet;
    let _lock = place.lock(|| {
        if !quiet {
            messages::print("waiting for another command on this cluster\n");
        }
    })?;
    let known = found::known(&place)?;
    let began = Began::new(signals, &place, known.as_ref());
    let mut startup = Startup {
        settings: &settings,
        place: &place,
        known: known.as_ref(),
        deadline: Deadline::within(settings.within),
        began: &began,
        signals,
        report: String::new(),
    };
    let started = startup.bring_up();
    let started = started.and_then(|state| began.keep().map(|()| state));
    let state = match started {
        Ok(state) => state,
        Err(error) => {
            began.end()?;
            // What failed may have failed since a signal ended what it was about.
            return Err(signals.ending().map_or(error, CliError::Signal));
        }
    };
    if !quiet {
        messages::print(&startup.report);
    }
    print(&format!("{}\n", state.url.unwrap_or_default()))
}

/// One `start` on its way: what is wanted, what was there, and what is said of it at the end.
struct Startup<'a> {
    settings: &'a StartSettings,
    place: &'a ClusterDir,
    /// What is known of the cluster from before.
    known: Option<&'a ClusterState>,
    /// Until when all of it is to be ready.
    deadline: Deadline,
    /// What was started, at any time.
    began: &'a Began,
    signals: &'a Signals,
    /// A line for each thing that was started.
    report: String,
}

impl Startup<'_> {
    /// Starts what does not run.
    fn bring_up(&mut self) -> Result<ClusterState, CliError> {
        let mut state = match self.running()? {
            Some(state) => state,
            None => self.begin_anew()?,
        };
        let url = state.url.clone().unwrap_or_default();
        let drain = self.settings.engine.drain_timeout.as_millis();
        state.drain_ms = u64::try_from(drain).unwrap_or(u64::MAX);
        state.engines.retain(|group| group.process.is_running());
        self.add_engines(&url, &mut state)?;
        if self.report.is_empty() {
            self.report = self.already(&state, &url)?;
        } else {
            let option = profile::option(self.place.name());
            self.report += &format!(
                "use it with --cluster{option}; stop it with `rwasm-cluster stop{option}`\n"
            );
        }
        Ok(state)
    }

    /// What there is, where the server runs.
    fn running(&self) -> Result<Option<ClusterState>, CliError> {
        let running = self.known.filter(|state| state.server.is_running());
        let Some((state, url)) = running.and_then(|state| Some((state, state.url.as_ref()?)))
        else {
            return Ok(None);
        };
        check_same(self.settings, self.place, url)?;
        match make_streams(self.settings, self.place, url) {
            Ok(()) => Ok(Some(state.clone())),
            // It was killed a moment ago, and is there no more.
            Err(_) if gone(std::slice::from_ref(&state.server), DYING) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Starts the server, and makes its streams.
    fn begin_anew(&mut self) -> Result<ClusterState, CliError> {
        // One that a command had begun to start that was killed.
        if let Some(half) = self.known.filter(|state| state.server.is_running()) {
            end(std::slice::from_ref(&half.server));
        }
        let state = self.begin_server()?;
        let url = state.url.clone().unwrap_or_default();
        make_streams(self.settings, self.place, &url)?;
        Ok(state)
    }

    /// Starts the server.
    fn begin_server(&mut self) -> Result<ClusterState, CliError> {
        let (settings, place) = (self.settings, self.place);
        let program = server::Program::find(settings.nats_server.as_deref())?;
        let kept = place.kept();
        let port = server::port(settings.port, kept.port)?;
        let size = store_size(settings, place, &kept)?;
        server::configure(place, port, ByteSize::new(size))?;
        // Engines that were left over know the old port alone.
        let left = self.known.map(|state| state.engines.clone());
        let left: Vec<EngineGroup> = left.unwrap_or_default();
        let left = if port.is_some() && port == kept.port {
            left
        } else {
            let marks: Vec<Mark> = left.into_iter().map(|group| group.process).collect();
            end(&marks);
            Vec::new()
        };
        if self.known.is_some() {
            self.report += "the server had exited unexpectedly; it restarts with its stored data\n";
        }
        let half = |server: Mark, url: Option<String>| ClusterState {
            url,
            server,
            engines: left.clone(),
            drain_ms: 0,
        };
        let (started, url) = server::start(
            &program,
            place,
            self.deadline,
            self.signals,
            self.began,
            |mark| half(mark, None),
        )?;
        let mark = Mark::of(started.child.id()).ok_or_else(|| ended_at_once(&started))?;
        let state = half(mark, Some(url.clone()));
        self.began.record(&state)?;
        place.keep(&Kept {
            port: port_of(&url),
            store: Some(size),
        })?;
        self.report += &format!(
            "nats-server {} listens at {url} (pid {}) and stores its data in {}\n",
            program.version(),
            state.server.pid,
            place.file("store").display()
        );
        Ok(state)
    }

    /// Starts the engines that are wanted and not there.
    fn add_engines(&mut self, url: &str, state: &mut ClusterState) -> Result<(), CliError> {
        let (settings, place) = (self.settings, self.place);
        let has = |state: &ClusterState, host: Option<&str>| {
            let mut groups = state.engines.iter();
            groups.any(|group| group.host.as_deref() == host)
        };
        let viewer = connect(place, url, Role::Viewer)?;
        let mut before = Vec::new();
        if !settings.hosts.is_empty() {
            let found = overview(&viewer).map_err(|error| profile::unanswered(error, url))?;
            before.extend(found.processes.into_iter().map(|process| process.id));
        }
        let engine = &settings.engine;
        let mut joining = Vec::new();
        for host in &settings.hosts {
            if !has(state, Some(&host.host)) {
                let port = port_of(url).unwrap_or_default();
                let started =
                    engines::start_on(host, place, port, engine, self.began, |process| {
                        with_group(state, process, host.engines, Some(host))
                    })?;
                joining.push((host, started));
            }
        }
        if settings.engines > 0 && !has(state, None) {
            self.add_engines_here(url, state)?;
        }
        for (host, mut started) in joining {
            engines::await_joined(
                host,
                &mut started,
                &before,
                &viewer,
                self.deadline,
                self.signals,
            )?;
            self.report += &format!(
                "{} joined from {}\n",
                counted(host.engines.into(), "engine"),
                host.host
            );
        }
        self.began.record(state)
    }

    fn add_engines_here(&mut self, url: &str, state: &mut ClusterState) -> Result<(), CliError> {
        let count = self.settings.engines;
        let mut started = engines::start(
            self.place,
            url,
            count,
            &self.settings.engine,
            self.began,
            |process| with_group(state, process, count, None),
        )?;
        engines::await_ready(self.place, &mut started, self.deadline, self.signals)?;
        self.report += &format!(
            "{} joined (pid {}); log: {}\n",
            counted(count.into(), "engine"),
            started.child.id(),
            started.log.path().display()
        );
        Ok(())
    }

    /// What is said where nothing had to be started.
    fn already(&self, state: &ClusterState, url: &str) -> Result<String, CliError> {
        let viewer = connect(self.place, url, Role::Viewer)?;
        let found = overview(&viewer).map_err(|error| profile::unanswered(error, url))?;
        let mut report = format!(
            "the cluster `{}` is already running, with {}\n",
            self.place.name(),
            counted(engines_of(&found, |_| true).into(), "engine")
        );
        if self.settings.changes_engines {
            report += "its engines keep their lanes, labels, policy, boundary and health address until they stop\n";
        }
        let here = |process: &Process| {
            let groups = state.engines.iter().filter(|group| group.host.is_none());
            groups
                .map(|group| group.process.pid)
                .any(|pid| pid == process.pid)
        };
        if self.settings.says_engines && self.settings.engines > engines_of(&found, here) {
            report += &format!(
                "add engines with `rwasm-cluster engine join {url} --key {}`\n",
                self.place.key(Role::Engine).display()
            );
        }
        Ok(report)
    }
}

/// The state with a further group of engines, which is put into it.
fn with_group(
    state: &mut ClusterState,
    process: Mark,
    engines: u32,
    host: Option<&HostArgument>,
) -> ClusterState {
    state.engines.push(EngineGroup {
        process,
        engines,
        host: host.map(|host| host.host.clone()),
    });
    state.clone()
}

/// Refuses what a server that runs cannot become.
fn check_same(settings: &StartSettings, place: &ClusterDir, url: &str) -> Result<(), CliError> {
    let asked = &settings.asked;
    let what = if asked.port.is_some_and(|port| port_of(url) != Some(port)) {
        "on another port"
    } else if asked.store.is_some() && settings.store.map(ByteSize::bytes) != place.kept().store {
        "with another store size"
    } else {
        return Ok(());
    };
    Err(CliError::Wrong {
        message: format!("the cluster `{}` is already running at {url}", place.name()),
        hint: format!("stop it first to start it {what}"),
    })
}

/// Makes the streams; the server may need a moment to have read what it had.
fn make_streams(settings: &StartSettings, place: &ClusterDir, url: &str) -> Result<(), CliError> {
    let admin = connect(place, url, Role::Admin)?.timeout(settings.within);
    let store = place.kept().store.unwrap_or(STORE);
    let mut assets = AssetSettings::default();
    assets.lanes.clone_from(&settings.engine.lanes);
    assets.max_bytes = Some(i64::try_from(store / PARTS).unwrap_or(i64::MAX));
    assets.keep = settings.keep;
    // What somebody asks for is to hold for streams that were there, too.
    assets.change = settings.keep.is_some() || settings.store.is_some();
    set_up(&admin, &assets).map_err(|error| profile::unanswered(error, url))?;
    Ok(())
}

/// How to reach a server of this machine in a role.
fn connect(place: &ClusterDir, url: &str, role: Role) -> Result<ConnectSettings, CliError> {
    let key = Key::read(&place.key(role)).map_err(CliError::Key)?;
    Ok(ConnectSettings::new(url).key(key))
}

/// How much the server may store: as was said, else as before, else half of what is free.
fn store_size(settings: &StartSettings, place: &ClusterDir, kept: &Kept) -> Result<u64, CliError> {
    let size = match (settings.store, kept.store) {
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
