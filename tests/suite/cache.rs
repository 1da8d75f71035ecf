//! Compiled code on disk: used by the next start, never trusted when it is damaged or open to others.

use crate::support::{Cli, folder, run};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const TEXT: &str = "one two two\n";
const COUNTS: &str = "two\t2\n";

fn with_cache(dir: &Path) -> Cli {
    run("wordcount")
        .env("RWASM_CACHE_DIR", dir)
        .typed("--engines 1")
        .stdin(TEXT)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return vec![];
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
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
    let dir = folder();
    let occupied = dir.path().join("file");
    fs::write(&occupied, "not a directory").expect("the file can be written");
    for place in [
        occupied.as_path(),
        Path::new("/proc/no/such/place"),
        Path::new(""),
    ] {
        with_cache(place)
            .end()
            .expect_code(0)
            .expect_stdout(COUNTS)
            .expect_stderr_is_empty();
    }
    // A directory in the way of a file.
    let (_dir, cache, code) = filled();
    fs::remove_file(&code).expect("the file can be removed");
    fs::create_dir(&code).expect("a directory can be made");
    assert_eq!(with_cache(&cache).output(), COUNTS);
}

#[test]
fn many_processes_may_begin_with_the_same_empty_cache() {
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
