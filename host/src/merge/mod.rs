//! Merging: many outcomes become one value.
//!
//! `builtin` has the merges that need no module: folds over values in the order of the input, with
//! no wasm and no threads.

pub(crate) mod tree;
mod builtin;
mod number;
mod order;

pub use builtin::{Builtin, Fold, MergeError, MergeTypeError};
