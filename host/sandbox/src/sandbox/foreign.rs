//! Calls of what is not ours: parsers with bytes that may be hostile. wit-parser is known to panic on types that refer
//! to others in ways no compiler makes.

use rwasm_value::plain::panic_text;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `parse` gives; a panic in it is an error like any other. What it worked on is gone by then.
pub(super) fn contained<T>(parse: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(parse)).unwrap_or_else(|panic| {
        let said = panic_text(&*panic).unwrap_or_default();
        Err(format!("the parser gave up on it: {said}"))
    })
}
