//! What a project file may set.
//!
//! It may come from an untrusted project: it does not say where that runs and with whose key, what it may reach, who reads
//! along, that it goes on without its user, or that it may use more than by default.

use super::values::{duration, positive_size};
use clap::{ArgAction, Command};
use rwasm_cluster::DETERMINISTIC_FUEL;

/// Options that it may not set, because of which question. Those that can be repeated are named as on the command line.
const REFUSED: [(&str, Question); 21] = [
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
    ("clock", Question::What),
    ("dir", Question::What),
    ("env", Question::What),
    ("env_file", Question::What),
    ("net", Question::What),
    ("limit", Question::HowMuch),
    ("help", Question::None),
    ("version", Question::None),
];

#[derive(Clone, Copy, PartialEq)]
enum Question {
    Where,
    Who,
    What,
    HowMuch,
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
        .filter(|argument| {
            argument.get_long().is_some() && !matches!(argument.get_action(), ArgAction::Append)
        })
        .map(|argument| argument.get_id().to_string())
        .filter(|id| REFUSED.iter().all(|(refused, _)| refused != id))
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
