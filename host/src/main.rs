//! `rwasm-cluster`: the program. It reads aloud as a task's way does: arguments, cluster, module,
//! view, job, merge, output.

mod cli;

use cli::args::{Arguments, Command};
use cli::config::ProjectFile;
use cli::signals::Signals;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::panics::contained(program)
}

fn program() -> ExitCode {
    // One that compiles a module for a cluster heeds neither signals nor settings.
    if let Some(ended) = cli::compiler::serve() {
        return ended;
    }
    #[cfg(feature = "nats")]
    if let Some(ended) = cli::cluster::serve() {
        return ended;
    }
    let signals = Signals::listen();
    let arguments = match ProjectFile::find().and_then(|file| Arguments::parse_with(&file)) {
        Ok(arguments) => arguments,
        Err(error) => return error.report(false),
    };
    let verbose = arguments.verbose();
    let ended = match arguments.command {
        Command::New(new) => cli::new::new(&new),
        Command::Build(build) => cli::build::build(&build, &signals),
        Command::Test(test) => cli::test::test(&test, &signals),
        Command::Run(run) => cli::run::run(&run, &signals),
        Command::Call(call) => cli::call::call(&call, &signals),
        Command::Map(map) => cli::map::map(&map, &signals),
        Command::Job(job) => cli::job::job(&job.command, &signals),
        Command::Cache(cache) => cli::cache::cache(&cache.command),
        #[cfg(feature = "nats")]
        Command::Start(start) => cli::cluster::start(&start, &signals),
        #[cfg(feature = "nats")]
        Command::Status(status) => cli::cluster::status(&status),
        #[cfg(feature = "nats")]
        Command::Stop(stop) => cli::cluster::stop(&stop),
        #[cfg(feature = "nats")]
        Command::Engine(engine) => cli::engine::engine(&engine.command, &signals),
        Command::Inspect(inspect) => cli::inspect::inspect(&inspect),
        #[cfg(feature = "nats")]
        Command::Keys(keys) => cli::keys::keys(&keys),
        #[cfg(feature = "nats")]
        Command::ServerConfig(config) => cli::server_config::server_config(&config),
        #[cfg(feature = "nats")]
        Command::Init(init) => cli::init::init(&init),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(verbose),
    }
}
