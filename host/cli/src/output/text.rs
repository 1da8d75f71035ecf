//! Text that commands show of the program itself: tables, times, words of a shell.

use crate::exit::CliError;
use rwasm_cluster::plain::leaves_line;
use std::borrow::Cow;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Prints what a command shows of the program itself, where there is no result to write to a file.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(CliError::OutputClosed),
        Err(source) => Err(CliError::Output {
            what: "stdout".to_owned(),
            source,
        }),
    }
}

/// A point in time as programs and people read it. Stored ones may be any, and the format has the years 1970 to 9999.
pub(crate) fn time(time: SystemTime) -> String {
    const END: Duration = Duration::from_secs(253_402_300_800);
    match time.duration_since(UNIX_EPOCH) {
        Err(_) => "before 1970".to_owned(),
        Ok(since) if since >= END => "after 9999".to_owned(),
        Ok(_) => humantime::format_rfc3339_seconds(time).to_string(),
    }
}

/// A word as a shell takes it. One with a zero byte, which no shell takes, is left as it is.
pub(crate) fn shell_word(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), Cow::into_owned)
}

/// A text from outside that is to stay in its line, and its cell.
pub(crate) fn in_line(text: &str) -> String {
    text.chars()
        .map(|letter| if leaves_line(letter) { '?' } else { letter })
        .collect()
}

/// Cells in columns as wide as their widest.
pub(crate) fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS).filter_map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
