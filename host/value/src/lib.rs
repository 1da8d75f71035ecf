//! Values, their types and their forms, for `rwasm-cluster`: WIT values in memory, in packed form,
//! as JSON, as WAVE and as plain text, with the ids, sizes and texts that all higher layers share.
//!
//! `rwasm-cluster` re-exports everything that its users need. Items hidden from these pages serve
//! only the sister packages and change with them. `aside` is about the files that all of them write. This package knows nothing of wasmtime, engines or clocks.

#[cfg(test)]
#[path = "../arbitrary.rs"]
mod arbitrary;
#[cfg(test)]
extern crate self as rwasm_value;

#[doc(hidden)]
pub mod aside;
pub mod format;
pub mod ids;
#[doc(hidden)]
pub mod plain;
#[doc(hidden)]
pub mod small_file;
pub mod units;
pub mod value;

pub use value::Argument;
