//! Values of options: choices by name, times, sizes, limits.

use clap::ValueEnum;
use rwasm_cluster::format::Format;
use rwasm_cluster::{Builtin, ByteSize, LogLevel, MAX_STACK, MAX_TABLE_ELEMENTS, MIN_STACK, Merge};
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

/// From which level on what tasks log is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFrom {
    /// Nothing
    Off,
    /// What is wrong
    Error,
    /// What may be wrong, too
    #[default]
    Warn,
    /// What people want to know, too
    Info,
    /// What helps to find a fault, too
    Debug,
    /// Every step
    Trace,
}

impl LogFrom {
    pub(crate) fn level(self) -> Option<LogLevel> {
        match self {
            Self::Off => None,
            Self::Error => Some(LogLevel::Error),
            Self::Warn => Some(LogLevel::Warn),
            Self::Info => Some(LogLevel::Info),
            Self::Debug => Some(LogLevel::Debug),
            Self::Trace => Some(LogLevel::Trace),
        }
    }
}

/// How `inspect` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum InspectFormat {
    /// For people
    #[default]
    Text,
    /// Its WIT, ready to be put in a file
    Wit,
    /// One JSON document
    Json,
}

/// A limit that has no option of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitArgument {
    Input(ByteSize),
    Output(ByteSize),
    Logs(ByteSize),
    Stack(ByteSize),
    Random(ByteSize),
    Written(ByteSize),
    TableElements(usize),
    Handles(usize),
    Files(usize),
    Module(ByteSize),
    CompileTime(Duration),
    CompileMemory(ByteSize),
    Compiled(ByteSize),
}

impl FromStr for LimitArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NAMES: &str = "input=SIZE, output=SIZE, logs=SIZE, stack=SIZE, random=SIZE, written=SIZE, table-elements=N, handles=N, files=N, \
             module=SIZE, compile-time=TIME, compile-memory=SIZE, compiled=SIZE";
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
            "files" => number().map(Self::Files),
            "random" => size().map(Self::Random),
            "written" => size().map(Self::Written),
            "stack" => match size()? {
                size if !(MIN_STACK..=MAX_STACK).contains(&size) => {
                    Err(format!("a stack has {MIN_STACK} to {MAX_STACK}"))
                }
                size => Ok(Self::Stack(size)),
            },
            "module" => positive_size(value).map(Self::Module),
            "compile-time" => duration(value).map(Self::CompileTime),
            "compile-memory" => positive_size(value).map(Self::CompileMemory),
            "compiled" => positive_size(value).map(Self::Compiled),
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

/// The merges that a user can name, by the name that the library has for each.
pub(super) fn merge_parser() -> impl clap::builder::TypedValueParser<Value = Merge> {
    use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
    let builtins =
        Builtin::ALL.map(|builtin| PossibleValue::new(builtin.name()).help(builtin.summary()));
    let none = PossibleValue::new(Merge::None.name()).help("Each outcome on a line of its own");
    PossibleValuesParser::new(builtins.into_iter().chain([none]))
        .try_map(|name| name.parse::<Merge>())
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

        #[test]
        fn no_text_panics(text in "((input|output|logs|table-elements|handles)=)?[0-9]{0,24}[a-zA-Z0-9.= ]{0,8}|\\PC{0,16}") {
            let limit = text.parse::<LimitArgument>();
            if let Ok(LimitArgument::TableElements(number)) = limit {
                prop_assert!(number <= MAX_TABLE_ELEMENTS);
            }
            if let Ok(time) = duration(&text) {
                prop_assert!(!time.is_zero());
            }
            if let Ok(size) = positive_size(&text) {
                prop_assert!(size.bytes() > 0);
            }
            if let Ok(count) = count(&text) {
                prop_assert!(count > 0);
            }
            let _ = pause(&text);
        }
    }
}
