//! Options that say which inputs a run reads, and how.

use super::values::{parsed, read};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};
use rwasm_cluster::{Header, InvalidUtf8, Pattern, RecordStart};
use std::num::NonZeroU64;
use std::path::PathBuf;

const INPUT: &str = "Input";

/// Which inputs a run reads, and how.
#[derive(Args, Debug)]
pub(crate) struct InputOptions {
    /// Read the names of further inputs from FILE, one a line; `-` is stdin
    #[arg(long, value_name = "FILE", env = "RWASM_FILES_FROM", hide_env = true, help_heading = INPUT)]
    pub(crate) files_from: Option<PathBuf>,

    /// Names in --files-from end with a NUL byte, as `find -print0` writes them
    #[arg(short = '0', long, env = "RWASM_NULL", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = INPUT)]
    pub(crate) null: bool,

    /// In directories, read only files that match GLOB; may be repeated
    ///
    /// A pattern with a `/` is compared with the path below the directory, any other with the name.
    #[arg(long, value_name = "GLOB", value_parser = read::<Pattern>, help_heading = INPUT)]
    pub(crate) include: Vec<Pattern>,

    /// In directories, leave out files and directories that match GLOB; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = read::<Pattern>, help_heading = INPUT)]
    pub(crate) exclude: Vec<Pattern>,

    /// Drop the first N lines of each input, or repeat them in each of its chunks
    #[arg(long, value_name = "N[:repeat]", value_parser = read::<Header>, env = "RWASM_HEADER", hide_env = true, help_heading = INPUT)]
    pub(crate) header: Option<Header>,

    /// Cut inputs after every N lines only
    #[arg(long, value_name = "N", value_parser = parsed::<NonZeroU64>("a number of lines such as 4"), env = "RWASM_RECORD_LINES", hide_env = true, help_heading = INPUT)]
    pub(crate) record_lines: Option<NonZeroU64>,

    /// Cut inputs only before lines that match REGEX
    #[arg(long, value_name = "REGEX", value_parser = read::<RecordStart>, env = "RWASM_RECORD_START", hide_env = true, help_heading = INPUT)]
    pub(crate) record_start: Option<RecordStart>,

    /// Inputs are CSV: do not cut at line ends in quoted fields
    #[arg(long, env = "RWASM_CSV", value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, hide_env = true, help_heading = INPUT)]
    pub(crate) csv: bool,

    /// What to do with bytes that are not UTF-8, for a function that takes a string
    #[arg(long, value_enum, default_value_t, value_name = "HOW", env = "RWASM_INVALID_UTF8", hide_env = true, help_heading = INPUT)]
    pub(crate) invalid_utf8: InvalidUtf8Argument,

    /// Whether to inflate inputs that are compressed by gzip, zstd, bzip2 or xz
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", env = "RWASM_DECOMPRESS", hide_env = true, help_heading = INPUT)]
    pub(crate) decompress: Decompress,
}

/// What becomes of bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum InvalidUtf8Argument {
    /// Fail the task
    #[default]
    Fail,
    /// Replace each sequence by U+FFFD
    Replace,
    /// Leave out the line
    SkipLine,
}

impl From<InvalidUtf8Argument> for InvalidUtf8 {
    fn from(argument: InvalidUtf8Argument) -> Self {
        match argument {
            InvalidUtf8Argument::Fail => Self::Fail,
            InvalidUtf8Argument::Replace => Self::Replace,
            InvalidUtf8Argument::SkipLine => Self::SkipLine,
        }
    }
}

/// Whether compressed inputs are inflated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Decompress {
    /// If their first bytes say that they are compressed
    #[default]
    Auto,
    /// Never: tasks get the bytes as they are
    Never,
}
