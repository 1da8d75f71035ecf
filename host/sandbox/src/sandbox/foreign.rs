//! Contains panics of parsers that read untrusted bytes. wit-parser is known to panic on types with
//! references that no compiler produces.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `parse` and turns a panic in it into an error. The data it worked on is dropped by then.
pub(super) fn contained<T>(parse: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(parse)).unwrap_or_else(|panic| {
        let said = said(&*panic);
        Err(format!("the parser panicked: {said}"))
    })
}

/// Returns the message of a panic, or an empty text.
pub(super) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
