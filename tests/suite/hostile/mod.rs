//! Guests that try to break what they run in: each ends as one failed task with the right code, or is refused, and
//! nothing else is touched.
//!
//! `catalogue` says for every guest what must become of it, and here is what holds for all of them: it is over within
//! its limit, its message is short and plain, good tasks beside it and after it are right, and what it took comes
//! back. Each runs in a process of its own.

mod catalogue;
mod command_line;
mod commands;
mod damaged;
mod made;
mod mix;
mod pool;
mod sharing;

use crate::support::{
    command_component, held, is_alone_with, memory, scratch, target, threads, until,
};
use catalogue::{Case, ELSEWHERE, Ended, Expected, Failed, Good, Loaded, ROWS, all, prepare, run};
use rwasm_cluster::{Cluster, EngineId, LoadError, Lowering, Module};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// A hostile task is over within its limit and this: a hundred times what it takes on an idle machine, for busy ones.
const GRACE: Duration = Duration::from_secs(10);

/// What a failure's message and its backtrace may have, each.
const TEXT: usize = 20 << 10;

/// What an allocator holds back for each thread, and of large pieces, is no leak, and would hide one.
const ALLOCATOR: [(&str, &str); 2] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
];

/// What a process may have more after a task than before: allocators keep some of what they had.
const KEPT: u64 = 16 * MIB;

include!(concat!(env!("OUT_DIR"), "/hostile.rs"));

