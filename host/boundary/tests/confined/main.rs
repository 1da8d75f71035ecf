//! What a confined worker can and cannot do any more.
//!
//! This program is its own worker: with `ROLE` set in the environment it confines itself, tries things, and prints a line
//! `WHAT=ok` or `WHAT=ERROR` for each. So it has no test harness, which would start threads before `main`.
//!
//! Started by root, each test runs twice: with a worker of root, and with one of an ordinary user.

#![expect(
    clippy::print_stdout,
    reason = "workers answer in lines, and tests without a harness report themselves"
)]

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod child;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod parent;

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
fn main() {
    match std::env::var("ROLE") {
        Ok(role) => child::run(&role),
        Err(_) => parent::run(),
    }
}

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
fn main() {
    println!("skipped: workers are confined only by Linux, on x86_64 and aarch64");
}
