#!/usr/bin/env bash
# wasmtime 48.0.8
#
# Guess: `Store::call_hook` reports `CallHook::CallingHost` for calls of host functions, "the VM is calling a host
# function, from WebAssembly", so a guest without imports never causes it.
# Seen: it is also reported for some of wasmtime's own functions that compiled code calls: for `memory.grow`, though not for
# `memory.fill`, and when the epoch has reached the store's deadline, which is when somebody's clock ticks. Nothing
# that the hook is given distinguishes them from a host function.
#
# What follows: whoever counts, charges or measures calls of the host does so in the host functions. What the hook sees
# depends on the guest's instructions and, with epochs, on time: the same task has another count in each run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"

[dependencies]
wasmtime = { version = "=48.0.8", default-features = false, features = ["runtime", "cranelift", "wat", "call-hook"] }
TOML
cat >src/main.rs <<'RUST'
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use wasmtime::{CallHook, Config, Engine, Instance, Module, Result, Store, UpdateDeadline};

const GUEST: &str = r#"(module
    (memory 1)
    (func (export "nothing"))
    (func (export "load") (drop (i32.load (i32.const 0))))
    (func (export "grow") (drop (memory.grow (i32.const 1))))
    (func (export "fill") (memory.fill (i32.const 0) (i32.const 1) (i32.const 60000))))"#;

fn main() -> Result<()> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config)?;
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    store.call_hook(move |_, hook| {
        if matches!(hook, CallHook::CallingHost) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    // Without imports.
    let instance = Instance::new(&mut store, &Module::new(&engine, GUEST)?, &[])?;
    for (name, ticks) in [("nothing", 0), ("load", 0), ("grow", 0), ("fill", 0), ("nothing", 1)] {
        for _ in 0..ticks {
            engine.increment_epoch();
        }
        calls.store(0, Ordering::Relaxed);
        instance.get_typed_func::<(), ()>(&mut store, name)?.call(&mut store, ())?;
        println!("{name}, {ticks} ticks: {} calls of the host", calls.load(Ordering::Relaxed));
    }
    Ok(())
}
RUST
CARGO_TARGET_DIR=target cargo build --quiet
target/debug/probe | tee seen
diff - seen <<'SEEN' || { echo "it behaves otherwise now" >&2; exit 1; }
nothing, 0 ticks: 0 calls of the host
load, 0 ticks: 0 calls of the host
grow, 0 ticks: 1 calls of the host
fill, 0 ticks: 0 calls of the host
nothing, 1 ticks: 1 calls of the host
SEEN
