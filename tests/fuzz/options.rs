//! The command line of the fuzz targets. What `cargo test` passes on to every test program is understood, too.

use std::path::PathBuf;
use std::time::Duration;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Run,
    List,
    /// Runs one target in this process: for the runner only.
    Work,
}

/// The options of one call.
pub(crate) struct Options {
    pub(crate) action: Action,
    /// This target and no other; there must be one of this name.
    pub(crate) target: Option<String>,
    pub(crate) seed: u64,
    /// How many inputs; the target's own number where it is not said.
    pub(crate) runs: Option<u64>,
    /// For how long, instead of a number of inputs.
    pub(crate) time: Option<Duration>,
    /// This input only.
    pub(crate) only: Option<u64>,
    /// The input in this file only.
    pub(crate) input: Option<PathBuf>,
    /// Where the input is written before it runs.
    pub(crate) save: Option<PathBuf>,
    filters: Vec<String>,
    exact: bool,
}

/// What stands here is what every run of `cargo test` tries.
const SEED: u64 = 1;

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            action: Action::Run,
            target: None,
            seed: SEED,
            runs: None,
            time: None,
            only: None,
            input: None,
            save: None,
            filters: Vec::new(),
            exact: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} wants a value"))
            };
            match argument.as_str() {
                "--list" => options.action = Action::List,
                "--work" => options.action = Action::Work,
                "--target" => options.target = Some(value()?),
                "--seed" => options.seed = number(&value()?)?,
                "--runs" => options.runs = Some(number(&value()?)?),
                "--only" => options.only = Some(number(&value()?)?),
                "--time" => {
                    let time = value()?;
                    let time = humantime::parse_duration(&time)
                        .map_err(|error| format!("{error}: write a time like 60s or 10m"))?;
                    options.time = Some(time);
                }
                "--input" => options.input = Some(value()?.into()),
                "--save" => options.save = Some(value()?.into()),
                "--exact" => options.exact = true,
                // Of the usual test programs: there is nothing here that they could mean.
                "--nocapture" | "--no-capture" | "--quiet" | "-q" | "--show-output"
                | "--include-ignored" => {}
                "--test-threads" | "--format" | "--color" | "--skip" => drop(value()?),
                option if option.starts_with('-') && option.contains('=') => {}
                option if option.starts_with('-') => {
                    return Err(format!("unknown option {option}"));
                }
                filter => options.filters.push(filter.to_owned()),
            }
        }
        Ok(options)
    }

    /// Whether this target is one of those that were named, as tests are by parts of their names.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let is_meant = |filter: &String| {
            if self.exact {
                name == filter
            } else {
                name.contains(filter.as_str())
            }
        };
        if let Some(target) = &self.target {
            return name == target;
        }
        self.filters.is_empty() || self.filters.iter().any(is_meant)
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a number from 0"))
}
