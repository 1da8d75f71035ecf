//! `rwasm-cluster engine`: engines of a cluster.

use crate::args::{
    DrainArguments, EngineCommand, IdentityOptions, JoinArguments, Loudness, check_engines,
};
use crate::cluster::{self, BoundedLog, profile};
use crate::environment::allocator;
use crate::environment::compiler;
use crate::environment::signals::Signals;
use crate::exit::CliError;
use crate::output::messages::note;
use crate::output::results;
use crate::pipeline::output::unserved_page;
use crate::text::counted;
use rwasm_cluster::aside::Aside;
use rwasm_cluster::join::{Drain, EnginePolicy, JoinSettings, ServedCluster, join};
use rwasm_cluster::nats::{Key, Role};
use rwasm_cluster::plain;
use rwasm_cluster::{Boundary, BoundaryKind, Cluster, Dashboard, EngineError, EngineId};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

/// The most bytes of an event in the log.
const LONGEST_EVENT: usize = 4 << 10;

/// Does what was asked.
pub(crate) fn engine(command: &EngineCommand, signals: &Signals) -> Result<(), CliError> {
    match command {
        EngineCommand::Join(arguments) => run(arguments, signals),
        EngineCommand::List(arguments) => cluster::list(arguments),
        EngineCommand::Drain(arguments) => let_go(arguments),
    }
}

/// Asks the processes of engines to let them go.
fn let_go(arguments: &DrainArguments) -> Result<(), CliError> {
    let connect = profile::remote_always(&arguments.remote, Role::Client)?;
    let cluster = Cluster::builder().connect(connect).start();
    let cluster = cluster.map_err(CliError::Start)?;
    let refused = |error: &EngineError| CliError::Wrong {
        message: error.to_string(),
        hint: "`rwasm-cluster engine list` lists the engines".to_owned(),
    };
    let ids: BTreeSet<u32> = arguments.ids.iter().copied().collect();
    // All of them or none.
    let engines = cluster.engines();
    if let Some(unknown) = ids.iter().find(|id| !engines.contains(&EngineId(**id))) {
        let engine = EngineId(*unknown);
        return Err(refused(&EngineError::Unknown { engine, engines }));
    }
    for id in ids {
        cluster
            .remove_engine(EngineId(id))
            .map_err(|error| refused(&error))?;
        if !arguments.loudness.quiet {
            note(&format!("engine {id} is draining"));
        }
    }
    Ok(())
}

