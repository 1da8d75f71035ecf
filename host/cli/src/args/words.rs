//! What has to be known of the words before clap reads them: whether they ask for help, and whether a project file
//! concerns them.

use std::ffi::{OsStr, OsString};

/// Whether the words ask for help, which must work beside a project file that has to be mended. `engine`, which has
/// commands of its own, has the word too.
pub(crate) fn asks_for_help() -> bool {
    let words = || options(std::env::args_os().skip(1));
    let mut names = words().filter(|word| !word.as_encoded_bytes().starts_with(b"-"));
    let is_word = names.next().is_some_and(|word| word == "engine")
        && names.next().is_none_or(|word| word == "help");
    is_word || words().any(|word| is_help(&word))
}

/// Whether the words name a command that takes settings from a project file.
pub(crate) fn are_configured() -> bool {
    let command = command(std::env::args_os().skip(1));
    let mut configured = super::CONFIGURED.iter();
    command.is_some_and(|command| configured.any(|name| command == *name))
}

/// The words that may be options.
fn options(words: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    words.take_while(|word| word != "--")
}

/// The first word that is neither an option nor the value of `--color`: the command.
fn command(words: impl Iterator<Item = OsString>) -> Option<OsString> {
    let mut words = options(words);
    while let Some(word) = words.next() {
        if word == "--color" {
            words.next();
        } else if !word.as_encoded_bytes().starts_with(b"-") {
            return Some(word);
        }
    }
    None
}

/// Whether the word is `--help` or `-h`, which may follow other letters, as in `-qh`.
fn is_help(word: &OsStr) -> bool {
    let Some(word) = word.to_str() else {
        return false;
    };
    let letters = word.strip_prefix('-').unwrap_or_default();
    word == "--help" || letters.trim_start_matches(['q', 'v']).starts_with('h')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(typed: &str) -> impl Iterator<Item = OsString> {
        typed.split(' ').map(OsString::from)
    }

    #[test]
    fn help_is_asked_for_by_any_option() {
        for (typed, asks) in [
            ("run --help", true),
            ("job list -h", true),
            ("run m.wasm -qh", true),
            ("run m.wasm --history", false),
            ("run m.wasm help", false),
            ("run m.wasm -- --help", false),
        ] {
            let found = options(words(typed)).any(|word| is_help(&word));
            assert_eq!(found, asks, "{typed}");
        }
    }

    #[test]
    fn the_command_is_the_first_word_that_is_not_an_option() {
        for (typed, expected) in [
            ("run m.wasm", Some("run")),
            ("--color never version", Some("version")),
            ("--color=never -v map", Some("map")),
            ("--color run", None),
            ("-- run", None),
        ] {
            let found = command(words(typed));
            assert_eq!(found, expected.map(OsString::from), "{typed}");
        }
    }
}
