//! Compiling in a process of its own: `process` starts it, bounds it and takes what comes; `worker` is
//! what runs in it; `protocol` is what the two say to each other; `system` is what they ask of the
//! operating system.
//!
//! The module goes in by stdin, the code comes out by stdout, which is a file, and one line on stderr
//! says how it went. Nothing that the process does is trusted to end: its time is kept here.

mod process;
mod protocol;
mod system;
mod worker;

pub(super) use process::{HelperError, Helpers, Task};
pub(super) use protocol::{Kind, Passed};
pub use worker::compile_worker;
