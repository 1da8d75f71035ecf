//! Compiled code on disk: used by the next start, never trusted when it is damaged or open to others.

use crate::support::{Cli, file, folder, only_here, program, run};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const TEXT: &str = "one two two\n";
const COUNTS: &str = "two\t2\n";

fn with_cache(dir: &Path) -> Cli {
    run("wordcount")
        .env("RWASM_CACHE_DIR", dir)
        .typed("--engines 1")
        .stdin(TEXT)
}

/// The files of a cache, but for the locks of those who compile.
fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return vec![];
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.retain(|file| !is_lock(file));
    files.sort();
    files
}

fn is_lock(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(".lock-"))
}

/// A cache with one module in it: its directory and its only file.
fn filled() -> (TempDir, PathBuf, PathBuf) {
    let dir = folder();
    let cache = dir.path().join("a/new/place");
    assert_eq!(with_cache(&cache).output(), COUNTS);
    let [code] = files(&cache).try_into().expect("one module makes one file");
    (dir, cache, code)
}

#[test]
fn the_next_start_uses_what_the_first_one_compiled() {
    if only_here("engines compile, and keep what they compiled") {
        return;
    }
    let (_dir, cache, code) = filled();
    let mode = fs::metadata(&cache)
        .expect("the cache")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700, "what is in it runs as native code");
    let first = fs::metadata(&code).expect("the file");
    assert_eq!(with_cache(&cache).output(), COUNTS);
    assert_eq!(files(&cache), std::slice::from_ref(&code));
    let second = fs::metadata(&code).expect("the file");
    assert_eq!(first.ino(), second.ino(), "it was not written again");

    // Other settings of the compiler are other code.
    assert_eq!(
        with_cache(&cache).typed("--fuel 1000000000").output(),
        COUNTS
    );
    assert_eq!(files(&cache).len(), 2);
}

#[test]
fn a_damaged_file_is_replaced() {
    if only_here("engines compile, and keep what they compiled") {
        return;
    }
    let (_dir, cache, code) = filled();
    let good = fs::read(&code).expect("the file can be read");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let mut longer = good.clone();
    longer.push(0);
    let damaged: [&[u8]; 6] = [
        &flipped,
        &good[..good.len() / 2],
        b"",
        b"no code at all",
        &longer,
        &good[1..],
    ];
    for (number, bytes) in damaged.into_iter().enumerate() {
        fs::write(&code, bytes).expect("the file can be written");
        with_cache(&cache)
            .end()
            .expect_code(0)
            .expect_stdout(COUNTS)
            .expect_stderr_is_empty();
        assert_eq!(
            files(&cache),
            std::slice::from_ref(&code),
            "damage {number}"
        );
        assert_eq!(
            fs::read(&code).expect("the file").len(),
            good.len(),
            "damage {number}"
        );
        let inode = fs::metadata(&code).expect("the file").ino();
        assert_eq!(with_cache(&cache).output(), COUNTS);
        assert_eq!(
            fs::metadata(&code).expect("the file").ino(),
            inode,
            "damage {number}: it is good again"
        );
    }
}

#[test]
fn a_directory_that_others_may_write_is_not_used() {
    let dir = folder();
    for mode in [0o777, 0o720, 0o702] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode))
            .expect("permissions can be set");
        assert_eq!(with_cache(dir.path()).output(), COUNTS);
        assert_eq!(files(dir.path()), Vec::<PathBuf>::new(), "{mode:o}");
    }
}

#[test]
fn without_a_place_for_it_everything_still_works() {
    if only_here("engines compile, and keep what they compiled") {
        return;
    }
    let dir = folder();
    let occupied = dir.path().join("file");
    fs::write(&occupied, "not a directory").expect("the file can be written");
    for place in [occupied.as_path(), Path::new("/proc/no/such/place")] {
        let ended = with_cache(place).end().expect_code(0);
        let warning = "warning: compiled modules are not kept: cannot use the cache";
        ended.expect_stdout(COUNTS).expect_stderr_has(&[warning]);
    }
    let ended = with_cache(Path::new("")).end().expect_code(0);
    ended.expect_stdout(COUNTS).expect_stderr_is_empty();
    // A directory in the way of a file.
    let (_dir, cache, code) = filled();
    fs::remove_file(&code).expect("the file can be removed");
    fs::create_dir(&code).expect("a directory can be made");
    assert_eq!(with_cache(&cache).output(), COUNTS);
}

