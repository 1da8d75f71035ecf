//! Contains panics of parsers that read untrusted bytes. wit-parser is known to panic on types with
//! references that no compiler produces.

use rwasm_value::plain::panic_text;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `parse` and turns a panic in it into an error. The data it worked on is dropped by then.
pub(super) fn contained<T>(parse: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(parse))
        .unwrap_or_else(|panic| Err(format!("the parser panicked: {}", panic_text(&*panic))))
}
