//! The sandbox of `rwasm-cluster`: loads a module, compiles it and runs it, one task at a time,
//! under limits.
//!
//! `rwasm-cluster` re-exports everything that its users need. Items hidden from these pages serve
//! only the sister packages and change with them. Only `sandbox` knows wasmtime. The modules before
//! it are the vocabulary that it shares with its callers: what a task may use and reach, its input,
//! and its outcome. It knows nothing of engines, jobs, retries or merges.

#[cfg(test)]
#[path = "../arbitrary.rs"]
mod arbitrary;

#[doc(hidden)]
pub mod awake;
pub mod grants;
pub mod limits;

#[doc(hidden)]
pub mod lock;

#[doc(hidden)]
pub mod cancel;
#[doc(hidden)]
pub mod element;
pub mod note;
pub mod outcome;

pub mod chunk;
pub mod input;
#[doc(hidden)]
pub mod pushed;

pub mod sandbox;
