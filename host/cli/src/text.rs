//! Text for people, made and not printed: tables, times, words of a shell.

use rwasm_cluster::ByteSize;
use rwasm_cluster::plain::leaves_line;
use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time as programs and people read it. Stored ones may be any, and the format has the years 1970 to 9999.
pub(crate) fn time(time: SystemTime) -> String {
    const END: Duration = Duration::from_hours(70_389_528);
    match time.duration_since(UNIX_EPOCH) {
        Err(_) => "before 1970".to_owned(),
        Ok(since) if since >= END => "after 9999".to_owned(),
        Ok(_) => humantime::format_rfc3339_seconds(time).to_string(),
    }
}

/// A time with three digits that matter.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 100.0 {
        humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
    } else if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds >= 0.001 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{:.1} µs", seconds * 1e6)
    }
}

/// What the library advises, by its fields, as options of the program.
const OPTIONS: [(&str, &str); 20] = [
    ("raise `Limits::time`", "raise it with --timeout"),
    ("raise `Limits::memory`", "raise it with --memory"),
    ("raise `Limits::fuel`", "raise it with --fuel"),
    (
        "use smaller chunks, or raise `Limits::input`",
        "use a smaller --chunk, or raise the limit with --limit input=SIZE",
    ),
    (
        "raise `Limits::output`",
        "raise it with --limit output=SIZE",
    ),
    ("raise `Limits::wall`", "raise it with --limit wall=TIME"),
    ("raise `Limits::stack`", "raise it with --limit stack=SIZE"),
    (
        "raise `Limits::random`",
        "raise it with --limit random=SIZE",
    ),
    (
        "raise `Limits::table_elements`",
        "raise it with --limit table-elements=N",
    ),
    ("raise `Limits::handles`", "raise it with --limit handles=N"),
    (
        "raise `Limits::written`",
        "raise it with --limit written=SIZE",
    ),
    ("raise `Limits::files`", "raise it with --limit files=N"),
    (
        "raise `Limits::module`",
        "raise it with --limit module=SIZE",
    ),
    (
        "raise `Limits::compile_time`",
        "raise it with --limit compile-time=TIME",
    ),
    (
        "raise `Limits::compile_memory`",
        "raise it with --limit compile-memory=SIZE",
    ),
    (
        "raise `Limits::compiled`",
        "raise it with --limit compiled=SIZE",
    ),
    ("name it in `JobSpec::map`", "name it with --map"),
    ("` with `Grants::net`", ""),
    (
        "grant one with `Grants::dir`",
        "grant one with --dir HOST::GUEST",
    ),
    (
        "grant another with `Grants::dir`",
        "grant another with --dir HOST::GUEST",
    ),
];

/// A message of the library as users of the program read it: with options where the library names fields.
pub(crate) fn in_options(message: &str) -> Cow<'_, str> {
    if !message.contains("::") {
        return Cow::Borrowed(message);
    }
    let mut text = message.to_owned();
    if text.contains("` with `Grants::net`") {
        text = text.replace("(grant `", "(grant it with --net ");
    }
    for (field, option) in OPTIONS {
        if text.contains(field) {
            text = text.replace(field, option);
        }
    }
    Cow::Owned(text)
}

/// A JSON document, for programs and people. JSON allows characters in strings that a terminal may obey or take for the
/// end of a line.
pub(crate) fn json_document(document: &serde_json::Value) -> String {
    let text = format!("{document:#}\n");
    // Only strings have such characters, and an escape means the same there.
    text.chars()
        .fold(String::with_capacity(text.len()), |mut text, letter| {
            if leaves_line(letter) && letter != '\n' {
                text += &format!("\\u{:04x}", u32::from(letter));
            } else {
                text.push(letter);
            }
            text
        })
}

/// A word as a shell takes it. One with a zero byte, which no shell takes, is left as it is.
pub(crate) fn shell_word(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), Cow::into_owned)
}

/// A number of things, by the name of one.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    let plural = match thing {
        _ if count == 1 => "",
        "dispatch" | "process" => "es",
        _ => "s",
    };
    format!("{count} {thing}{plural}")
}

/// A size in bytes, and in larger units if it has them.
pub(crate) fn bytes(count: u64) -> String {
    let exact = counted(count, "byte");
    let size = ByteSize::new(count).to_string();
    if size == format!("{count}B") {
        exact
    } else {
        format!("{exact} ({size})")
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_nobody_can_write_is_told_as_such() {
        let after = |seconds| time(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(after(253_402_300_799), "9999-12-31T23:59:59Z");
        assert_eq!(after(253_402_300_800), "after 9999");
        assert_eq!(
            time(UNIX_EPOCH + Duration::from_millis(u64::MAX)),
            "after 9999"
        );
        assert_eq!(time(UNIX_EPOCH - Duration::from_nanos(1)), "before 1970");
    }

    #[test]
    fn advice_names_options_of_the_program() {
        for (message, shown) in [
            (
                "more than 1MiB (raise `Limits::memory`)",
                "more than 1MiB (raise it with --memory)",
            ),
            (
                "was denied (grant `1.2.3.4:80` with `Grants::net`)",
                "was denied (grant it with --net 1.2.3.4:80)",
            ),
            ("std::vec::Vec", "std::vec::Vec"),
            ("fine", "fine"),
        ] {
            assert_eq!(in_options(message), shown);
        }
    }
}
