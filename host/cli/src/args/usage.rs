//! Usage errors, in the words of clap where they are right, and whether they have colors. This module does not
//! know what the arguments mean.

use super::ProjectFile;
use crate::exit::CliError;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, ColorChoice, Command};
use rwasm_cluster::plain::{in_line, leaves_line, visible};
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;

/// Examples for help; those of clusters are left out if this program has none.
pub(super) fn examples(text: &str) -> String {
    let concerns_clusters = |line: &str| line.contains("--cluster") || line.contains(" start ");
    let lines = text.lines();
    let lines = lines.filter(|line| cfg!(feature = "nats") || !concerns_clusters(line));
    lines.collect::<Vec<_>>().join("\n")
}

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
    let origin = origin_of(&error, command, file).or_else(|| without_clusters(&mut error));
    let (rendered, plain) = printed(&error);
    CliError::Usage {
        rendered,
        plain,
        origin,
    }
}

/// Two options of a command that exclude each other, both from the same source.
pub(super) fn conflict(
    (one, other): (&'static str, &'static str),
    command: &mut Command,
    (name, matches): (&str, &ArgMatches),
    file: &ProjectFile,
) -> CliError {
    let message = format!("the argument '--{one}' cannot be used with '--{other}'");
    let error = match command.find_subcommand_mut(name) {
        Some(command) => command.error(ErrorKind::ArgumentConflict, message),
        None => command.error(ErrorKind::ArgumentConflict, message),
    };
    let origin = match matches.value_source(one) {
        Some(ValueSource::CommandLine) => None,
        Some(ValueSource::EnvVariable) => {
            let variable = |option: &str| format!("`RWASM_{}`", option.to_uppercase());
            Some(format!(
                "the values come from the environment variables {} and {}",
                variable(one),
                variable(other)
            ))
        }
        _ => Some(format!("the values come from `{}`", file.path().display())),
    };
    let (rendered, plain) = printed(&error);
    CliError::Usage {
        rendered,
        plain,
        origin,
    }
}

/// The words of an error: with colors if they are wanted, and without.
fn printed(error: &clap::Error) -> (String, String) {
    if has_foreign_controls() {
        let text = in_lines(&error.render().ansi().to_string());
        return (text.clone(), text);
    }
    let plain = error.render().to_string();
    let colored = || error.render().ansi().to_string();
    (has_colors().then(colored).unwrap_or(plain.clone()), plain)
}

/// What to do about a command or an option that only a program with clusters has.
#[cfg(not(feature = "nats"))]
fn without_clusters(error: &mut clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let word = text(ContextKind::InvalidSubcommand).or_else(|| text(ContextKind::InvalidArg))?;
    let word = word.split([' ', '=']).next().unwrap_or_default();
    if !OF_CLUSTERS.contains(&word) {
        return None;
    }
    for kind in [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedArg,
        ContextKind::Suggested,
    ] {
        error.remove(kind);
    }
    Some(
        "this build has no clusters (feature `nats`): install with `cargo install --locked --path host/cli`"
            .to_owned(),
    )
}

/// The commands and options that a program without clusters lacks.
#[cfg(not(feature = "nats"))]
const OF_CLUSTERS: [&str; 18] = [
    "start",
    "status",
    "stop",
    "engine",
    "keys",
    "server-config",
    "init",
    "cancel",
    "--cluster",
    "--profile",
    "--key",
    "--ca",
    "--cert",
    "--cert-key",
    "--lane",
    "--detach",
    "--job-id",
    "--follow",
];

#[cfg(feature = "nats")]
fn without_clusters(_: &mut clap::Error) -> Option<String> {
    None
}

/// Where a wrong value is from, unless it was typed: the variable or the setting of its option, if that has this value.
fn origin_of(error: &clap::Error, command: &Command, file: &ProjectFile) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (argument, value) = (
        text(ContextKind::InvalidArg)?,
        text(ContextKind::InvalidValue)?,
    );
    let mut arguments = meant(command).get_arguments();
    let argument = arguments.find(|known| known.to_string() == argument)?;
    let is_part = |set: &str| set == value || set.split(',').any(|part| part == value);
    let has_value = |word: OsString| match word.to_str() {
        Some(word) if value.is_empty() => word.is_empty() || word.ends_with('='),
        Some(word) => match (word.strip_prefix("--"), word.strip_prefix('-')) {
            (Some(long), _) => long.split_once('=').is_some_and(|(_, set)| is_part(set)),
            // The value of a letter follows it, and other letters may precede it.
            (None, Some(letters)) => letters.len() > value.len() && letters.ends_with(value),
            (None, None) => is_part(word),
        },
        None => false,
    };
    if std::env::args_os().skip(1).any(has_value) {
        return None;
    }
    if let Some((name, set)) = argument
        .get_env()
        .and_then(|name| Some((name.to_string_lossy(), std::env::var(name).ok()?)))
    {
        return is_part(&set)
            .then(|| format!("the value comes from the environment variable `{name}`"));
    }
    // The cluster is also what a command about a cluster alone takes as its argument.
    let id = match argument.get_id().as_str() {
        "url" => "cluster",
        id => id,
    };
    let set = file.settings().get(id)?;
    is_part(set).then(|| format!("the value comes from `{}`", file.path().display()))
}

