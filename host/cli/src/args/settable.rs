//! What a project file may set.
//!
//! It may come from an untrusted project: it does not say where that runs and with whose key, what it may reach, who reads
//! along, that it goes on without its user, that it may use more than by default, or what is kept of other projects. So it
//! sets what is listed here and nothing else: a new option is refused until somebody has thought about it.

use super::values::{duration, positive_size};
use clap::Command;
use rwasm_cluster::DETERMINISTIC_FUEL;

/// Options that it may set, by their ids: how its own job is cut, spread, merged, retried and shown, and lower limits.
const ALLOWED: [&str; 44] = [
    "abi",
    "argv0",
    "backoff",
    "chunk",
    "color",
    "csv",
    "deadline",
    "decompress",
    "deterministic",
    "dispatch_size",
    "elements",
    "engines",
    "format",
    "fuel",
    "header",
    "history",
    "hwm",
    "invalid_utf8",
    "label",
    "log",
    "map",
    "max_failures",
    "max_outstanding",
    "memory",
    "merge",
    "policy",
    "progress",
    "queue_timeout",
    "quiet",
    "record_lines",
    "record_start",
    "reduce",
    "retries",
    "retry_on",
    "reuse",
    "script",
    "seed",
    "stats",
    "stderr",
    "strict_imports",
    "timeout",
    "unordered",
    "verbose",
    "view",
];

/// Why it may not set the others: because of which question. They are named as on the command line, with `_`.
const REFUSED: [(&str, Question); 32] = [
    ("cluster", Question::Where),
    ("profile", Question::Where),
    ("key", Question::Where),
    ("ca", Question::Where),
    ("cert", Question::Where),
    ("cert_key", Question::Where),
    ("allow_plain", Question::Where),
    ("lane", Question::Where),
    ("targets", Question::Where),
    ("detach", Question::Where),
    ("job_id", Question::Where),
    ("output", Question::Who),
    ("report", Question::Who),
    ("trace", Question::Who),
    ("dashboard", Question::Who),
    ("trace_limit", Question::HowMuch),
    ("boundary", Question::What),
    ("clock", Question::What),
    ("dir", Question::What),
    ("env", Question::What),
    ("env_file", Question::What),
    ("net", Question::What),
    ("files_from", Question::What),
    ("null", Question::What),
    ("include", Question::What),
    ("exclude", Question::What),
    ("limit", Question::HowMuch),
    ("ok_exit", Question::Success),
    ("history_rows", Question::Kept),
    ("history_size", Question::Kept),
    ("help", Question::None),
    ("version", Question::None),
];

#[derive(Clone, Copy, PartialEq)]
enum Question {
    Where,
    Who,
    What,
    HowMuch,
    Success,
    Kept,
    None,
}

/// The options of these commands that a project file may set, by their ids: each command has some of them.
pub(super) fn by_any(command: &Command, names: &[&str]) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for name in names {
        for id in command.find_subcommand(name).map(by).unwrap_or_default() {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    ids
}

/// The options of a command that a project file may set, by their ids.
pub(super) fn by(command: &Command) -> Vec<String> {
    command
        .get_arguments()
        .map(|argument| argument.get_id().as_str())
        .filter(|id| ALLOWED.contains(id))
        .map(str::to_owned)
        .collect()
}

/// Says why an option may not have this value in a project file, if that is for another reason than that nobody has it.
pub(super) fn refusal(id: &str, value: &str) -> Option<String> {
    let name = id.replace('_', "-");
    let question = REFUSED.iter().find(|(refused, _)| *refused == id);
    let what = match question.map(|(_, question)| *question) {
        Some(Question::Where) => "say where tasks run and with whose key",
        Some(Question::Who) => "say where results go",
        Some(Question::What) => "say what tasks may reach",
        Some(Question::HowMuch) => "raise limits",
        Some(Question::Success) => "say which failures are successes",
        Some(Question::Kept) => "say what the history keeps of other projects",
        Some(Question::None) => return None,
        None => return raised(id, value, &name),
    };
    Some(format!(
        "`{name}` cannot be set here: a project file may come from an untrusted project, and does not {what}; use --{name}"
    ))
}

/// The most retries of a task that a project file may set: each may take as long as the task may.
const MOST_RETRIES: u32 = 100;

/// Says that a limit is above its default, or that there are too many retries. What is not a valid value is refused when it is read.
fn raised(id: &str, value: &str, name: &str) -> Option<String> {
    const DEFAULT: &str = ", the default";
    let limits = rwasm_cluster::Limits::default();
    let (is_above, most, note) = match id {
        "timeout" => (
            duration(value).is_ok_and(|time| time > limits.time),
            humantime::format_duration(limits.time).to_string(),
            DEFAULT,
        ),
        "memory" => (
            positive_size(value).is_ok_and(|size| size > limits.memory),
            limits.memory.to_string(),
            DEFAULT,
        ),
        // Whatever is given here takes the place of what a deterministic task has.
        "fuel" => (
            value
                .parse()
                .is_ok_and(|fuel: u64| fuel > DETERMINISTIC_FUEL),
            DETERMINISTIC_FUEL.to_string(),
            DEFAULT,
        ),
        "retries" => (
            value
                .parse()
                .is_ok_and(|retries: u32| retries > MOST_RETRIES),
            MOST_RETRIES.to_string(),
            "",
        ),
        _ => return None,
    };
    is_above.then(|| {
        format!(
            "`{name}` may be at most {most} here{note}, but is {value}: a project file may come from an untrusted project, and does not raise limits; use --{name}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, CONFIGURED};
    use clap::{ArgAction, CommandFactory};

    /// A new option is listed in one of the tables, or this fails.
    #[test]
    fn each_option_is_either_allowed_or_refused() {
        let mut command = Arguments::command();
        command.build();
        let mut seen = Vec::new();
        for name in CONFIGURED {
            let command = command.find_subcommand(name).expect("it is a command");
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long() else {
                    continue;
                };
                let (id, long) = (argument.get_id().as_str(), long.replace('-', "_"));
                let is_allowed = ALLOWED.contains(&id);
                let is_refused = REFUSED.iter().any(|(refused, _)| *refused == long);
                assert!(is_allowed != is_refused, "--{long} of {name}");
                if is_allowed {
                    // It is set by its id, and once.
                    assert_eq!(id, long);
                    assert!(
                        !matches!(argument.get_action(), ArgAction::Append),
                        "--{long}"
                    );
                }
                seen.push(long);
            }
        }
        for id in ALLOWED {
            assert!(seen.iter().any(|seen| seen == id), "`{id}` is no option");
        }
    }
}