/// Has what the library says of its work written to stderr, for whoever keeps a log of this process.
fn log(loudness: &Loudness, file: Option<&Path>) {
    let level = match (loudness.quiet, loudness.verbose) {
        (true, _) => LevelFilter::WARN,
        (_, true) => LevelFilter::DEBUG,
        _ => LevelFilter::INFO,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(match file {
            Some(file) => BoxMakeWriter::new(Mutex::new(InLines(BoundedLog::new(file)))),
            None => BoxMakeWriter::new(|| InLines(std::io::stderr())),
        })
        .with_ansi(false)
        .with_target(false);
    // What other libraries say is theirs.
    let ours = Targets::new().with_target("rwasm_cluster", level);
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(ours));
    // Somebody else may have asked for it before.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Writes each event of the log, which comes in one piece, as one line: parts of it may be from a server or a guest.
struct InLines<W>(W);

impl<W: Write> Write for InLines<W> {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = plain::in_line(text.strip_suffix('\n').unwrap_or(&text));
        let line = plain::shortened(line, LONGEST_EVENT);
        // At once, so that a log is put aside between lines.
        self.0.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

fn run(arguments: &JoinArguments, signals: &Signals) -> Result<(), CliError> {
    check_engines(arguments.engines)?;
    allocator::give_back_what_is_free();
    log(&arguments.loudness, arguments.stderr_log.as_deref());
    if let Some(path) = &arguments.ready_file {
        // Whoever waits for the file would do so for ever.
        Aside::beside(path).map_err(|source| unwritable(path, source))?;
    }
    let clusters = served(arguments)?;
    let mut settings = JoinSettings::new(clusters);
    settings.engines = arguments.engines;
    settings.compiler = compiler::compiler();
    settings.cache_dir = match &arguments.cache_dir {
        Some(dir) if dir.as_os_str().is_empty() => None,
        Some(dir) => Some(dir.clone()),
        None => compiler::cache_dir(),
    };
    if !arguments.lanes.is_empty() {
        settings.lanes.clone_from(&arguments.lanes);
    }
    let labels = arguments.labels.iter();
    settings.labels = labels
        .map(|label| (label.name.clone(), label.value.clone()))
        .collect();
    if let Some(path) = &arguments.policy {
        settings.policy = EnginePolicy::read(path).map_err(CliError::Policy)?;
    }
    let kind = BoundaryKind::from(arguments.boundary).max(settings.policy.boundary());
    settings.boundary = Boundary::new(kind, compiler::own());
    settings.drain_timeout = arguments.drain_timeout;
    settings.exit_when_idle = arguments.exit_when_idle;
    settings.health = arguments.health;
    if let Some(address) = arguments.dashboard {
        let dashboard = Dashboard::start(address).map_err(unserved_page)?;
        note(&format!("dashboard: {}", dashboard.url()));
        settings = settings.observe(dashboard);
    }
    let drain = Drain::default();
    signals.watch_patiently({
        let drain = drain.clone();
        let quiet = arguments.loudness.quiet;
        move || {
            if !quiet {
                note("draining: running tasks finish, other tasks go back to the cluster; a second signal exits at once");
            }
            drain.begin();
        }
    });
    let report = join(settings, &drain, |engines| {
        if let Some(path) = &arguments.ready_file
            && let Err(error) = write_ready_file(path, engines)
        {
            note(&format!("cannot write `{}`: {error}", plain::path(path)));
        }
        if !arguments.loudness.quiet {
            let ids: Vec<String> = engines.iter().map(ToString::to_string).collect();
            note(&format!("joined with engines {}", ids.join(", ")));
        }
    })
    .map_err(|error| CliError::Join(Box::new(error)))?;
    if !arguments.loudness.quiet {
        note(&format!(
            "left: {} done, {} of them failed, {} returned",
            counted(report.done, "task"),
            report.failed,
            counted(report.given_back, "dispatch")
        ));
    }
    Ok(())
}

/// The clusters to join: that of the key, or those of the tenants.
fn served(arguments: &JoinArguments) -> Result<Vec<ServedCluster>, CliError> {
    let url = arguments.url.as_deref();
    if arguments.tenants.is_empty() {
        let mut connect = profile::at_or_running(url, &arguments.identity, Role::Engine)?;
        if arguments.tethered {
            let key = cluster::held().map_err(|error| CliError::Gone {
                message: format!("cannot read the key from stdin: {error}"),
                hint: "name the file of the key with --key".to_owned(),
            })?;
            connect = connect.key(key);
        }
        return Ok(vec![ServedCluster::new(connect)]);
    }
    let mut seen = BTreeSet::new();
    let tenants = arguments.tenants.iter().map(|(path, weight)| {
        let identity = IdentityOptions {
            key: Some(path.clone()),
            ..arguments.identity.clone()
        };
        let connect = profile::at_or_running(url, &identity, Role::Engine)?;
        let key = connect.key.as_ref();
        let role = key.map_or(Role::Engine, Key::role);
        if !matches!(role, Role::Engine | Role::Admin) {
            return Err(CliError::Wrong {
                message: format!(
                    "`{}` is a {role} key, with which no engine can join",
                    plain::path(path)
                ),
                hint: "name the engine key of the tenant".to_owned(),
            });
        }
        if !seen.insert(key.map(Key::public_key)) {
            return Err(CliError::Wrong {
                message: format!("`{}` is named twice", plain::path(path)),
                hint: "name each tenant once, and give it a weight: --tenant red.key=2".to_owned(),
            });
        }
        let served = ServedCluster::new(connect).weight(*weight);
        Ok(served.name(plain::path(path)))
    });
    tenants.collect()
}

fn unwritable(path: &Path, source: std::io::Error) -> CliError {
    CliError::Output {
        what: format!("`{}`", plain::path(path)),
        source: results::plain(source),
    }
}

/// Written aside and renamed, so that whoever waits for it reads all of it. It is about processes that do not outlive the
/// machine's failing, so it need not either.
fn write_ready_file(path: &Path, engines: &[EngineId]) -> std::io::Result<()> {
    let mut file = Aside::beside(path)?;
    for engine in engines {
        writeln!(file, "{engine}")?;
    }
    file.complete_unsynced()
}
