//! Guests that abuse the directories they were granted: `/data`, which they may write, and `/read`, which they may
//! only read. Each is run as it is, by preview 1, and as a component, by preview 2.

use super::Case;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rwasm_cluster::{Access, ByteSize, FailureCode, Grants};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

pub(super) fn leaves_by_paths() -> Case {
    granted(40).run().gives("")
}

pub(super) fn asks_for_raw_paths() -> Case {
    Case::row(40).granted(directories).run().gives("")
}

pub(super) fn renumbers_files() -> Case {
    Case::row(43).granted(directories).run().gives("")
}

pub(super) fn leaves_by_links() -> Case {
    granted(41).run().gives("")
}

pub(super) fn changes_what_it_may_read() -> Case {
    granted(41).run().gives("")
}

pub(super) fn fills_the_disk() -> Case {
    let case = granted(42).written(ByteSize::mib(1));
    let case = case.afterwards(|dir| assert!(bytes(&dir.join("data")) <= 1 << 20));
    case.run().fails(
        FailureCode::OutputLimit,
        &["limit of 1MiB", "`Limits::written`"],
    )
}

pub(super) fn streams_into_files() -> Case {
    /// One more than the places of the cases in WASI's list of errors.
    const NO_SPACE: &str = "23";
    const NOT_PERMITTED: &str = "31";
    let case = Case::row(42).granted(directories).files(100);
    let case = case.written(ByteSize::mib(1)).afterwards(|dir| {
        // What each of two tasks may write, and what was there.
        assert!(bytes(&dir.join("data")) <= (2 << 20) + "own".len() as u64);
        assert!(entries(&dir.join("data")) <= 101 + PRESENT);
        expect_untouched(dir);
    });
    let case = case.call("fill", "").gives(NO_SPACE);
    let case = case.call("append", "").gives(NO_SPACE);
    let case = case.call("grow", "").gives(NO_SPACE);
    let case = case.call("fill-what-it-may-read", "").gives(NOT_PERMITTED);
    case.call("make", "").gives(NO_SPACE)
}

pub(super) fn makes_sparse_files() -> Case {
    let case = granted(42).written(ByteSize::mib(8));
    case.run().gives("small\n")
}

pub(super) fn makes_files_without_end() -> Case {
    let case = granted(42).files(100);
    let case = case.afterwards(|dir| assert!(entries(&dir.join("data")) <= 100 + PRESENT));
    case.run().fails(
        FailureCode::OutputLimit,
        &["limit of 100 files", "`Limits::files`"],
    )
}

pub(super) fn opens_granted_without_end() -> Case {
    granted(43).handles(64).run().fails(
        FailureCode::MemoryLimit,
        &["64 handles", "`Limits::handles`"],
    )
}

pub(super) fn waits_at_a_pipe() -> Case {
    granted(43).run().gives("")
}

/// How many entries there are in `/data` before.
const PRESENT: usize = 8;

fn granted(row: u8) -> Case {
    Case::row(row).granted(directories).too_as_component()
}

/// The two directories, one beside them that was not granted, and links from the first to all others.
fn directories() -> (TempDir, Grants) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let at = |path: &str| dir.path().join(path);
    for path in ["data/inner", "read/inner", "outside"] {
        fs::create_dir_all(at(path)).expect("it can be made");
    }
    for path in ["data/own", "read/kept", "outside/secret"] {
        let name = at(path);
        let text = name.file_name().expect("it has a name");
        fs::write(&name, text.as_encoded_bytes()).expect("it can be written");
    }
    for (path, to) in [
        ("data/to-outside", "../outside"),
        ("data/to-secret", "../outside/secret"),
        ("data/to-etc", "/etc"),
        ("data/to-kept", "../read/kept"),
        ("data/to-pipe", "pipe"),
    ] {
        symlink(to, at(path)).expect("a link can be made");
    }
    for path in ["data/pipe", "read/pipe"] {
        mknodat(CWD, at(path), FileType::Fifo, Mode::RWXU, 0).expect("a pipe can be made");
    }
    let grants = Grants::none()
        .dir(at("data"), "/data", Access::ReadWrite)
        .dir(at("read"), "/read", Access::ReadOnly);
    (dir, grants)
}

/// What was not granted, or only to be read, is as it was.
pub(super) fn expect_untouched(dir: &Path) {
    let text = |path: &str| fs::read_to_string(dir.join(path)).expect("it is there");
    assert_eq!(text("outside/secret"), "secret");
    assert_eq!(text("read/kept"), "kept");
    assert_eq!(entries(&dir.join("outside")), 1);
    assert_eq!(entries(&dir.join("read")), 3);
    assert_eq!(entries(&dir.join("read/inner")), 0);
}

/// How many entries there are in a directory and those within.
fn entries(dir: &Path) -> usize {
    let within = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => 1 + entries(&entry.path()),
        _ => 1,
    };
    listed(dir).map(within).sum()
}

/// How many bytes the files in a directory have.
fn bytes(dir: &Path) -> u64 {
    listed(dir)
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|found| found.len())
        .sum()
}

fn listed(dir: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(dir)
        .expect("it can be listed")
        .map(|entry| entry.expect("it can be listed"))
}
