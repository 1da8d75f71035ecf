//! What commands print of the program itself.

use crate::exit::CliError;
use std::io::Write as _;

/// Prints what a command shows of the program itself, where there is no result to write to a file.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(CliError::OutputClosed),
        Err(source) => Err(CliError::Output {
            what: "stdout".to_owned(),
            source,
        }),
    }
}
