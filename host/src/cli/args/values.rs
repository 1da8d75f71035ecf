//! Values of options: choices by name, times, sizes, limits.

use clap::ValueEnum;
use rwasm_cluster::format::Format;
use rwasm_cluster::{ByteSize, MAX_TABLE_ELEMENTS};
use std::str::FromStr;
use std::time::Duration;

/// Which engine runs which task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// Whichever is free
    #[default]
    Balanced,
    /// Fixed beforehand: each engine gets a contiguous block of the input
    Direct,
}

/// How long an instance lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReuseArgument {
    /// A fresh one for every task
    #[default]
    None,
    /// One for the tasks handed over together
    Dispatch,
    /// One per engine: state lives between tasks
    Engine,
}

/// A built-in merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MergeArgument {
    /// All values in a list
    Collect,
    /// Strings, bytes or lists joined
    Concat,
    /// The sum of numbers, or of the numbers of equal keys
    Sum,
    /// The least value
    Min,
    /// The greatest value
    Max,
    /// The number of outcomes
    Count,
    /// Each outcome on a line of its own
    None,
}

/// When something is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How `inspect` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum InspectFormat {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// A limit that has no option of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitArgument {
    Input(ByteSize),
    Output(ByteSize),
    Logs(ByteSize),
    TableElements(usize),
    Handles(usize),
}

impl FromStr for LimitArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NAMES: &str = "input=SIZE, output=SIZE, logs=SIZE, table-elements=N, handles=N";
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` sets no limit: write {NAMES}"))?;
        let size = || value.parse::<ByteSize>().map_err(|error| error.to_string());
        let number = || {
            value
                .parse::<usize>()
                .map_err(|_| format!("`{value}` is no number of {name}"))
        };
        match name {
            "input" => size().map(Self::Input),
            "output" => size().map(Self::Output),
            "logs" => size().map(Self::Logs),
            "table-elements" => match number()? {
                number if number > MAX_TABLE_ELEMENTS => Err(format!(
                    "a task has at most {MAX_TABLE_ELEMENTS} table elements"
                )),
                number => Ok(Self::TableElements(number)),
            },
            "handles" => number().map(Self::Handles),
            _ => Err(format!("there is no limit `{name}`: write {NAMES}")),
        }
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a time like 500ms, 30s or 2h"))?;
    if duration.is_zero() {
        Err("a time of 0 leaves none".to_owned())
    } else {
        Ok(duration)
    }
}

pub(super) fn positive_size(text: &str) -> Result<ByteSize, String> {
    let size = text
        .parse::<ByteSize>()
        .map_err(|error| error.to_string())?;
    if size.bytes() == 0 {
        Err("a size of 0 leaves no room".to_owned())
    } else {
        Ok(size)
    }
}

pub(super) fn format_parser() -> impl clap::builder::TypedValueParser<Value = Format> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(Format::ALL.map(Format::name)).try_map(|name| name.parse::<Format>())
}

/// Any time, none at all included.
pub(super) fn pause(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a time like 100ms, 2s or 1m"))
}

/// A number that counts something and is not 0.
pub(super) fn count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("at least 1 is wanted".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}: write a number from 1")),
    }
}
