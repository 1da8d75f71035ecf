//! What is not a sound history of ours is refused, and stays as it was to the last byte.

use super::*;
use std::fs;

/// Opens the history that is expected to be refused, and looks that nothing in the directory has
/// changed, appeared or gone.
fn refused(place: &HistoryFile) -> HistoryError {
    let before = place.files();
    let error = History::open(place.settings()).expect_err("refused");
    assert!(place.files() == before, "something changed: {error}");
    error
}

fn foreign_database(place: &HistoryFile, sql: &str) {
    let raw = place.raw();
    raw.execute_batch(sql).expect("made");
    raw.close().expect("closed");
}

/// A sound history with some tasks, closed.
fn sound(place: &HistoryFile) -> JobKey {
    let history = place.open();
    record(&history, "a", (0..500).map(task).collect())
}

#[test]
fn files_that_are_no_database() {
    for (bytes, wanted) in [
        (&b"[cluster]\nengines = 4\n"[..], "begins with `[cluster]"),
        (b"x", "begins with `x`"),
        (b"", "is empty"),
        (b"SQLite form", "ends after 11 bytes"),
        (b"SQLite format 3\0 and more", "ends after 25 bytes"),
    ] {
        let place = HistoryFile::new();
        fs::write(place.path(), bytes).expect("written");
        let error = refused(&place).to_string();
        assert!(error.contains(wanted), "{error}, wanted {wanted}");
    }
}

#[test]
fn what_is_no_file() {
    let place = HistoryFile::new();
    fs::create_dir(place.path()).expect("made");
    assert!(matches!(refused(&place), HistoryError::NotAFile { .. }));

    #[cfg(target_os = "linux")]
    {
        let error = History::open(HistorySettings::new("/dev/full")).expect_err("refused");
        assert!(matches!(error, HistoryError::NotAFile { .. }));
        let below = History::open(HistorySettings::new("/dev/full/history.db"));
        assert!(below.is_err());
    }
    #[cfg(unix)]
    {
        let place = HistoryFile::new();
        std::os::unix::fs::symlink("nowhere", place.path()).expect("linked");
        let error = History::open(place.settings()).expect_err("refused");
        assert!(matches!(error, HistoryError::Unwritable { .. }), "{error}");
    }
}

#[test]
fn databases_of_others() {
    for sql in [
        "CREATE TABLE job (key INTEGER); INSERT INTO job VALUES (1)",
        "PRAGMA journal_mode = WAL; CREATE TABLE t (a)",
        "PRAGMA application_id = 7; PRAGMA user_version = 1; CREATE TABLE t (a)",
        // Our mark, but not our tables.
        "PRAGMA application_id = 0x72776869; PRAGMA user_version = 1; CREATE TABLE t (a)",
        "PRAGMA application_id = 0x72776869; CREATE TABLE t (a)",
        "PRAGMA application_id = 0x72776869; PRAGMA user_version = 1; PRAGMA journal_mode = WAL; \
         CREATE TABLE t (a)",
    ] {
        let place = HistoryFile::new();
        foreign_database(&place, sql);
        let error = refused(&place);
        assert!(
            matches!(error, HistoryError::Foreign { .. }),
            "{sql}: {error}"
        );
    }
}

#[test]
fn a_history_with_other_tables_or_of_a_newer_version() {
    let place = HistoryFile::new();
    sound(&place);
    foreign_database(&place, "CREATE TABLE notes (text)");
    let error = refused(&place).to_string();
    assert!(
        error.contains("its tables differ") && error.contains("notes"),
        "{error}"
    );

    let place = HistoryFile::new();
    sound(&place);
    foreign_database(&place, "PRAGMA user_version = 2");
    let error = refused(&place).to_string();
    assert!(
        error.ends_with("has format version 2, newer than version 1, the newest supported"),
        "{error}"
    );
}

#[test]
fn a_newer_version_whose_mark_is_still_in_the_log() {
    let place = HistoryFile::new();
    sound(&place);
    let raw = place.raw();
    let keep_log = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    raw.set_db_config(keep_log, true).expect("set");
    raw.execute_batch("PRAGMA user_version = 2")
        .expect("written");
    raw.close().expect("closed");
    let before = fs::read(place.path()).expect("read");
    let log = place.dir.path().join("history.db-wal");
    let log_before = fs::read(&log).expect("read");
    let error = History::open(place.settings()).expect_err("refused");
    assert!(
        matches!(error, HistoryError::Newer { found: 2, .. }),
        "{error}"
    );
    assert!(fs::read(place.path()).expect("read") == before);
    assert!(fs::read(&log).expect("read") == log_before);
}

