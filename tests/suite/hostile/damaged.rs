//! Damaged modules: every byte of a small one changed in several ways, one at a time.

use crate::support::{boundary, cluster, held, is_alone, module};
use rwasm_cluster::{Limits, Module};
use std::time::Duration;

/// A function that computes, a program and a typed function, in as few bytes as may be.
const MODULES: [&str; 2] = [
    r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
        (memory (export "memory") 1 2) (table 2 funcref) (elem (i32.const 0) $f)
        (global $g (mut i32) (i32.const 1)) (data (i32.const 8) "data")
        (func $f (export "f") (result i32)
            (block (br_if 0 (global.get $g)) (drop (memory.grow (i32.const 1))))
            (i32.add (i32.load (i32.const 8)) (i32.const 7))))"#,
    r#"(component
        (core module $m (func (export "f") (param i32) (result i32) (local.get 0)))
        (core instance $i (instantiate $m))
        (func (export "f") (param "n" u32) (result u32) (canon lift (core func $i "f"))))"#,
];

#[test]
fn no_change_of_a_byte_does_harm() {
    if !is_alone("hostile::damaged::no_change_of_a_byte_does_harm") {
        return;
    }
    let cluster = cluster(1);
    let good = module("numbers").function::<(u32,), u64>("fib").unwrap();
    let mut limits = Limits::default();
    limits.time = Duration::from_millis(100);
    let view = cluster.blocking().load_balanced_view();
    assert_eq!(view.apply(&good, (15,)).unwrap(), 610);
    let before = held();
    let mut loaded = 0;
    for text in MODULES {
        let whole = wat::parse_str(text).unwrap();
        for place in 0..whole.len() {
            for change in [0x01, 0x40, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[place] ^= change;
                // Whether it is refused, fails or goes well is its own affair.
                let Ok(module) = Module::from_bytes("damaged", bytes) else {
                    continue;
                };
                if cluster.prepare(&module, &limits).is_err() {
                    continue;
                }
                loaded += 1;
                let name = module
                    .functions()
                    .first()
                    .map(|function| function.name.clone());
                if let Some(function) = name.and_then(|name| module.dynamic_function(&name).ok()) {
                    let view = cluster.load_balanced_view().limits(limits.clone());
                    if let Ok(task) = view.try_submit(&function, Vec::new()) {
                        task.wait();
                    }
                }
            }
        }
    }
    assert_eq!(view.apply(&good, (15,)).unwrap(), 610);
    // The code of some modules is kept, with its files; not that of all.
    let after = held();
    assert_eq!(after.0, before.0);
    assert!(
        loaded > 100 && after.1 <= before.1 + most_files(),
        "{after:?}, {before:?} before, {loaded} loaded"
    );
}

/// The files of modules that are kept: their code; behind the boundary the module too, and what workers know.
fn most_files() -> usize {
    if boundary().is_some() {
        2 * (128 + 32)
    } else {
        128
    }
}
