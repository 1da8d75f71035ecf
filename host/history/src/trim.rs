//! The limits: what is removed so that the history stays within its rows and bytes.
//!
//! Whole jobs are removed first, the oldest of those that have ended, but never the newest job of
//! all. If that is not enough, tasks are dropped from the job with the most, the first in input
//! order, and counted in its row. The results of jobs are dropped last.

use super::entry::JobKey;
use super::file::PAGE;
use super::read::dead_owners;
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;

/// The limits of the history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The number of tasks, and of jobs.
    pub(super) rows: u64,
    /// The bytes of the file that are in use.
    pub(super) bytes: u64,
}

/// The number of pages that are returned to the file system in one transaction: 4 MiB.
const VACUUM_PAGES: u64 = 1024;

/// The largest content that is rewritten, first in memory, to shorten the file.
const REWRITTEN: u64 = 16 << 20;

/// The fraction of the job that is dropped at once if tasks are dropped for their bytes.
const SLICE: i64 = 8;

/// Removes what exceeds the limits. Part of the transaction that added something.
pub(super) fn trim(connection: &Connection, path: &Path, bounds: Bounds) -> rusqlite::Result<()> {
    if within(connection, bounds)? {
        return Ok(());
    }
    let dead = dead_owners(connection, path)?;
    while !within(connection, bounds)? {
        let removed = remove_oldest(connection, &dead)?
            || drop_tasks(connection, bounds)?
            || drop_result(connection)?;
        if !removed {
            break;
        }
    }
    Ok(())
}

fn within(connection: &Connection, bounds: Bounds) -> rusqlite::Result<bool> {
    let (tasks, jobs) = rows(connection)?;
    Ok(tasks <= bounds.rows && jobs <= bounds.rows && content(connection)? <= bounds.bytes)
}

fn rows(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let mut statement = connection.prepare_cached("SELECT tasks, jobs FROM total")?;
    let (tasks, jobs): (i64, i64) = statement.query_row([], |row| row.try_into())?;
    Ok((tasks.max(0).unsigned_abs(), jobs.max(0).unsigned_abs()))
}

/// Returns the bytes of the pages in use.
fn content(connection: &Connection) -> rusqlite::Result<u64> {
    let (all, free) = (
        pages(connection, "page_count")?,
        pages(connection, "freelist_count")?,
    );
    Ok(all.saturating_sub(free) * PAGE)
}

fn pages(connection: &Connection, which: &str) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA {which}"))?;
    let count: i64 = statement.query_row([], |row| row.get(0))?;
    Ok(count.max(0).unsigned_abs())
}

/// Removes the oldest job that has ended, and returns whether there was one.
fn remove_oldest(connection: &Connection, dead: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT key FROM job WHERE key < (SELECT max(key) FROM job) AND (state <> 'running' \
               OR owner IN (SELECT value FROM json_each(?))) ORDER BY key LIMIT 1";
    let oldest: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row([dead], |row| row.get(0))
        .optional()?;
    match oldest {
        Some(key) => remove(connection, JobKey(key.cast_unsigned())),
        None => Ok(false),
    }
}

/// Removes a job with everything that belongs to it, and returns whether it existed.
pub(super) fn remove(connection: &Connection, key: JobKey) -> rusqlite::Result<bool> {
    let key = key.0.cast_signed();
    for sql in [
        "DELETE FROM task WHERE job = ?",
        "DELETE FROM value_types WHERE job = ?",
    ] {
        connection.prepare_cached(sql)?.execute([key])?;
    }
    let mut statement = connection.prepare_cached("DELETE FROM job WHERE key = ?")?;
    Ok(statement.execute([key])? == 1)
}

/// Drops the first tasks of the job with the most, and returns whether there were any.
fn drop_tasks(connection: &Connection, bounds: Bounds) -> rusqlite::Result<bool> {
    let sql = "SELECT key, kept FROM job WHERE kept > 0 ORDER BY kept DESC, key LIMIT 1";
    let largest: Option<(i64, i64)> = connection
        .prepare_cached(sql)?
        .query_row([], |row| row.try_into())
        .optional()?;
    let Some((key, kept)) = largest else {
        return Ok(false);
    };
    let (tasks, _) = rows(connection)?;
    let excess = i64::try_from(tasks.saturating_sub(bounds.rows)).unwrap_or(i64::MAX);
    let count = match excess {
        0 => (kept / SLICE).max(1),
        excess => excess,
    };
    let sql = "DELETE FROM task WHERE id IN \
               (SELECT id FROM task WHERE job = ? ORDER BY position LIMIT ?)";
    let dropped = connection.prepare_cached(sql)?.execute((key, count))?;
    let dropped = i64::try_from(dropped).unwrap_or(i64::MAX);
    connection
        .prepare_cached("UPDATE job SET kept = kept - ?2 WHERE key = ?1")?
        .execute((key, dropped))?;
    Ok(dropped > 0)
}

/// Drops the largest result of a job, and returns whether there was one.
fn drop_result(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "UPDATE job SET result = NULL, result_types = NULL, \
               result_left_out = 'it was dropped to keep the history within its bounds' \
               WHERE key = (SELECT key FROM job WHERE result IS NOT NULL \
               ORDER BY result_bytes DESC LIMIT 1)";
    Ok(connection.prepare_cached(sql)?.execute([])? == 1)
}

/// Makes the file as small as its content. Must be called outside a transaction.
pub(super) fn shrink_fully(connection: &Connection) -> rusqlite::Result<()> {
    let (used, all) = (
        content(connection)?,
        pages(connection, "page_count")? * PAGE,
    );
    // Rewriting a little is faster than moving the end of much that is free.
    if used <= REWRITTEN && used < all / 2 && connection.execute_batch("VACUUM").is_ok() {
        return Ok(());
    }
    shrink(connection, 0)
}

/// Returns free pages to the file system, in small transactions, until the file is no longer than
/// `bytes` or nothing is free. Must be called outside a transaction.
pub(super) fn shrink(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    loop {
        let beyond = pages(connection, "page_count")?.saturating_sub(bytes / PAGE);
        let free = pages(connection, "freelist_count")?.min(beyond);
        if free == 0 {
            return Ok(());
        }
        let before = pages(connection, "page_count")?;
        connection.execute_batch(&format!(
            "PRAGMA incremental_vacuum({})",
            free.min(VACUUM_PAGES)
        ))?;
        if pages(connection, "page_count")? >= before {
            return Ok(());
        }
    }
}
