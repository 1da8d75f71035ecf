//! `rwasm-cluster`: the program. Its folders stand in the order in which they import each other: each only those below it.
//!
//! The commands come first. Those that run tasks share the pipeline from settings by cluster and job to output; it and they may
//! use the clusters of this machine. Then come what is written, the arguments and what surrounds the program. Last are the
//! exit, with the errors of all of them, and the text that it is made of.

mod commands;

mod pipeline;

#[cfg(feature = "nats")]
mod cluster;

mod output;

mod args;

mod environment;

mod exit;

mod text;

use args::{Arguments, Command};
use environment::config::ProjectFile;
use environment::signals::Signals;
use environment::{compiler, files, panics};
use std::process::ExitCode;

fn main() -> ExitCode {
    panics::contained(program)
}

fn program() -> ExitCode {
    // One that compiles a module for a cluster heeds neither signals nor settings.
    if let Some(ended) = compiler::serve() {
        return ended;
    }
    #[cfg(target_os = "linux")]
    if let Some(ended) = rwasm_cluster::task_worker(std::env::args_os().skip(1)) {
        return ended;
    }
    #[cfg(feature = "nats")]
    if let Some(ended) = cluster::serve() {
        return ended;
    }
    files::allow();
    let signals = Signals::listen();
    let file = if args::are_configured() {
        match ProjectFile::find() {
            Err(_) if args::asks_for_help() => Ok(ProjectFile::default()),
            file => file,
        }
    } else {
        Ok(ProjectFile::default())
    };
    let arguments = match file.and_then(|file| Arguments::parse_with(&file)) {
        Ok(arguments) => arguments,
        Err(error) => return error.report(false),
    };
    let verbose = arguments.verbose();
    let ended = match arguments.command {
        Command::New(new) => commands::new(&new),
        Command::Build(build) => commands::build(&build, &signals),
        Command::Test(test) => commands::test(&test, &signals),
        Command::Run(run) => commands::run(&run, &signals),
        Command::Call(call) => commands::call(&call, &signals),
        Command::Map(map) => commands::map(&map, &signals),
        Command::Job(job) => commands::job(&job.command, &signals),
        Command::Cache(cache) => commands::cache(&cache.command),
        Command::Doctor(doctor) => commands::doctor(&doctor),
        #[cfg(feature = "nats")]
        Command::Start(start) => cluster::start(&start, &signals),
        #[cfg(feature = "nats")]
        Command::Status(status) => cluster::status(&status),
        #[cfg(feature = "nats")]
        Command::Stop(stop) => cluster::stop(&stop),
        #[cfg(feature = "nats")]
        Command::Engine(engine) => commands::engine(&engine.command, &signals),
        Command::Inspect(inspect) => commands::inspect(&inspect),
        #[cfg(feature = "nats")]
        Command::Keys(keys) => commands::keys(&keys),
        #[cfg(feature = "nats")]
        Command::ServerConfig(config) => commands::server_config(&config),
        #[cfg(feature = "nats")]
        Command::Init(init) => commands::init(&init),
        Command::Completions(completions) => commands::completions(&completions),
        Command::Man(man) => commands::man(&man),
        Command::Version => commands::version(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(verbose),
    }
}
