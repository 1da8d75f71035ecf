//! What is shown of a task that failed, beside its message: earlier attempts, its own words, where it was.

use crate::text::duration;
use rwasm_cluster::plain::visible;
use rwasm_cluster::{Attempt, Failure, Log, Logs, Notes, is_backtrace_advice};

/// The attempts before the last, what the last logged and printed and where it was.
pub(crate) fn details(
    failure: &Failure,
    told: Option<(&Logs, Option<&Notes>)>,
    attempts: &[Attempt],
) -> Vec<String> {
    const ATTEMPTS: usize = 10;
    let mut lines = Vec::new();
    if attempts.len() > 1 {
        lines.push(format!("{} attempts:", attempts.len()));
        for attempt in attempts.iter().take(ATTEMPTS) {
            let engine = attempt.engine.map(|engine| format!(" on engine {engine}"));
            let code = attempt
                .failure
                .as_ref()
                .map_or("success", |failure| failure.code.name());
            lines.push(format!(
                "  {}{}: {code} after {}",
                attempt.number,
                engine.unwrap_or_default(),
                duration(attempt.run_time)
            ));
        }
        if attempts.len() > ATTEMPTS {
            lines.push(format!("  … and {} more", attempts.len() - ATTEMPTS));
        }
    }
    let (logs, notes) = told.unzip();
    if let Some(notes) = notes.flatten().filter(|notes| !notes.log.is_empty()) {
        lines.push("log:".to_owned());
        lines.extend(logged(notes));
    }
    for (name, log) in logs
        .iter()
        .flat_map(|logs| [("stdout:", &logs.stdout), ("stderr:", &logs.stderr)])
    {
        let printed = printed(log);
        if !printed.is_empty() {
            lines.push(name.to_owned());
            lines.extend(printed.into_iter().map(|line| format!("  {line}")));
        }
    }
    if let Some(backtrace) = &failure.backtrace {
        lines.push("backtrace, innermost call first:".to_owned());
        lines.extend(backtrace.lines().map(|line| format!("  {}", visible(line))));
    }
    lines
}

/// The last lines of what a guest logged, of those that are kept.
fn logged(notes: &Notes) -> Vec<String> {
    const LINES: usize = 20;
    let last = notes.log.iter().skip(notes.log.len().saturating_sub(LINES));
    let mut lines: Vec<String> = last
        .map(|line| {
            let text: String = line.message.chars().take(WIDTH).collect();
            format!(
                "  {}: {}",
                line.level,
                visible(&text).replace('\n', "\n    ")
            )
        })
        .collect();
    if notes.log_dropped > 0 {
        lines.push(format!(
            "  … and {} more lines, which were dropped or cut (keep them with --limit logs=SIZE)",
            notes.log_dropped
        ));
    }
    lines
}

/// The most of a line that is shown.
const WIDTH: usize = 400;

/// The most lines that are shown of the beginning, and of the end, of what a guest printed: a message stands before the
/// stack in some languages, and after it in others.
const LINES: usize = 8;

/// The first and the last lines of what a guest printed, with a mark for those between them.
fn printed(log: &Log) -> Vec<String> {
    let (head, tail) = log.parts();
    let (head, tail) = (lines_of(head), lines_of(tail));
    let count = head.len() + tail.len();
    let is_whole = log.dropped == 0 && count <= 2 * LINES;
    let first = if is_whole {
        count
    } else {
        LINES.min(head.len())
    };
    let last = if is_whole {
        0
    } else {
        LINES.min(count - first)
    };
    let all: Vec<String> = head.into_iter().chain(tail).collect();
    let mut lines = all[..first].to_vec();
    let left_out = count - first - last;
    if log.dropped > 0 {
        lines.push(format!(
            "… {left_out} more lines and {} more bytes, which were dropped (keep them with --limit logs=SIZE) …",
            log.dropped
        ));
    } else if left_out > 0 {
        lines.push(format!("… {left_out} more lines …"));
    }
    lines.extend_from_slice(&all[count - last..]);
    lines
}

/// The lines of a text, as they are shown.
fn lines_of(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter(|line| !is_backtrace_advice(line));
    let lines = lines.skip_while(|line| line.trim().is_empty());
    lines
        .map(|line| visible(&line.chars().take(WIDTH).collect::<String>()))
        .collect()
}
