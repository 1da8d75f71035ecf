//! Usage errors, in the words of clap where they are right, and whether they have colors. This module does not
//! know what the arguments mean.

use super::ProjectFile;
use crate::exit::CliError;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ColorChoice, Command};
use rwasm_cluster::plain::visible;
use std::ffi::OsStr;

/// Help and version are not errors; anything else is the user's mistake.
pub(super) fn usage(mut error: clap::Error, command: &Command, file: &ProjectFile) -> CliError {
    if !error.use_stderr() {
        match error.print() {
            // A reader that has gone away needs no help.
            Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
                return CliError::Output {
                    what: "stdout".to_owned(),
                    source,
                };
            }
            _ => std::process::exit(0),
        }
    }
    match error.kind() {
        ErrorKind::InvalidUtf8 => error = not_text(command),
        ErrorKind::UnknownArgument => name_whole(&mut error),
        _ => {}
    }
    CliError::Usage {
        rendered: error.render().ansi().to_string(),
        plain: error.render().to_string(),
        file: file.path_if_used(&error.to_string()),
    }
}

/// clap does not say which argument it means; where one could be meant, they are named.
fn not_text(command: &Command) -> clap::Error {
    let words = std::env::args_os().filter(|word| word.to_str().is_none());
    let words = words.map(|word| format!("`{}`", shown(&word)));
    let settings = std::env::vars_os().filter(|(name, value)| {
        let is_ours = name.to_string_lossy().starts_with("RWASM_");
        is_ours && value.to_str().is_none()
    });
    let settings = settings.map(|(name, value)| format!("`{}={}`", shown(&name), shown(&value)));
    let words: Vec<String> = words.chain(settings).collect();
    let message = match words.as_slice() {
        [word] => format!("expected UTF-8 text instead of {word}"),
        words => format!(
            "expected UTF-8 text instead of one of these: {}",
            words.join(", ")
        ),
    };
    clap::Error::raw(ErrorKind::InvalidUtf8, message).with_cmd(command)
}

/// The text in it, with what is none as bytes.
fn shown(word: &OsStr) -> String {
    let chunks = word.as_encoded_bytes().utf8_chunks();
    let shown = chunks.map(|chunk| {
        format!(
            "{}{}",
            visible(chunk.valid()),
            chunk.invalid().escape_ascii()
        )
    });
    shown.collect()
}

/// Of a word like `-inf`, clap takes its first letter for the option, and so does the tip that it gives.
fn name_whole(error: &mut clap::Error) {
    let Some(ContextValue::String(letter)) = error.get(ContextKind::InvalidArg) else {
        return;
    };
    if letter.starts_with("--") {
        return;
    }
    let words = std::env::args_os().skip(1).take_while(|word| word != "--");
    let mut words = words.filter_map(|word| word.into_string().ok());
    let Some(word) = words.find(|word| word.starts_with(letter.as_str()) && word != letter) else {
        return;
    };
    let word = visible(&word);
    if error.get(ContextKind::Suggested).is_some() {
        let tip = format!("to pass '{word}' as a value, use '-- {word}'");
        let tips = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tips);
    }
    error.insert(ContextKind::InvalidArg, ContextValue::String(word));
}

/// Colours are wanted as the last such option says, else as the environment does; before parsing, since
/// clap's own messages have colours.
pub(super) fn wanted_color() -> ColorChoice {
    // Arguments need not be text; those that matter here are.
    let mut words = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .take_while(|word| word != "--");
    let mut value = std::env::var("RWASM_COLOR").ok();
    while let Some(word) = words.next() {
        if let Some(given) = word.strip_prefix("--color=") {
            value = Some(given.to_owned());
        } else if word == "--color" {
            value = words.next();
        }
    }
    match value.as_deref() {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}
