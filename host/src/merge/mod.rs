//! Merging: many outcomes become one value.
//!
//! `builtin` has the merges that need no function of the module: folds over values in input order, without wasm or
//! threads. `tree` is the shape in which a guest's reducer merges.

mod builtin;
mod number;
mod order;
pub(crate) mod tree;

pub(crate) use builtin::Fold;
pub use builtin::{Builtin, MergeError, MergeTypeError};
