//! The sandbox of `rwasm-cluster`: a module is loaded, compiled and run in it, one task at a time, under limits.
//!
//! What a user of the library needs of it is exported again by `rwasm-cluster`; what is hidden from these pages serves
//! the sister packages alone and changes with them. `sandbox` alone knows wasmtime; the modules before it are the words
//! that it shares with whoever wants a task run: what one may use and reach, what is handed to it, what becomes of it.
//! It knows no engines, jobs, retries or merges.

#[cfg(test)]
#[path = "../../value/arbitrary.rs"]
mod arbitrary;

pub mod grants;
pub mod limits;

#[doc(hidden)]
pub mod cancel;
pub mod note;
pub mod outcome;

pub mod chunk;
pub mod input;
#[doc(hidden)]
pub mod pushed;

pub mod sandbox;
