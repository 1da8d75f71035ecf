//! Real modules: what `cargo xtask guests` builds, and the same as components.

use rwasm_cluster::{Form, Module};
use std::path::PathBuf;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};

/// Those that the targets begin from: one of each form, small ones first.
const NAMES: [&str; 6] = ["numbers", "hosted", "faulty", "exit3", "spin", "sorted"];

/// The bytes of the guest of that name.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let path = place(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "the guest {}: {error}: run `cargo xtask guests`",
            path.display()
        )
    })
}

fn place(name: &str) -> PathBuf {
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let target = scratch.parent().expect("it is a directory in target");
    target.join("guests").join(name).with_extension("wasm")
}

/// Some of the guests, as core modules.
pub(crate) fn modules() -> Vec<Vec<u8>> {
    NAMES.map(guest).into()
}

/// Some of the guests, as components.
pub(crate) fn components() -> Vec<Vec<u8>> {
    let of = |name: &&str| component(&guest(name)).expect("the guest can be made a component");
    NAMES[..4].iter().map(of).collect()
}

/// A core module as a component, where it can be one.
pub(crate) fn component(module: &[u8]) -> Option<Vec<u8>> {
    let form = Module::from_bytes("module", module.to_vec()).map(|module| module.form());
    let adapter = if form.is_ok_and(|form| form == Form::Command) {
        WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    wit_component::ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.adapter("wasi_snapshot_preview1", adapter))
        .and_then(|mut encoder| encoder.encode())
        .ok()
}