#[test]
fn many_processes_may_begin_with_the_same_empty_cache() {
    if only_here("engines compile, and keep what they compiled") {
        return;
    }
    let dir = folder();
    let cache = dir.path().join("cache");
    std::thread::scope(|scope| {
        for number in 0..12 {
            let cache = &cache;
            scope.spawn(move || {
                let guest = ["wordcount", "faulty", "upper"][number % 3];
                let expected = [COUNTS, "1\n", "ONE TWO TWO\n"][number % 3];
                let ended = run(guest)
                    .env("RWASM_CACHE_DIR", cache)
                    .typed("--engines 1")
                    .stdin(TEXT)
                    .end();
                ended
                    .expect_code(0)
                    .expect_stdout(expected)
                    .expect_stderr_is_empty();
            });
        }
    });
    assert_eq!(files(&cache).len(), 3, "{:?}", files(&cache));
}

#[test]
fn many_processes_may_share_a_cache_that_has_no_room() {
    let dir = folder();
    let cache = dir.path().join("cache");
    let guests = [
        ("wordcount", COUNTS),
        ("faulty", "1\n"),
        ("upper", "ONE TWO TWO\n"),
    ];
    // One has room for none of them, one for a single one of them.
    for (size, most) in [("1KiB", 0), ("320KiB", 2)] {
        std::thread::scope(|scope| {
            for number in 0..12 {
                let cache = &cache;
                scope.spawn(move || {
                    let (guest, expected) = guests[number % 3];
                    run(guest)
                        .env("RWASM_CACHE_DIR", cache)
                        .env("RWASM_CACHE_SIZE", size)
                        .typed("--engines 1")
                        .stdin(TEXT)
                        .end()
                        .expect_code(0)
                        .expect_stdout(expected)
                        .expect_stderr_is_empty();
                });
            }
        });
        assert!(files(&cache).len() <= most, "{size}: {:?}", files(&cache));
    }
}

/// The program without what lets root write where nobody may.
fn without_privileges(cli: Cli) -> Command {
    let command = cli.into_command();
    if !rustix::process::geteuid().is_root() {
        return command;
    }
    // Of util-linux, which every Linux has.
    let mut less = Command::new("setpriv");
    less.arg("--bounding-set=-dac_override,-dac_read_search,-fowner")
        .arg("--inh-caps=-all")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => less.env(name, value),
            None => less.env_remove(name),
        };
    }
    less
}

#[test]
fn a_cache_that_cannot_be_written_is_read() {
    if only_here("engines compile, and keep what they compiled") {
        return;
    }
    let (_dir, cache, code) = filled();
    let text = folder();
    let text = file(&text, "text", TEXT);
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o500)).expect("permissions can be set");
    let before = fs::metadata(&code).expect("the file").ino();
    for (guest, counts) in [("wordcount", COUNTS), ("upper", "ONE TWO TWO\n")] {
        let command = run(guest)
            .env("RWASM_CACHE_DIR", &cache)
            .typed("--engines 1 --limit compile-time=60s")
            .arg(&text);
        let ended = without_privileges(command).output().expect("it starts");
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stdout), counts);
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    }
    // What is in it was used: no time to compile was needed.
    let command = with_cache(&cache)
        .typed("--limit compile-time=1ms")
        .arg(&text);
    let ended = without_privileges(command).output().expect("it starts");
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(files(&cache), std::slice::from_ref(&code));
    assert_eq!(fs::metadata(&code).expect("the file").ino(), before);
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).expect("permissions can be set");
}

#[test]
fn intact_code_of_another_build_is_replaced() {
    if only_here("engines compile, and keep what they compiled") {
        return;
    }
    let (_dir, cache, code) = filled();
    let plain = fs::read(&code).expect("the file");
    assert_eq!(
        with_cache(&cache).typed("--fuel 1000000000").output(),
        COUNTS
    );
    let other = files(&cache).into_iter().find(|file| *file != code);
    let foreign = fs::read(other.expect("code that counts fuel")).expect("the file");
    assert_ne!(plain, foreign);
    fs::write(&code, &foreign).expect("the file can be written");
    with_cache(&cache)
        .end()
        .expect_code(0)
        .expect_stdout(COUNTS)
        .expect_stderr_is_empty();
    assert_ne!(
        fs::read(&code).expect("the file"),
        foreign,
        "it was made again"
    );
}

