//! `rwasm-cluster`: the program. It reads aloud as a task's way does: arguments, cluster, module,
//! view, job, merge, output.

mod args;
mod build;
mod cache;
mod call;
#[cfg(feature = "nats")]
mod cluster;
mod compiler;
mod config;
#[cfg(feature = "nats")]
mod detach;
#[cfg(feature = "nats")]
mod engine;
mod exit;
mod failed;
mod grants;
mod history;
#[cfg(feature = "nats")]
mod init;
mod inspect;
mod job;
#[cfg(feature = "nats")]
mod keys;
mod manual;
mod map;
mod new;
mod output;
mod panics;
mod places;
#[cfg(feature = "nats")]
mod profile;
mod progress;
mod report;
mod run;
#[cfg(feature = "nats")]
mod server_config;
mod setup;
mod signals;
mod stats;
mod tell;
mod template;
mod test;
mod told;

use args::{Arguments, Command};
use config::ProjectFile;
use signals::Signals;
use std::process::ExitCode;

fn main() -> ExitCode {
    panics::contained(program)
}

fn program() -> ExitCode {
    // One that compiles a module for a cluster heeds neither signals nor settings.
    if let Some(ended) = compiler::serve() {
        return ended;
    }
    #[cfg(feature = "nats")]
    if let Some(ended) = cluster::serve() {
        return ended;
    }
    let signals = Signals::listen();
    let arguments = match ProjectFile::find().and_then(|file| Arguments::parse_with(&file)) {
        Ok(arguments) => arguments,
        Err(error) => return error.report(false),
    };
    let verbose = arguments.verbose();
    let ended = match arguments.command {
        Command::New(new) => new::new(&new),
        Command::Build(build) => build::build(&build, &signals),
        Command::Test(test) => test::test(&test, &signals),
        Command::Run(run) => run::run(&run, &signals),
        Command::Call(call) => call::call(&call, &signals),
        Command::Map(map) => map::map(&map, &signals),
        Command::Job(job) => job::job(&job.command, &signals),
        Command::Cache(cache) => cache::cache(&cache.command),
        #[cfg(feature = "nats")]
        Command::Start(start) => cluster::start(&start, &signals),
        #[cfg(feature = "nats")]
        Command::Status(status) => cluster::status(&status),
        #[cfg(feature = "nats")]
        Command::Stop(stop) => cluster::stop(&stop),
        #[cfg(feature = "nats")]
        Command::Engine(engine) => engine::engine(&engine.command, &signals),
        Command::Inspect(inspect) => inspect::inspect(&inspect),
        #[cfg(feature = "nats")]
        Command::Keys(keys) => keys::keys(&keys),
        #[cfg(feature = "nats")]
        Command::ServerConfig(config) => server_config::server_config(&config),
        #[cfg(feature = "nats")]
        Command::Init(init) => init::init(&init),
        Command::Completions(completions) => manual::completions(&completions),
        Command::Man(man) => manual::man(&man),
        Command::Version => manual::version(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(verbose),
    }
}
