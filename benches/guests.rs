//! The guests that benchmarks run.

use std::path::{Path, PathBuf};

/// Where `cargo xtask guests` puts the guests.
pub(crate) fn guest(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    let path = target.join("guests").join(name);
    assert!(
        path.exists(),
        "{} is not there: run `cargo xtask guests`",
        path.display()
    );
    path
}
