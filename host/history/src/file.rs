//! The file: checks what exists, creates what does not, and opens what is known to be a history.
//!
//! A file that is not a sound history of this program is never opened in a way that could change
//! it. Its header is read as bytes; only a file with our mark is passed to `SQLite`, at first as
//! immutable if no one uses it. A new file is made under another name and linked into place when
//! complete.
//!
//! A process loses all its locks on a file when it closes any handle to it, and `SQLite` relies on
//! them. So this process reads the bytes only while it has no connection to the file: [`Claim`].

use super::error::{HistoryError, of_database};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rwasm_value::aside::Aside;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The tables, see the file itself.
const SCHEMA: &str = include_str!("schema.sql");

/// Marks a database as a history of this program: `rwhi`.
const APPLICATION: i32 = 0x7277_6869;

/// The version of the schema.
const VERSION: u32 = 1;

/// How long to wait for another process that writes. It writes a few MiB at a time at most.
const BUSY: Duration = Duration::from_secs(5);

/// The bytes of a page.
pub(super) const PAGE: u64 = 4096;

/// The number of pages in the write-ahead log after which they are moved into the file: 1 MiB.
const CHECKPOINT_PAGES: i64 = 256;

/// The length to which the write-ahead log is truncated after that.
const LOG_BYTES: i64 = 1 << 20;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER: usize = 100;

/// The files to which this process has connections, once for each claim.
static CLAIMED: Mutex<Vec<FileId>> = Mutex::new(Vec::new());

/// Identifies a file, by whichever path it is reached.
type FileId = (u64, u64);

/// Marks that this process has connections to a file. To be dropped after them.
#[derive(Debug)]
pub(super) struct Claim(Option<FileId>);

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = claimed.iter().position(|id| Some(*id) == self.0) {
            claimed.swap_remove(place);
        }
    }
}

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// On other systems a lock belongs to its handle.
#[cfg(not(unix))]
fn file_id(_: &Path) -> Option<FileId> {
    None
}

/// Opens the history at `path`, and creates it if there is nothing.
pub(super) fn open(path: &Path) -> Result<(Connection, Claim), HistoryError> {
    // Held until the connection exists, so that no one reads the bytes meanwhile.
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    let is_claimed = file_id(path).is_some_and(|id| claimed.contains(&id));
    let found = if is_claimed {
        Existing::Sound
    } else {
        let found = look_at(path)?;
        check_writable(path)?;
        found
    };
    let connection = connect(path)?;
    if found == Existing::InUse {
        check_pages(path, &connection)?;
    }
    // Checked again, because of what others have written since, or the content of the log.
    check_tables(path, &connection)?;
    let allow = || connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
    allow().map_err(|error| of_database(path, error))?;
    let id = file_id(path);
    claimed.extend(id);
    Ok((connection, Claim(id)))
}

/// Checks what is at `path`, and creates a history if there is nothing.
fn look_at(path: &Path) -> Result<Existing, HistoryError> {
    let mut found = inspect(path)?;
    if found == Existing::Nothing {
        create(path)?;
        // Created by us, or by another process at the same moment.
        found = inspect(path)?;
    }
    if found == Existing::Nothing {
        return Err(HistoryError::Unwritable {
            path: path.to_owned(),
            reason: "the path is a broken link".to_owned(),
        });
    }
    Ok(found)
}

