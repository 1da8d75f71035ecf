//! Values, their types and their forms, for `rwasm-cluster`: WIT's values in memory, packed, as JSON, as WAVE and as
//! text, with the ids, sizes and texts that every layer above them shares.
//!
//! What a user of the library needs of it is exported again by `rwasm-cluster`; what is hidden from these pages serves
//! the sister packages alone and changes with them. It knows nothing of wasmtime, of threads or of clocks.

#[cfg(test)]
#[path = "../arbitrary.rs"]
mod arbitrary;
#[cfg(test)]
extern crate self as rwasm_value;

pub mod format;
pub mod ids;
#[doc(hidden)]
pub mod plain;
pub mod units;
pub mod value;

pub use value::Argument;
