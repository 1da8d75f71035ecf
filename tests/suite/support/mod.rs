//! What tests of every feature need: the program as a child process, the guests, texts with their word counts, and a
//! cluster in this process.

mod allocated;
mod calls;
mod cli;
mod guests;
mod library;
mod nats;
pub(crate) mod over;
mod process;
mod text;
mod typed;

pub(crate) use allocated::allocated;
pub(crate) use calls::{
    LONG, Numbers, SOON, code, events_until, held, is_alone, is_alone_with, numbers, occupy,
    running, soon, until,
};
pub(crate) use cli::{Cli, Ended, call, inspect, interrupt_after_a_line, map, program, run, wait};
pub(crate) use guests::{command_component, component, guest, module, wat};
pub(crate) use library::{bounded, cluster, finish, number, one_line_each, shown, spec};
pub(crate) use nats::{Server, Servers, free_port, nats_server};
pub(crate) use over::{
    boundary, granted, is_over_nats, is_whole, only_here, only_in_threads, refused_by_engine,
};
pub(crate) use process::{memory, memory_of, open_files, threads};
pub(crate) use text::{Prng, Text, word_count};
pub(crate) use typed::{componentized, typed, typed_alone};

use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A fresh directory that goes when the test ends.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

/// A file of that name and content in `dir`.
pub(crate) fn file(dir: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).expect("a temporary file can be written");
    path
}

/// The books of the project's corpus, which this repository does not contain; none where it is not beside it.
pub(crate) fn corpus() -> Option<PathBuf> {
    let corpus = workspace().join("../shared/corpus");
    if corpus.join("both.counts.tsv").is_file() {
        return Some(corpus);
    }
    #[expect(
        clippy::print_stdout,
        reason = "whoever reads the tests' output wants to know"
    )]
    {
        println!("skipped: there are no books in {}", corpus.display());
    }
    None
}

/// The root of this repository.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the package lies in the workspace")
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> &'static Path {
    scratch().parent().expect("it is a directory in target")
}

/// A directory for what tests may leave behind.
pub(crate) fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}