/// Checked before connecting, which would create a log beside a read-only file.
fn check_writable(path: &Path) -> Result<(), HistoryError> {
    match File::options().write(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(HistoryError::Unwritable {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// Makes another connection to a history that is open.
pub(super) fn reopen(path: &Path) -> Result<Connection, HistoryError> {
    let connection = connect(path)?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(|error| of_database(path, error))?;
    Ok(connection)
}

/// What is at a path that may be opened or created.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Nothing,
    /// A history whose pages were all checked.
    Sound,
    /// A file with our mark and a log, which has newer content than the file.
    InUse,
}

/// Checks what is there without changing anything. What seems damaged while another process moves
/// its log into the file is checked again.
fn inspect(path: &Path) -> Result<Existing, HistoryError> {
    /// By then the move is over, or the file has a log beside it again.
    const LOOKS: usize = 4;
    let stamp = || {
        let meta = fs::metadata(path).ok()?;
        Some((meta.len(), meta.modified().ok()?))
    };
    for _ in 1..LOOKS {
        let before = stamp();
        let found = inspect_once(path);
        let is_transient = matches!(found, Err(HistoryError::Damaged { .. })) && stamp() != before;
        if !is_transient {
            return found;
        }
    }
    inspect_once(path)
}

fn inspect_once(path: &Path) -> Result<Existing, HistoryError> {
    let unreadable = |error: io::Error| HistoryError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let damaged = |reason: String| HistoryError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Existing::Nothing),
        Err(error) => return Err(unreadable(error)),
    };
    if !meta.is_file() {
        return Err(HistoryError::NotAFile {
            path: path.to_owned(),
            found: if meta.is_dir() {
                "a directory"
            } else {
                "a device or pipe"
            },
        });
    }
    let mut head = Vec::with_capacity(HEADER);
    let file = File::open(path).map_err(unreadable)?;
    file.take(HEADER as u64)
        .read_to_end(&mut head)
        .map_err(unreadable)?;
    if head.is_empty() {
        return Err(damaged("it is empty".to_owned()));
    }
    if !head.starts_with(&MAGIC[..head.len().min(MAGIC.len())]) {
        let found = head[..head.len().min(MAGIC.len())].escape_ascii();
        return Err(HistoryError::NotSqlite {
            path: path.to_owned(),
            found: format!("`{found}`"),
        });
    }
    let Some(header) = head.first_chunk::<HEADER>() else {
        return Err(damaged(format!("it ends after {} bytes", head.len())));
    };
    let number = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let application = number(68).cast_signed();
    if application != APPLICATION {
        return Err(HistoryError::Foreign {
            path: path.to_owned(),
            found: format!("its application id is {application}, not {APPLICATION}"),
        });
    }
    check_version(path, number(60))?;
    if non_empty(&beside(path, "-journal")) {
        // Opening the file would replay it.
        return Err(damaged("a rollback journal is beside it".to_owned()));
    }
    let pages = u64::from(number(28));
    let sound = (meta.len() >= pages * PAGE && meta.len().is_multiple_of(PAGE))
        .then_some(())
        .ok_or_else(|| {
            let (length, wanted) = (meta.len(), pages * PAGE);
            damaged(format!("expected {wanted} bytes, found {length}"))
        })
        .and_then(|()| check_unused(path));
    // A file in use changes while it is read, and one whose process died has its newest pages in
    // the log. Both are checked through the log once they are open.
    if sound.is_err() && non_empty(&beside(path, "-wal")) {
        return Ok(Existing::InUse);
    }
    sound.map(|()| Existing::Sound)
}

fn check_version(path: &Path, found: u32) -> Result<(), HistoryError> {
    match found {
        VERSION => Ok(()),
        0 => Err(HistoryError::Foreign {
            path: path.to_owned(),
            found: "it has no version".to_owned(),
        }),
        found => Err(HistoryError::Newer {
            path: path.to_owned(),
            found,
            wanted: VERSION,
        }),
    }
}

/// Checks a file without locks, logs or any means to change it or its neighbors.
fn check_unused(path: &Path) -> Result<(), HistoryError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(unchangeable(path), flags)
        .map_err(|error| of_database(path, error))?;
    check_tables(path, &connection)?;
    check_pages(path, &connection)
}

/// Returns the URI of a file that does not change while it is open.
fn unchangeable(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            byte => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri + "?immutable=1"
}

/// Sets up a connection that waits for others and leaves the log alone when closed.
fn connect(path: &Path) -> Result<Connection, HistoryError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let prepare = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // What a user removes is overwritten if that costs nothing.
        connection.pragma_update(None, "secure_delete", "FAST")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        // Keeps copies of the content out of shared directories.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(connection)
    };
    prepare().map_err(|error| of_database(path, error))
}

/// Whether every page is sound. Reads the whole file: about 0.2 s for 256 MiB.
fn check_pages(path: &Path, connection: &Connection) -> Result<(), HistoryError> {
    let health = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    let health: String = health.map_err(|error| of_database(path, error))?;
    if health == "ok" {
        return Ok(());
    }
    Err(HistoryError::Damaged {
        path: path.to_owned(),
        reason: health.replace('\n', ": "),
    })
}

/// Whether version and tables are ours.
fn check_tables(path: &Path, connection: &Connection) -> Result<(), HistoryError> {
    let look = || {
        let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok((version, tables(connection)?, tables(&empty()?)?))
    };
    let (version, found, wanted) = look().map_err(|error| of_database(path, error))?;
    check_version(path, version)?;
    if found == wanted {
        return Ok(());
    }
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    Err(HistoryError::Foreign {
        path: path.to_owned(),
        found: format!("its tables differ, it has: {}", names.join(", ")),
    })
}

/// Returns names and definitions of everything in a schema, except what `SQLite` adds itself.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get(0)?,
            row.get::<_, Option<String>>(1)?.unwrap_or_default(),
        ))
    })?;
    rows.collect()
}

/// Makes an empty history in memory.
fn empty() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

/// Creates a history. Not an error if another process creates one at the same time.
fn create(path: &Path) -> Result<(), HistoryError> {
    let unwritable = |reason: String| HistoryError::Unwritable {
        path: path.to_owned(),
        reason,
    };
    let failed = |error: io::Error| unwritable(error.to_string());
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    make_private_dir(dir).map_err(failed)?;
    let aside = Aside::beside(path).map_err(failed)?;
    fill(aside.path()).map_err(|error| unwritable(error.to_string()))?;
    match aside.complete_new() {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}

fn fill(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    // No one else sees the file yet, so it needs no journal and leaves none behind.
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "page_size", PAGE.cast_signed())?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.execute_batch(SCHEMA)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.close().map_err(|(_, error)| error)
}

#[cfg(unix)]
fn make_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

#[cfg(not(unix))]
fn make_private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

/// Returns the file that `SQLite` keeps beside a database.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn non_empty(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.len() > 0)
}
