//! Merging: many outcomes become one value.
//!
//! `builtin` has the merges that need no module: folds over values in the order of the input, with
//! no wasm and no threads.

mod builtin;
mod number;
mod order;
pub(crate) mod tree;

pub(crate) use builtin::Fold;
pub use builtin::{Builtin, MergeError, MergeTypeError};
