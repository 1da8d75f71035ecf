//! From the options of what tasks may reach to what they are granted: the one place where variables
//! of this process's environment, and files of them, are read for guests.

use crate::args::{DeterminismOptions, GrantOptions};
use crate::exit::CliError;
use rwasm_cluster::plain::{self, visible};
use rwasm_cluster::small_file;
use rwasm_cluster::{Grants, Random};
use std::path::Path;

/// What the options grant.
pub(crate) fn grants(
    options: &GrantOptions,
    determinism: &DeterminismOptions,
) -> Result<Grants, CliError> {
    let random = match determinism.seed {
        Some(seed) => Random::Seeded(seed),
        None => Random::System,
    };
    Ok(reached(options)?.clock(determinism.clock).random(random))
}

/// What of it can be reached: all but the clock and random numbers.
pub(crate) fn reached(options: &GrantOptions) -> Result<Grants, CliError> {
    let mut grants = Grants::none();
    grants.dirs.clone_from(&options.dirs);
    grants.net.clone_from(&options.net);
    for file in &options.env_files {
        for (place, line) in (1..).zip(read(file)?.lines()) {
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let found = variable(line, || format!(" ({}, line {place})", file.display()))?;
            grants.env.push(found);
        }
    }
    // What stands on the command line comes later, and so holds.
    for text in &options.env {
        grants.env.push(variable(text, String::new)?);
    }
    Ok(grants)
}

fn read(file: &Path) -> Result<String, CliError> {
    small_file::read(file).map_err(|error| CliError::Gone {
        message: format!(
            "cannot read variables from `{}`: {error}",
            plain::path(file)
        ),
        hint: "name a text file with one NAME=VALUE per line".to_owned(),
    })
}

/// One variable, with the value that is given or else the one that it has here. Messages say its
/// name and never a value.
fn variable(text: &str, place: impl Fn() -> String) -> Result<(String, String), CliError> {
    let (name, given) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let is_name = |name: &str| {
        !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if !is_name(name) {
        return Err(CliError::Wrong {
            message: format!(
                "`{}` is not a valid variable name: it is empty, or contains blanks{}",
                visible(name),
                place()
            ),
            hint: "use NAME=VALUE, or NAME to pass the current value".to_owned(),
        });
    }
    let missing = |what: &str| CliError::Wrong {
        message: format!("the variable `{name}` {what}{}", place()),
        hint: format!("use {name}=VALUE, or set the variable"),
    };
    let value = match given {
        Some(value) => value.to_owned(),
        None => match std::env::var(name) {
            Ok(value) => value,
            Err(std::env::VarError::NotPresent) => return Err(missing("is not set")),
            Err(std::env::VarError::NotUnicode(_)) => return Err(missing("is not valid UTF-8")),
        },
    };
    Ok((name.to_owned(), value))
}
