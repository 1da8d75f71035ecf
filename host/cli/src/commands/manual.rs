//! `completions`, `man` and `version`: what the program knows of its own command line.

use crate::args::{self, CompletionsArguments, ManArguments};
use crate::exit::CliError;
use crate::output::results::Output;
use crate::output::stdout::print;
use anyhow::Context as _;
use rwasm_cluster::plain;
use std::path::Path;

/// Prints the completion script for a shell.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<(), CliError> {
    let mut output = Output::open(None)?;
    output.bytes(&args::completions(arguments.shell))?;
    output.complete()
}

/// Prints the man page of the program, or writes those of all commands to a directory.
pub(crate) fn man(arguments: &ManArguments) -> Result<(), CliError> {
    let pages = args::man_pages()
        .context("a man page cannot be rendered")
        .map_err(CliError::Internal)?;
    if let Some(dir) = &arguments.dir {
        // Nobody who names a command wants a directory of that name.
        if args::is_command(dir.as_os_str()) {
            let name = dir.display();
            return Err(CliError::Wrong {
                message: format!("`man` takes a directory to write to, but `{name}` is a command"),
                hint: format!(
                    "`rwasm-cluster help {name}` shows its help; for a directory of that name write ./{name}"
                ),
            });
        }
        return write_all(dir, &pages);
    }
    let mut output = Output::open(None)?;
    for (_, page) in pages.iter().take(1) {
        output.bytes(page)?;
    }
    output.complete()
}

fn write_all(dir: &Path, pages: &[(String, Vec<u8>)]) -> Result<(), CliError> {
    std::fs::create_dir_all(dir).map_err(|source| CliError::Output {
        what: format!("`{}`", plain::path(dir)),
        source,
    })?;
    for (name, page) in pages {
        let mut output = Output::open(Some(&dir.join(name)))?;
        output.bytes(page)?;
        output.complete()?;
    }
    Ok(())
}

/// Prints the version.
pub(crate) fn version() -> Result<(), CliError> {
    print(&args::version())
}
