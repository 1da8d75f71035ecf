//! Values of options: choices by name, times, sizes, limits.

use super::Loudness;
use clap::ValueEnum;
use rwasm_cluster::format::Format;
use rwasm_cluster::{
    BoundaryKind, Builtin, ByteSize, LogLevel, MAX_STACK, MAX_TABLE_ELEMENTS, MIN_STACK, Merge,
    Trace,
};
#[cfg(feature = "nats")]
use rwasm_cluster::{
    is_name,
    join::{LaneError, ServedLane},
    not_a_name,
};
#[cfg(feature = "nats")]
use std::num::NonZeroU32;
use std::num::NonZeroUsize;
#[cfg(feature = "nats")]
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Isolation of tasks in addition to the sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BoundaryArgument {
    /// None: engines are threads of the program
    #[default]
    Thread,
    /// Worker processes that are confined as far as this machine allows
    Process,
    /// The same; refuse to run if this machine lacks a layer
    Strict,
}

impl From<BoundaryArgument> for BoundaryKind {
    fn from(argument: BoundaryArgument) -> Self {
        match argument {
            BoundaryArgument::Thread => Self::Thread,
            BoundaryArgument::Process => Self::Process,
            BoundaryArgument::Strict => Self::Strict,
        }
    }
}

/// How tasks are assigned to engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// Any free engine
    #[default]
    Balanced,
    /// Fixed in advance: a contiguous block of the input for each engine
    Direct,
}

/// How long an instance is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReuseArgument {
    /// A fresh instance for every task
    #[default]
    None,
    /// One instance for the tasks of a dispatch
    Dispatch,
    /// One instance per engine; its state persists between tasks
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

/// The lowest level of task logs that is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFrom {
    /// Nothing
    Off,
    /// Errors
    Error,
    /// Errors and warnings
    #[default]
    Warn,
    /// Informational messages as well
    Info,
    /// Debugging details as well
    Debug,
    /// Everything
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

/// What is shown of what successful tasks write to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StderrShown {
    /// Every line
    All,
    /// One line at the end
    Summary,
    /// Nothing
    None,
}

impl StderrShown {
    /// As is wished, else as fits how much is shown otherwise.
    pub(crate) fn resolve(wished: Option<Self>, loudness: &Loudness) -> Self {
        match wished {
            _ if loudness.quiet => Self::None,
            Some(wished) => wished,
            None if loudness.verbose => Self::All,
            None => Self::Summary,
        }
    }
}

/// How `inspect` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum InspectFormat {
    /// For people
    #[default]
    Text,
    /// WIT, ready to be saved to a file
    Wit,
    /// One JSON document
    Json,
}

/// A limit that is set with `--limit`.
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
    Inflated(ByteSize),
    Module(ByteSize),
    Wall(Duration),
    CompileTime(Duration),
    CompileMemory(ByteSize),
    Compiled(ByteSize),
}

impl FromStr for LimitArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("expected one of {}", limit_names()))?;
        let size = || read::<ByteSize>(value);
        let number = || {
            value
                .parse::<usize>()
                .map_err(|_| format!("expected a number of {name}"))
        };
        match name {
            "input" => size().map(Self::Input),
            "output" => size().map(Self::Output),
            "logs" => size().map(Self::Logs),
            "table-elements" => match number()? {
                number if number > MAX_TABLE_ELEMENTS => Err(format!(
                    "expected at most {MAX_TABLE_ELEMENTS} table elements"
                )),
                number => Ok(Self::TableElements(number)),
            },
            "handles" => number().map(Self::Handles),
            "files" => number().map(Self::Files),
            "random" => size().map(Self::Random),
            "written" => size().map(Self::Written),
            "inflated" => positive_size(value).map(Self::Inflated),
            "stack" => match size()? {
                size if !(MIN_STACK..=MAX_STACK).contains(&size) => {
                    Err(format!("expected a stack of {MIN_STACK} to {MAX_STACK}"))
                }
                size => Ok(Self::Stack(size)),
            },
            "module" => positive_size(value).map(Self::Module),
            "wall" => duration(value).map(Self::Wall),
            "compile-time" => duration(value).map(Self::CompileTime),
            "compile-memory" => positive_size(value).map(Self::CompileMemory),
            "compiled" => positive_size(value).map(Self::Compiled),
            _ => Err(format!("expected one of {}", limit_names())),
        }
    }
}

