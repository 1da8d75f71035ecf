//! The directory of compiled code: what it keeps, what it removes, what it refuses.

use super::*;
use std::time::Duration;

fn cache(size: u64) -> (tempfile::TempDir, CodeCache) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cache = CodeCache::make(dir.path(), ByteSize::new(size)).expect("a cache in it");
    (dir, cache)
}

/// A name such as files of compiled code have.
fn name(number: u8) -> String {
    let module = ModuleHash::of(&[number]);
    CodeCache::name(module, CodeKind::Core, 7)
}

#[test]
fn what_was_put_comes_back_and_what_is_damaged_does_not() {
    let (dir, cache) = cache(1 << 20);
    cache.put("a", &mut &b"some code"[..]).expect("put");
    assert!(cache.get("a").is_some());
    for damage in [
        &b"some c"[..],
        b"",
        b"other bytes altogether, long enough for a trailer",
    ] {
        fs::write(dir.path().join("a"), damage).expect("written");
        assert!(cache.get("a").is_none());
        assert!(!dir.path().join("a").exists());
    }
}

#[test]
fn one_flipped_bit_is_noticed() {
    let (dir, cache) = cache(1 << 20);
    cache.put("a", &mut &[7; 1000][..]).expect("put");
    let mut bytes = fs::read(dir.path().join("a")).expect("read");
    bytes[500] ^= 1;
    fs::write(dir.path().join("a"), bytes).expect("written");
    assert!(cache.get("a").is_none());
}

#[test]
fn the_directory_stays_within_its_bound_and_keeps_what_is_new() {
    let (dir, cache) = cache(3000);
    for number in 0..5 {
        cache.put(&name(number), &mut &[1; 1000][..]).expect("put");
    }
    let total: u64 = fs::read_dir(dir.path())
        .expect("listed")
        .map(|entry| entry.expect("entry").metadata().expect("metadata").len())
        .sum();
    assert!(total <= 3000, "{total} bytes are left");
    assert!(cache.get(&name(4)).is_some());
}

#[cfg(unix)]
#[test]
fn a_directory_that_others_may_write_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("opened");
    assert!(CodeCache::make(dir.path(), CodeCache::SIZE).is_err());
    assert!(CodeCache::open(dir.path(), CodeCache::SIZE).is_err());
}

#[test]
fn code_that_is_larger_than_the_bound_is_not_kept() {
    let (dir, cache) = cache(1000);
    assert!(cache.put(&name(1), &mut &[1; 1000][..]).is_err());
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
}

#[test]
fn files_of_others_are_neither_counted_nor_removed() {
    let (dir, cache) = cache(3000);
    fs::write(dir.path().join("letter.txt"), [0; 10_000]).expect("written");
    cache.put(&name(1), &mut &[1; 1000][..]).expect("put");
    assert_eq!(cache.info().expect("read").files, 1);
    let prune = Prune {
        all: true,
        ..Prune::default()
    };
    assert_eq!(cache.prune(&prune).expect("pruned").files, 1);
    assert!(dir.path().join("letter.txt").exists());
}

#[test]
fn what_a_killed_process_left_goes_after_some_time() {
    let (dir, cache) = cache(1 << 20);
    let (old, new) = (dir.path().join(".new-old"), dir.path().join(".new-new"));
    fs::write(&old, "half of").expect("written");
    fs::write(&new, "half of").expect("written");
    let hours_ago = SystemTime::now() - Duration::from_hours(2);
    File::options()
        .write(true)
        .open(&old)
        .and_then(|file| file.set_modified(hours_ago))
        .expect("made old");
    cache.put(&name(1), &mut &[1; 1000][..]).expect("put");
    assert!(!old.exists(), "nobody writes it any more");
    assert!(new.exists(), "another process may be writing it");
}

#[test]
fn pruning_removes_what_is_asked_for_and_what_is_damaged() {
    let (dir, cache) = cache(1 << 20);
    let ages = [3_000, 2_000, 1_000, 0];
    for (number, age) in (0..).zip(ages) {
        cache.put(&name(number), &mut &[1; 980][..]).expect("put");
        let time = SystemTime::now() - Duration::from_secs(age);
        File::options()
            .write(true)
            .open(cache.path(&name(number)))
            .and_then(|file| file.set_modified(time))
            .expect("made old");
    }
    let info = cache.info().expect("read");
    assert_eq!((info.files, info.bytes), (4, 4000));
    assert!(info.oldest < info.newest);
    assert_eq!(cache.prune(&Prune::default()).expect("pruned").files, 0);

    let prune = Prune {
        older_than: Some(Duration::from_secs(2_500)),
        ..Prune::default()
    };
    let pruned = cache.prune(&prune).expect("pruned");
    assert_eq!((pruned.files, pruned.files_left), (1, 3));

    fs::write(cache.path(&name(3)), [0; 500]).expect("damaged");
    let prune = Prune {
        max_size: Some(ByteSize::new(1500)),
        ..Prune::default()
    };
    let pruned = cache.prune(&prune).expect("pruned");
    assert_eq!((pruned.files, pruned.damaged), (2, 1));
    assert_eq!((pruned.files_left, pruned.bytes_left), (1, 1000));
    assert!(cache.get(&name(2)).is_some());
    drop(dir);
}
