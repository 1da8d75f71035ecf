//! What clap derives from the definitions of all commands: the version, completion scripts and man pages.

use super::Arguments;
use clap::builder::Resettable;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

/// Print a completion script for a shell.
#[derive(Args, Debug)]
#[command(before_help = "Examples:
  dir=~/.local/share/bash-completion/completions; mkdir -p $dir
  rwasm-cluster completions bash > $dir/rwasm-cluster
  rwasm-cluster completions fish | source")]
pub(crate) struct CompletionsArguments {
    /// Shell to complete commands in
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// Print the man page, or write the man pages of all commands to a directory.
#[derive(Args, Debug)]
#[command(before_help = "Examples:
  rwasm-cluster man | man -l -                read the main man page
  rwasm-cluster man ~/.local/share/man/man1   install those of all commands")]
pub(crate) struct ManArguments {
    /// Directory for the man pages of all commands; created if missing
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// The name and version of the program, as `--version` prints them.
pub(crate) fn version() -> String {
    Arguments::command().render_version()
}

/// Whether a word is the name of a command.
pub(crate) fn is_command(word: &OsStr) -> bool {
    let mut command = Arguments::command();
    command.build();
    command.find_subcommand(word).is_some()
}

/// The script that completes command lines in a shell.
pub(crate) fn completions(shell: Shell) -> Vec<u8> {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    if shell == Shell::Bash {
        // It takes the `__` that stands for the dash of our name for the border between two commands.
        let text = String::from_utf8_lossy(&script);
        script = text
            .replace("rwasm__subcmd__cluster__", "rwasm__cluster__")
            .into();
    }
    script
}

/// The man pages of all commands by their file names, that of the program itself first.
pub(crate) fn man_pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add_pages(&command, &mut pages)?;
    Ok(pages)
}

fn add_pages(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    // Examples come before the options on a terminal, and at the end of a man page. For options that `-h` leaves out,
    // a page would have a name and no text.
    let bare = command
        .clone()
        .mut_args(|argument| argument.hide_short_help(false))
        .after_help(Resettable::Reset)
        .after_long_help(Resettable::Reset);
    let man = Man::new(bare).source(version().trim_end());
    let mut page = Vec::new();
    man.render(&mut page)?;
    if let Some(text) = command.get_before_help() {
        page.extend(examples_section(&text.to_string()).into_bytes());
    }
    if let Some(text) = command.get_after_long_help().or(command.get_after_help()) {
        page.extend(notes_section(&text.to_string()).into_bytes());
    }
    pages.push((man.get_filename(), page));
    for command in command.get_subcommands() {
        add_pages(command, pages)?;
    }
    Ok(())
}

/// The section with the examples, a line each; what one does is a comment, so that a copy of the line still runs.
fn examples_section(text: &str) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in text.lines().skip(1) {
        let line = line.strip_prefix("  ").unwrap_or(line);
        let line = match line.split_once("   ") {
            Some((command, comment)) if !command.is_empty() => {
                format!("{command}  # {}", comment.trim_start())
            }
            _ => line.to_owned(),
        };
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.to_roff()
}

/// The section with everything else. An indented line stands by itself.
fn notes_section(text: &str) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]);
    for line in text.lines() {
        if line.starts_with(' ') {
            roff.control("br", []);
        }
        roff.text([roman(line)]);
    }
    roff.to_roff()
}