macro_rules! tests {
    ([text] $($text:ident)* [program] $($program:ident)* [made] $($made:ident)*) => {
        /// One test for each guest, of its name.
        mod each {
            $(#[test] fn $text() { super::check(stringify!($text)); })*
            $(#[test] fn $program() { super::check(stringify!($program)); })*
            $(#[test] fn $made() { super::check(stringify!($made)); })*
        }
    };
}
for_each_hostile!(tests);

#[test]
fn every_row_has_a_guest() {
    let all = all();
    for (row, behaviour) in ROWS {
        let has = all.iter().any(|(_, case)| case.row == *row);
        let is_elsewhere = ELSEWHERE.iter().any(|(other, _)| other == row);
        assert!(has || is_elsewhere, "row {row} has no guest: {behaviour}");
    }
    for (guest, case) in &all {
        let is_row = ROWS.iter().any(|(row, _)| *row == case.row);
        assert!(is_row, "{}: there is no row {}", guest.name, case.row);
    }
}

const HOSTILE: EngineId = EngineId(0);
const BESIDE: EngineId = EngineId(1);

fn check(name: &str) {
    if !is_alone_with(&format!("hostile::each::{name}"), &ALLOCATOR) {
        return;
    }
    let found = all().into_iter().find(|(guest, _)| guest.name == name);
    let (guest, case) = found.expect("the guest is listed");
    let built = target().join("guests");
    for lowering in case.lowerings {
        check_by(&case, *lowering, || guest.load(&built));
    }
    if case.as_component {
        let component = || Module::from_bytes(guest.name, command_component(guest.name));
        check_by(&case, Lowering::Core, component);
    }
}

fn check_by(case: &Case, lowering: Lowering, load: impl FnOnce() -> Result<Module, LoadError>) {
    let cluster = Cluster::builder()
        .engines(2)
        .max_engines(2)
        .lowering(lowering)
        .cache_dir(scratch().join("compiled"))
        .start()
        .expect("a cluster starts");
    let built = target().join("guests");
    let good = Good::new(&built);
    for engine in [HOSTILE, BESIDE] {
        good.is_right_on(&cluster, engine);
    }
    let loaded = load().map_err(|error| error.to_string());
    let loaded = loaded.and_then(|module| prepare(&cluster, &module, case).map(|()| module));
    let module = match (loaded, &case.loaded) {
        (Ok(module), Loaded::Yes | Loaded::Either) => module,
        (Err(text), Loaded::Refused(parts)) => {
            expect_text(&text, parts);
            return good.is_right_on(&cluster, HOSTILE);
        }
        (Err(text), Loaded::Either) => {
            expect_text(&text, &[]);
            return good.is_right_on(&cluster, HOSTILE);
        }
        (Err(text), Loaded::Yes) => panic!("it should be loaded, but: {text}"),
        (Ok(_), Loaded::Refused(_)) => panic!("it should be refused"),
    };
    let round = || {
        let mut beside = || good.is_right_on(&cluster, BESIDE);
        let ended = run(&cluster, &module, case, HOSTILE, Some(&mut beside));
        good.is_right_on(&cluster, HOSTILE);
        good.is_right_on(&cluster, BESIDE);
        for (step, ended) in case.steps.iter().zip(ended) {
            expect_end(case, &step.expected, ended);
        }
    };
    round();
    until("the threads of jobs have ended", || {
        !threads().iter().any(|thread| is_of_a_job(thread))
    });
    let (before, resident, most) = (held(), memory("VmRSS"), memory("VmHWM"));
    round();
    // A file of the first round may have been open still when it was counted.
    until("there are no more threads and files than before", || {
        let (threads, files) = held();
        threads <= before.0 && files <= before.1
    });
    let after = memory("VmRSS");
    assert!(
        after < resident + KEPT,
        "{} MiB more than before it ran",
        (after - resident) / MIB
    );
    let own = case.limits.memory.bytes() + 4 * case.limits.output.bytes() + 2 * KEPT;
    let peak = memory("VmHWM");
    assert!(
        peak <= most.max(resident + own),
        "the host took {} MiB for it",
        (peak - resident) / MIB
    );
}

fn is_of_a_job(thread: &str) -> bool {
    ["rwasm-job", "rwasm-reader"]
        .iter()
        .any(|name| thread.starts_with(name))
}

#[track_caller]
fn expect_end(case: &Case, expected: &Expected, ended: Ended) {
    match (expected, ended.result) {
        (Expected::Value(wanted), Ok(found)) => assert_eq!(found, *wanted),
        (Expected::Success, Ok(_)) => {}
        (Expected::Failure(code, parts), Err(Failed::Task(failure))) => {
            assert_eq!(failure.code, *code, "{failure}");
            expect_text(&failure.message, parts);
            if let Some(backtrace) = &failure.backtrace {
                expect_text(backtrace, &[]);
            }
        }
        (Expected::Impossible(parts), Err(Failed::Refused(text))) => expect_text(&text, parts),
        (expected, Ok(found)) => panic!("{expected:?} was expected, it gave {found:.200}"),
        (expected, Err(Failed::Task(failure))) => {
            panic!("{expected:?} was expected, not {}: {failure}", failure.code)
        }
        (expected, Err(Failed::Refused(text))) => panic!("{expected:?} was expected: {text}"),
    }
    let (time, limit) = (ended.elapsed, case.limits.time);
    assert!(
        time <= limit + GRACE,
        "it took {time:?}, its limit is {limit:?}"
    );
    let (peak, limit) = (ended.peak_memory, case.limits.memory.bytes());
    assert!(peak <= limit, "it took {peak} bytes, its limit is {limit}");
    let (kept, limit) = (ended.stderr.kept.len() as u64, case.limits.logs.bytes());
    assert!(kept <= limit, "{kept} bytes are kept, the limit is {limit}");
}

/// What people are told is short, and plain text, with these parts.
#[track_caller]
fn expect_text(text: &str, parts: &[&str]) {
    let shown: String = text.chars().take(400).collect();
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {shown}");
    }
    assert!(text.len() <= TEXT, "{} bytes: {shown}", text.len());
    let is_plain = |letter: char| !letter.is_control() || letter == '\n' || letter == '\t';
    assert!(text.chars().all(is_plain), "control characters: {shown:?}");
}
