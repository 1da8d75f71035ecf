//! Contains panics of parsers that read untrusted bytes. wit-parser is known to panic on types with
//! references that no compiler produces.

use rwasm_value::plain::panic_text;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `parse` and turns a panic in it into an error. The data it worked on is dropped by then.
pub(super) fn contained<T, E: From<String>>(parse: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(parse))
        .unwrap_or_else(|panic| Err(format!("the parser panicked: {}", panic_text(&*panic)).into()))
}

/// Why a module's types were not read.
pub(super) enum Refused {
    /// It is not valid.
    Invalid(String),
    /// It is valid, but the program has no words for it.
    Unsupported(String),
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Self::Invalid(message)
    }
}
