//! Workers that do as they like: what they write is nonsense, they answer what was not asked, or they never answer. This
//! program is its own worker, and how it misbehaves is in the name by which it is called. Whatever it does, the host says so
//! in time, and stays right.

#![expect(
    clippy::print_stdout,
    reason = "it has no harness that would say what it does"
)]

#[cfg(target_os = "linux")]
mod hostile;
#[cfg(target_os = "linux")]
mod own;

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    return hostile::main();
    #[cfg(not(target_os = "linux"))]
    std::process::ExitCode::SUCCESS
}
