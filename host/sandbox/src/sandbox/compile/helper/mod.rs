//! Compiling in a separate process: `process` starts it, limits it and takes its answer; `worker`
//! runs in it; `protocol` is their messages; `system` is what they need of the operating system.
//!
//! The module is sent to stdin, the code comes out on stdout, which is a file, and one line on
//! stderr reports how it went. The process is not trusted to end: its time is kept here.

mod process;
mod protocol;
mod system;
mod worker;

pub(in crate::sandbox) use process::{HelperError, Helpers, Task};
pub(in crate::sandbox) use protocol::{CodeKind, Passed};
pub use worker::compile_worker;