/// The command that the words name.
fn meant(command: &Command) -> &Command {
    let mut meant = command;
    for word in std::env::args_os().skip(1) {
        match meant.find_subcommand(&word) {
            Some(command) => meant = command,
            None => break,
        }
    }
    meant
}

/// clap does not say which argument it means; where one could be meant, they are named.
fn not_text(command: &Command) -> clap::Error {
    let mut before = None;
    let mut words = Vec::new();
    for word in std::env::args_os() {
        if word.to_str().is_none() {
            let option = before.and_then(|before: String| option_of(&before, command));
            let of = option.map(|option| format!(" for '{option}'"));
            words.push(format!("`{}`{}", shown(&word), of.unwrap_or_default()));
        }
        before = word.into_string().ok();
    }
    let settings = std::env::vars_os().filter(|(name, value)| {
        let is_ours = name.to_string_lossy().starts_with("RWASM_");
        is_ours && value.to_str().is_none()
    });
    words.extend(settings.map(|(name, value)| format!("`{}={}`", shown(&name), shown(&value))));
    let message = match words.as_slice() {
        [word] => format!("expected UTF-8 text instead of {word}"),
        words => format!(
            "expected UTF-8 text instead of one of these: {}",
            words.join(", ")
        ),
    };
    clap::Error::raw(ErrorKind::InvalidUtf8, message).with_cmd(command)
}

/// The option that a word is, if a value follows it.
fn option_of(word: &str, command: &Command) -> Option<String> {
    let mut options = meant(command).get_opts();
    let option = options.find(|option| {
        let long = word.strip_prefix("--");
        let short = word
            .strip_prefix('-')
            .and_then(|short| short.chars().next_back());
        long.is_some() && long == option.get_long()
            || long.is_none() && short.is_some() && short == option.get_short()
    })?;
    option
        .get_action()
        .takes_values()
        .then(|| option.to_string())
}

/// Whether the words or settings that errors repeat have characters that a terminal may obey, or that leave their line.
pub(super) fn has_foreign_controls() -> bool {
    !foreign_controls().is_empty()
}

/// The words and settings that have such characters, and the parts of them that errors may repeat.
fn foreign_controls() -> Vec<String> {
    let settings = std::env::vars_os()
        .filter(|(name, _)| name.to_string_lossy().starts_with("RWASM_"))
        .map(|(_, value)| value);
    let words = std::env::args_os().skip(1).chain(settings);
    let words = words.map(|word| word.to_string_lossy().into_owned());
    let mut found = Vec::new();
    for word in words.filter(|word| word.contains(leaves_line)) {
        let value = word.split_once('=').map(|(_, value)| value.to_owned());
        // Of `-j4` the error repeats `4`; another letter may precede that.
        let letters = word.strip_prefix('-').unwrap_or_default();
        let values = letters.char_indices().skip(1).take(3);
        found.extend(values.map(|(at, _)| letters[at..].to_owned()));
        let parts = word.split(['=', ',']).map(str::to_owned);
        found.extend(parts.chain(value));
        found.push(word);
    }
    found.retain(|part| part.contains(leaves_line));
    found
}

/// The text of an error with all that is foreign in it in one line, and nothing that a terminal obeys.
fn in_lines(text: &str) -> String {
    let mut foreign = foreign_controls();
    // Nothing but a line end cannot be told from those of the error, and without one all is escaped below.
    foreign.retain(|part| part.contains('\n') && part.contains(|letter| letter != '\n'));
    // The longest first: what they contain is escaped with them.
    foreign.sort_by(|one, other| (other.len(), other).cmp(&(one.len(), one)));
    foreign.dedup();
    let text = foreign.iter().fold(text.to_owned(), |text, word| {
        text.replace(word, &in_line(word))
    });
    visible(&text)
}

/// Whether the words of a usage error have colors.
fn has_colors() -> bool {
    match wanted_color() {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
        }
    }
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

/// Colors are wanted as the last such option says, else as the environment does; before parsing, since
/// clap's own messages have colors.
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
