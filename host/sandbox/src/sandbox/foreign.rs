//! Calls of what is not ours: parsers with bytes that may be hostile. wit-parser is known to panic on types that refer
//! to others in ways no compiler makes.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `parse` gives; a panic in it is an error like any other. What it worked on is gone by then.
pub(super) fn contained<T>(parse: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(parse)).unwrap_or_else(|panic| {
        let said = said(&*panic);
        Err(format!("the parser panicked: {said}"))
    })
}

/// The text of a panic, if it has one.
pub(super) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