fn ask(arguments: &str, dir: &Path) -> Cli {
    program()
        .arg("cache")
        .typed(arguments)
        .env("RWASM_CACHE_DIR", dir)
}

#[test]
fn the_cache_can_be_looked_at_and_pruned() {
    if only_here("engines compile, and keep what they compiled") {
        return;
    }
    let (dir, cache, code) = filled();
    let size = fs::metadata(&code).expect("the file").len();
    let info = ask("info --format json", &cache)
        .end()
        .expect_code(0)
        .json();
    assert_eq!(info["dir"], cache.display().to_string());
    assert_eq!(info["files"], 1);
    assert_eq!(info["bytes"], size);
    assert_eq!(info["max_bytes"], 1 << 30);
    assert!(info["oldest_use"].is_string() && info["oldest_use"] == info["newest_use"]);
    let printed = ask("info", &cache).env("RWASM_CACHE_SIZE", "5MiB").output();
    for part in [
        "directory",
        "files        1\n",
        "at most 5MiB",
        "newest use",
    ] {
        assert!(printed.contains(part), "{printed}");
    }
    // Nothing to do.
    let printed = ask("prune", &cache).output();
    assert!(
        printed.starts_with("removed 0 files (0B); 1 file ("),
        "{printed}"
    );
    let printed = ask("prune --older-than 1h", &cache).output();
    assert!(printed.starts_with("removed 0 files"), "{printed}");
    // What is damaged, what does not fit, what is old, everything; and nothing of others.
    fs::write(cache.join("letter"), "not ours").expect("written");
    fs::write(&code, "no code").expect("written");
    let printed = ask("prune", &cache).output();
    assert!(
        printed.starts_with("removed 1 file (7B), 1 of them damaged; 0 files (0B) left"),
        "{printed}"
    );
    for options in ["--max-size 1KiB", "--older-than 0", "--all"] {
        assert_eq!(with_cache(&cache).output(), COUNTS);
        let printed = ask(&format!("prune {options}"), &cache).output();
        assert!(
            printed.starts_with("removed 1 file ("),
            "{options}: {printed}"
        );
        assert_eq!(files(&cache), [cache.join("letter")], "{options}");
    }
    ask("prune --all --max-size 1KiB", &cache).fails(2);
    ask("info", &cache).env("RWASM_CACHE_SIZE", "much").fails(2);

    // None, or none that may be used.
    let nowhere = dir.path().join("nowhere");
    for place in [nowhere.as_path(), Path::new("")] {
        for command in ["info", "prune"] {
            let printed = ask(command, place).output();
            assert!(printed.starts_with("there is no cache: "), "{printed}");
        }
        let info = ask("info --format json", place).end().expect_code(0).json();
        assert_eq!(info["dir"], serde_json::Value::Null);
    }
    assert!(!nowhere.exists(), "looking makes nothing");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("permissions can be set");
    for command in ["info", "prune --all"] {
        ask(command, &cache)
            .fails(14)
            .expect_stderr_has(&["other users could write code", "RWASM_CACHE_DIR"]);
    }
}

#[test]
fn a_cache_that_cannot_be_used_is_named_with_the_reason() {
    if only_here("engines elsewhere have their own cache") {
        return;
    }
    let dir = folder();
    let open = dir.path().join("open");
    fs::create_dir(&open).expect("a directory");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("it is opened");
    let call = || crate::support::call("numbers").args(["fib", "10"]);
    let ended = call().env("RWASM_CACHE_DIR", &open).end().expect_code(0);
    ended.expect_stderr_has(&["warning: compiled modules are not kept", "other users"]);
    let quiet = call().env("RWASM_CACHE_DIR", &open).arg("-q").end();
    quiet.expect_stderr_is_empty();
    let off = call().env("RWASM_CACHE_DIR", "").end();
    off.expect_stderr_is_empty();
}
