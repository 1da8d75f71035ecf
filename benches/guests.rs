//! The guests that benchmarks run.

use std::path::{Path, PathBuf};

/// Where the guest of that name is, which every build has.
pub(crate) fn guest(name: &str) -> PathBuf {
    find_guest(name).unwrap_or_else(|| panic!("{name} is not there: run `cargo xtask guests`"))
}

/// Where `cargo xtask guests` puts the guest of that name, if it did.
pub(crate) fn find_guest(name: &str) -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), PathBuf::from);
    let path = target.join("guests").join(name);
    path.exists().then_some(path)
}

/// The root of the workspace, whichever of its packages the benchmark belongs to.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|dir| dir.join("Cargo.lock").exists())
        .expect("the benchmark lies in the workspace")
}
