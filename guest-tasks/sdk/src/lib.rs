//! Tasks for rwasm-cluster, written as ordinary Rust functions.
//!
//! ```
//! /// The number of words in the text.
//! #[rwasm_task::export]
//! fn mapper(text: &str) -> u64 {
//!     text.split_whitespace().count() as u64
//! }
//!
//! assert_eq!(mapper("two words"), 2);
//! ```
//!
//! [`export`] exports a function from the module; its type in WIT follows from its signature. It
//! stays an ordinary function, which unit tests call directly. [`Type`](derive@Type) turns structs
//! and enums into records, variants, enums and flags. [`host`] has the host's functions for tasks.
//! A program with a `main` needs none of this.
//!
//! The module is built with `crate-type = ["cdylib"]` for `wasm32-wasip1`, and carries its types:
//! it can be run as it is, or be turned into a component.

extern crate self as rwasm_task;

mod call;
mod encode;
pub mod host;
mod json;
mod lift;
mod lower;
mod panics;
#[cfg(all(feature = "realloc", target_family = "wasm"))]
mod realloc;
mod ty;
mod types;

pub use lift::Lift;
pub use lower::Lower;
pub use rwasm_task_macros::{Type, export};
pub use types::{Type, Typed};

/// For unit tests: what tasks report, and the values that they read.
#[cfg(not(target_family = "wasm"))]
pub mod testing {
    pub use crate::host::native::{Reported, push, reported};
}

/// Only for the code that the attribute and the derive generate; it changes without notice.
#[doc(hidden)]
pub mod rt {
    pub use crate::call::{
        Arguments, CoreType, Export, Parameter, Slot, free, parameter, result, run,
    };
    pub use crate::encode::{Function, export, export_len};
    pub use crate::json::{Json, Mismatch, Record, case, flags, payload};
    pub use crate::lift::{
        Lift, Slots, load_case, load_field, load_flags, load_payload, no_such_case,
    };
    pub use crate::lower::{Arena, Lower, store_case, store_field, store_flags, store_payload};
    pub use crate::ty::{Flat, Ty};
    pub use crate::types::{Type, argument, both, given};
}
