//! Panics: a fault of ours or of what we are built of. Most are contained where they happen and become a failure or an
//! error that says what they said; what is not ends the program, with a word and no backtrace.

use crate::exit::CliError;
use anyhow::anyhow;
use rwasm_cluster::plain::panic_text;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Runs the program. A panic prints nothing by itself, unless `RUST_BACKTRACE` asks for all there is to say.
pub(crate) fn contained(program: impl FnOnce() -> ExitCode) -> ExitCode {
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    catch_unwind(AssertUnwindSafe(program)).unwrap_or_else(|panic| {
        let text = panic_text(&*panic);
        let error = anyhow!("{text}");
        CliError::Internal(error).report(false)
    })
}
