//! The system's allocator, for a process that stays: told to give back what is free. By itself it keeps what a moment took,
//! in each of many arenas, which after a minute of hostile modules was more than a hundred megabytes.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What the allocator of glibc reads when a process starts: few arenas, and memory that goes back once that much is free
/// at the end of one. A piece of that size is mapped by itself, and goes back when it is freed.
const SETTINGS: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_MMAP_THRESHOLD_", "262144"),
    ("MALLOC_TRIM_THRESHOLD_", "262144"),
];

/// Starts this process again with the settings, under its own number, unless somebody has made some. Called before it has
/// anything to lose: no file is open yet, and no thread works.
pub(crate) fn give_back_what_is_free() {
    let is_set = |(name, _): &(&str, &str)| std::env::var_os(name).is_some();
    let is_of_glibc = cfg!(all(target_os = "linux", target_env = "gnu"));
    if !is_of_glibc || SETTINGS.iter().any(is_set) {
        return;
    }
    let mut arguments = std::env::args_os();
    let mut again = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // It returns only if it failed, and then the process goes on as it is.
    let _ = again.args(arguments).envs(SETTINGS).exec();
}