/// The limits of `--limit`: their names with units, their defaults and what they bound.
pub(crate) const LIMITS: [(&str, &str, &str); 15] = [
    (
        "input=SIZE",
        "64MiB",
        "Data copied into a guest, except command stdin",
    ),
    ("output=SIZE", "64MiB", "Result of a task"),
    (
        "wall=TIME",
        "10 times --timeout",
        "Time of a deterministic task by the clock",
    ),
    ("logs=SIZE", "64KiB", "Kept logs and stderr of a task"),
    ("stack=SIZE", "512KiB", "Stack of a task"),
    ("random=SIZE", "1MiB", "Random bytes per request"),
    ("table-elements=N", "100000", "Table elements of a task"),
    ("handles=N", "256", "Handles a task holds at a time"),
    (
        "written=SIZE",
        "1GiB",
        "Bytes written to granted directories",
    ),
    ("files=N", "10000", "Files created in granted directories"),
    (
        "inflated=SIZE",
        "256GiB",
        "Data that a compressed input inflates to",
    ),
    ("module=SIZE", "128MiB", "Module file"),
    (
        "compile-time=TIME",
        "300s",
        "Processor time to compile the module",
    ),
    (
        "compile-memory=SIZE",
        "4GiB",
        "Memory to compile the module",
    ),
    ("compiled=SIZE", "2GiB", "Compiled code"),
];

/// The names of all limits with their units, for error messages.
fn limit_names() -> String {
    LIMITS.map(|(name, ..)| name).join(", ")
}

/// The help of `--limit`: a table of all limits.
pub(super) fn limit_help() -> String {
    let lines =
        LIMITS.map(|(name, default, what)| format!("  {name:<21}{what} [default: {default}]"));
    format!(
        "Set another limit; separate several with commas\n\n{}",
        lines.join("\n")
    )
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| "expected a time such as 500ms, 30s or 2h".to_owned())?;
    if duration.is_zero() {
        Err("expected a time greater than 0".to_owned())
    } else {
        Ok(duration)
    }
}

pub(super) fn positive_size(text: &str) -> Result<ByteSize, String> {
    at_least(ByteSize::new(1), text)
}

/// The size of the history, which holds less than its bookkeeping needs if it is smaller.
pub(super) fn history_size(text: &str) -> Result<ByteSize, String> {
    at_least(ByteSize::mib(1), text)
}

/// The size of a trace, of which the last words need some.
pub(super) fn trace_limit(text: &str) -> Result<ByteSize, String> {
    at_least(Trace::LEAST, text)
}

fn at_least(least: ByteSize, text: &str) -> Result<ByteSize, String> {
    match read::<ByteSize>(text)? {
        size if size < least => Err(format!("expected a size of at least {least}")),
        size => Ok(size),
    }
}

/// What a type of the library reads. clap has named the text, so the error says only what is expected: `X` is not a
/// valid Y: write Z becomes `expected Z`.
pub(super) fn read<T>(text: &str) -> Result<T, String>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| {
        let message = error.to_string();
        let reason = message
            .strip_prefix(&format!("`{text}` is not a valid "))
            .and_then(|rest| rest.split_once(": "));
        match reason.map(|(_, reason)| (reason, reason.strip_prefix("write "))) {
            Some((_, Some(wanted))) => format!("expected {wanted}"),
            Some((reason, None)) => reason.to_owned(),
            None => message,
        }
    })
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
    let none = PossibleValue::new(Merge::None.name()).help("No merge: one line per result");
    PossibleValuesParser::new(builtins.into_iter().chain([none]))
        .try_map(|name| name.parse::<Merge>())
}