#[test]
fn a_history_that_is_half_written() {
    let whole = HistoryFile::new();
    sound(&whole);
    let bytes = fs::read(whole.path()).expect("read");
    let pages = bytes.len() / 4096;
    let cuts = [1, 50, 99, 100, 101, 2000, 4096, 5000, 8192, bytes.len() - 1];
    for length in cuts.into_iter().chain((1..pages).map(|page| page * 4096)) {
        let place = HistoryFile::new();
        fs::write(place.path(), &bytes[..length]).expect("written");
        let error = refused(&place);
        assert!(
            matches!(error, HistoryError::Damaged { .. }),
            "{length}: {error}"
        );
    }
    // The right length, but the rest was never written.
    for page in 1..pages {
        let place = HistoryFile::new();
        let mut holed = bytes.clone();
        holed[page * 4096..].fill(0);
        fs::write(place.path(), holed).expect("written");
        let error = refused(&place);
        assert!(
            matches!(error, HistoryError::Damaged { .. }),
            "{page}: {error}"
        );
    }
}

#[test]
fn a_journal_that_is_not_ours_is_not_played_back() {
    let place = HistoryFile::new();
    sound(&place);
    fs::write(place.dir.path().join("history.db-journal"), [1; 600]).expect("written");
    assert!(matches!(refused(&place), HistoryError::Damaged { .. }));
}

/// The file and its log as they are while in use: what is left when all ends at once.
fn left_by(place: &HistoryFile) -> HistoryFile {
    let left = HistoryFile::new();
    for suffix in ["", "-wal"] {
        let name = format!("history.db{suffix}");
        fs::copy(place.dir.path().join(&name), left.dir.path().join(&name)).expect("copied");
    }
    left
}

#[test]
fn a_log_does_not_hide_that_the_file_is_cut_short() {
    let place = HistoryFile::new();
    let history = place.open();
    for job in 0..10 {
        // More than the log holds before it is moved into the file.
        record(
            &history,
            "a",
            (0..50).map(|index| heavy(job + index, 10_000)).collect(),
        );
    }
    let left = left_by(&place);
    let log = left.dir.path().join("history.db-wal");
    let bytes = fs::read(left.path()).expect("read");
    let log_bytes = fs::read(&log).expect("read");
    assert!(bytes.len() > 1 << 20 && !log_bytes.is_empty());
    for length in [5000, bytes.len() / 2 / 4096 * 4096] {
        fs::write(left.path(), &bytes[..length]).expect("written");
        let error = History::open(left.settings()).expect_err("refused");
        assert!(
            matches!(error, HistoryError::Damaged { .. }),
            "{length}: {error}"
        );
        assert!(fs::read(left.path()).expect("read") == bytes[..length]);
        assert!(fs::read(&log).expect("read") == log_bytes);
    }
}

#[test]
fn what_a_killed_process_left_is_whole() {
    let place = HistoryFile::new();
    let history = place.open();
    let key = record(&history, "a", (0..500).map(task).collect());
    let history = left_by(&place).open();
    assert_eq!(indices(&history, key).len(), 500);
    assert_eq!(history.job(key).expect("there").state, JobState::Done);
}

#[test]
fn a_new_history_leaves_nothing_beside_it_when_closed() {
    let place = HistoryFile::new();
    sound(&place);
    let names: Vec<_> = place.files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, [place.path()]);
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        // Nothing is read-only to root; what remains is said by the tests above.
        return;
    }
    let place = HistoryFile::new();
    let locked = |mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(place.dir.path(), mode).expect("set");
    };
    locked(0o500);
    let error = History::open(place.settings()).expect_err("refused");
    locked(0o700);
    assert!(matches!(error, HistoryError::Unwritable { .. }), "{error}");

    sound(&place);
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o400)).expect("set");
    assert!(matches!(refused(&place), HistoryError::Unwritable { .. }));
}
