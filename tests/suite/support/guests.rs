//! The guest programs that `cargo xtask guests` builds.

use rwasm_cluster::Module;
use std::path::PathBuf;

/// The compiled guest of that name.
pub(crate) fn guest(name: &str) -> PathBuf {
    path(&format!("{name}.wasm"))
}

/// The guest that is written as text.
pub(crate) fn wat(name: &str) -> PathBuf {
    path(&format!("{name}.wat"))
}

/// The guest of that name, loaded.
pub(crate) fn module(name: &str) -> Module {
    Module::from_file(guest(name)).expect("the guest is a module")
}

fn path(file: &str) -> PathBuf {
    let path = super::target().join("guests").join(file);
    assert!(
        path.is_file(),
        "the guest {} is not built: run `cargo xtask guests`",
        path.display()
    );
    path
}