/// What `--merge` is, with the names that it takes.
pub(super) fn merge_help() -> String {
    let names = Builtin::ALL.map(Builtin::name).join(", ");
    format!("Merge: {names}, {}", Merge::None)
}

/// The same, and what becomes of the reducer.
pub(super) fn merge_long_help() -> String {
    format!("{}\n\nA built-in merge replaces the reducer.", merge_help())
}

/// Any time, none at all included.
pub(super) fn pause(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text)
        .map_err(|_| "expected a time such as 100ms, 2s or 1m".to_owned())
}

/// A number that counts something and is not 0.
pub(super) fn count(text: &str) -> Result<usize, String> {
    parsed("a number of at least 1")(text).map(NonZeroUsize::get)
}

/// What the number of engines should be.
pub(super) const OF_ENGINES: &str = "a number of engines such as 4";

/// A number, or whatever else Rust reads by itself; `wanted` describes it with an example.
pub(super) fn parsed<T: FromStr>(
    wanted: &'static str,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| text.parse().map_err(|_| format!("expected {wanted}"))
}

/// The lane of a cluster.
#[cfg(feature = "nats")]
pub(super) fn lane(text: &str) -> Result<String, String> {
    name("lane", text)
}

/// A lane that engines serve, perhaps with a weight.
#[cfg(feature = "nats")]
pub(super) fn served_lane(text: &str) -> Result<ServedLane, String> {
    let (name, _) = text.split_once('=').unwrap_or((text, ""));
    lane(name)?;
    text.parse().map_err(|error: LaneError| error.to_string())
}

/// A directory by a name.
#[cfg(feature = "nats")]
pub(super) fn named_dir(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((named, dir)) if !dir.is_empty() => Ok((name("tenant", named)?, dir.into())),
        _ => Err("expected a name and a directory such as red=keys-red".to_owned()),
    }
}

/// The key of a tenant, perhaps with a weight.
#[cfg(feature = "nats")]
pub(super) fn tenant_key(text: &str) -> Result<(PathBuf, NonZeroU32), String> {
    let Some((path, weight)) = text.rsplit_once('=') else {
        return Ok((text.into(), NonZeroU32::MIN));
    };
    match weight.parse() {
        Ok(weight) => Ok((path.into(), weight)),
        // It is part of the file's name.
        Err(_) if Path::new(text).exists() => Ok((text.into(), NonZeroU32::MIN)),
        Err(_) => Err(format!(
            "`{weight}` is not a weight: expected a number from 1, as in red.key=3"
        )),
    }
}

/// The name of a profile, which is that of a file too.
#[cfg(feature = "nats")]
pub(super) fn profile(text: &str) -> Result<String, String> {
    name("profile name", text)
}

/// The id of a durable job; numbers name jobs of the history.
#[cfg(feature = "nats")]
pub(super) fn job_id(text: &str) -> Result<String, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        return Err("a number is the id of a job in the history; add a letter".to_owned());
    }
    name("job id", text)
}

#[cfg(feature = "nats")]
fn name(what: &str, text: &str) -> Result<String, String> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    let message = not_a_name(what, text);
    let wanted = message
        .split_once(": write ")
        .map(|(_, wanted)| format!("expected {wanted}"));
    Err(wanted.unwrap_or(message))
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

        #[test]
        fn no_error_repeats_the_text(text in "[a-z0-9:%,.]{4,12}") {
            let errors = [
                read::<rwasm_cluster::Chunking>(&text).err(),
                read::<rwasm_cluster::Policy>(&text).err(),
                read::<rwasm_cluster::Tolerance>(&text).err(),
                read::<rwasm_cluster::Targets>(&text).err(),
                read::<rwasm_cluster::NetGrant>(&text).err(),
                positive_size(&text).err(),
                duration(&text).err(),
            ];
            for error in errors.into_iter().flatten() {
                prop_assert!(!error.contains(&format!("`{text}`")), "{error}");
            }
        }
    }
}
