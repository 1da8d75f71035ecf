//! The second wall of `rwasm-cluster`: how a process gives up what its task does not need, and the memory and descriptors
//! through which it is spoken with.
//!
//! This package knows nothing of WebAssembly, tasks or engines. `rwasm-cluster` re-exports what its users need.
//!
//! [`confine`] gives up, [`layers`] names what a kernel offers for it and tells what this machine has. `shared` is memory that
//! both sides have, `ring` passes messages in it, `slate` says what a task was up to whose process has ended, `descriptors` passes open files over a socket, and [`spin`] looks for something before a thread
//! sleeps.

pub mod confine;
#[cfg(target_os = "linux")]
pub mod descriptors;
pub mod layers;
#[cfg(target_os = "linux")]
pub mod ring;
#[cfg(target_os = "linux")]
pub mod shared;
#[cfg(target_os = "linux")]
pub mod slate;
pub mod spin;
