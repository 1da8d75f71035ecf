//! The way that `run`, `call` and `map` share: arguments → settings → cluster → job → output.
//!
//! Each of these nouns is a type with one constructor. A command brings its [`Plan`]: what differs between commands is
//! there, and what is the same is here.

mod settings;

mod boundary;
pub(crate) mod grants;
pub(crate) mod history;
mod limits;
mod module;

mod cluster;
mod elements;
mod inputs;
mod job;
pub(crate) mod output;
#[cfg(feature = "nats")]
mod store;

pub(crate) use boundary::BoundaryWatch;
pub(crate) use cluster::{RunningCluster, warn_of_shortages};
pub(crate) use elements::{EitherJob, RunningElements, element_type};
pub(crate) use inputs::{InputFiles, reading};
pub(crate) use job::{Ended, Plan, Progress, RunningJob, Wording};
pub(crate) use limits::limits;
pub(crate) use module::{function, is_stdin, read_module, read_script, result_type, scripted};
pub(crate) use settings::Settings;
#[cfg(feature = "nats")]
pub(crate) use store::durable;

use crate::args::StderrShown;
use crate::environment::signals::Signals;
use crate::exit::CliError;
use crate::output::messages::warn;
use crate::output::report::Report;
use job::WatchedJob;
use output::Outputs;
use settings::JobPlace;

/// How stdin is written where a file is wanted.
pub(crate) const STDIN: &str = "-";

/// What stdin is called in messages.
pub(crate) const STDIN_NAME: &str = "<stdin>";

/// Runs a job and writes what comes of it; one that is durable is stored instead, and goes on by itself.
pub(crate) fn carry_out<P: Plan>(
    plan: P,
    settings: Settings,
    signals: &Signals,
) -> Result<(), CliError> {
    let Settings {
        place,
        output,
        mut steps,
        ..
    } = settings;
    #[cfg_attr(
        not(feature = "nats"),
        expect(
            clippy::infallible_destructuring_match,
            reason = "a job is stored with clusters over NATS alone"
        )
    )]
    let cluster = match place {
        JobPlace::Attended(cluster) => cluster,
        #[cfg(feature = "nats")]
        JobPlace::Stored(store) => return store.keep(plan),
    };
    let subject = plan.subject();
    let outputs = Outputs::open(&output, &subject, cluster.are_here())?;
    steps.done("module read");

    let mut settings = *cluster;
    if let Some(trace) = &outputs.trace {
        settings = settings.observed_by(trace.clone());
    }
    if let Some(board) = outputs.report.as_ref().and_then(Report::board) {
        settings = settings.observed_by(board.clone());
    }
    if let Some(dashboard) = &outputs.dashboard {
        settings = settings.observed_by(dashboard.clone());
    }
    let mut cluster = RunningCluster::start(settings, signals)?;
    steps.done("engines started");

    let job = WatchedJob::begin(plan, &cluster, &output, signals)?;
    steps.done(P::WORDING.begun);

    let Ended { summary, ending } = job.print(outputs.results, &cluster);
    let ending = cluster.settle(ending, signals);
    steps.done(P::WORDING.ended);

    if ending.is_ok() {
        summary.warn();
        if output.stderr == StderrShown::Summary {
            summary.print_stderr();
        }
        if output.shows_stats {
            summary.print_stats(P::WORDING.piece);
        }
    }
    let reported = match outputs.report {
        Some(report) => report.write(&subject, &cluster, &summary, ending.as_ref().err()),
        None => Ok(()),
    };
    let traced = match outputs.trace {
        Some(trace) => trace.finish().map(drop).map_err(output::unwritable),
        None => Ok(()),
    };
    first_of([ending, reported, traced])
}

/// The first of what went wrong, which ends the program; of the others it is warned.
fn first_of(results: impl IntoIterator<Item = Result<(), CliError>>) -> Result<(), CliError> {
    let mut errors = results.into_iter().filter_map(Result::err);
    let first = errors.next();
    for error in errors {
        warn(&error.message());
    }
    first.map_or(Ok(()), Err)
}
