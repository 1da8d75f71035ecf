//! What is shown of a task that failed, beside its message: earlier attempts, its own words, where it was.

use crate::text::duration;
use rwasm_cluster::plain::visible;
use rwasm_cluster::{Attempt, Failure, Log, Notes};

/// The attempts before the last, what the last logged and printed and where it was.
pub(crate) fn details(
    failure: &Failure,
    told: Option<(&Log, Option<&Notes>)>,
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
    let (stderr, notes) = told.unzip();
    if let Some(notes) = notes.flatten().filter(|notes| !notes.log.is_empty()) {
        lines.push("log:".to_owned());
        lines.extend(logged(notes));
    }
    if let Some(stderr) = stderr.filter(|stderr| !stderr.kept.is_empty()) {
        lines.push("stderr:".to_owned());
        lines.extend(
            tail(&stderr.kept)
                .into_iter()
                .map(|line| format!("  {line}")),
        );
        if stderr.dropped > 0 {
            lines.push(format!(
                "  … and {} more bytes, which were dropped (keep them with --limit logs=SIZE)",
                stderr.dropped
            ));
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

/// The last lines of what a guest printed.
fn tail(bytes: &[u8]) -> Vec<String> {
    const LINES: usize = 8;
    let text = String::from_utf8_lossy(bytes);
    // Rust's advice on a panic is of no use here: its variable would have to be granted, and the backtrace is shown anyway.
    let is_advice = |line: &&str| line.starts_with("note: run with `RUST_BACKTRACE");
    let lines = text.lines().filter(|line| !is_advice(line));
    let lines: Vec<&str> = lines.skip_while(|line| line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..]
        .iter()
        .map(|line| visible(&line.chars().take(WIDTH).collect::<String>()))
        .collect()
}
