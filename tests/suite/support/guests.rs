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
        "the guest {} is not built: run `cargo xtask guests --all`",
        path.display()
    );
    path
}

/// The typed functions of a guest as a component.
pub(crate) fn component(name: &str) -> Vec<u8> {
    use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    encode(name, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
}

/// A command as a component, which exports `wasi:cli/run`.
pub(crate) fn command_component(name: &str) -> Vec<u8> {
    use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER;
    encode(name, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER)
}

fn encode(name: &str, adapter: &[u8]) -> Vec<u8> {
    let core = std::fs::read(guest(name)).expect("the guest can be read");
    wit_component::ComponentEncoder::default()
        .module(&core)
        .and_then(|encoder| encoder.adapter("wasi_snapshot_preview1", adapter))
        .and_then(|mut encoder| encoder.encode())
        .expect("the guest can be made a component")
}
