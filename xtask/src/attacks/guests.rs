//! The modules of the attacks, and that of the neighbour: as text if that is short, else as bytes.

use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Polls its stdin with a timer of no length, for ever: eight subscriptions on stdin in a list of nine.
const POLLS: &str = r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $at i32)
    (local.set $at (i32.const 1072))
    (loop
      (i32.store8 offset=8 (local.get $at) (i32.const 1))
      (local.set $at (i32.add (local.get $at) (i32.const 48)))
      (br_if 0 (i32.lt_u (local.get $at) (i32.const 1456))))
    (loop
      (drop (call $poll (i32.const 1024) (i32.const 4096) (i32.const 9) (i32.const 2048)))
      (br 0))))"#;

/// Publishes values of 500 kB and logs lines of 60 kB, for ever.
const NOTES: &str = r#"(module
  (import "rwasm:task/host@0.2.0" "publish" (func $publish (param i32 i32 i32 i32)))
  (import "rwasm:task/host@0.2.0" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 9)
  (data (i32.const 16) "note")
  (func (export "flood")
    (memory.fill (i32.const 1024) (i32.const 120) (i32.const 500000))
    (loop
      (call $publish (i32.const 16) (i32.const 4) (i32.const 1024) (i32.const 500000))
      (call $log (i32.const 2) (i32.const 1024) (i32.const 60000))
      (br 0))))"#;

/// Asks for the time, for ever.
const CLOCK: &str = r#"(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "ask")
    (loop (drop (call $time (i32.const 1) (i64.const 1) (i32.const 0))) (br 0))))"#;

/// Does nothing.
const SAME: &str = r#"(module (func (export "same") (param i32) (result i32) (local.get 0)))"#;

/// Computes for ever.
const SPIN: &str = r#"(module (func (export "spin") (loop (br 0))))"#;

/// What the neighbour calls: steps of a generator of random numbers.
const WORK: &str = r#"(module
  (func (export "work") (param $steps i32) (result i32) (local $x i32)
    (loop
      (local.set $x
        (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
      (br_if 0 (local.tee $steps (i32.sub (local.get $steps) (i32.const 1)))))
    (local.get $x)))"#;

/// What `work` returns.
pub(super) fn work(steps: u32) -> i32 {
    let step = |x: i32, _| x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (0..steps).fold(0, step)
}

/// Lines for a map of the smallest tasks.
const LINES: usize = 131_072;

/// Writes those that do not differ from step to step.
pub(super) fn write(dir: &Path) -> Result<()> {
    let texts = [
        ("polls.wat", POLLS),
        ("notes.wat", NOTES),
        ("clock.wat", CLOCK),
        ("same.wat", SAME),
        ("spin.wat", SPIN),
        ("work.wat", WORK),
    ];
    for (name, text) in texts {
        put(&dir.join(name), text)?;
    }
    put(&dir.join("ones.txt"), "1\n".repeat(LINES))
}

pub(super) fn put(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// A module whose code takes half a second to compile; each number is another one.
pub(super) fn functions(number: u64) -> String {
    const FUNCTIONS: u64 = 5000;
    let mut text = String::from("(module ");
    for function in 0..FUNCTIONS {
        let value = (number * FUNCTIONS + function) & 0x7fff_ffff;
        let _ = write!(
            text,
            "(func (param i32) (result i32) (i32.mul (local.get 0) (i32.const {value})))"
        );
    }
    text + r#"(func (export "same") (param i32) (result i32) (local.get 0)))"#
}

/// A component of as many core instances as one may have.
pub(super) fn parts(number: u64) -> String {
    const INSTANCES: usize = 32;
    let others = "(core instance (instantiate $empty))".repeat(INSTANCES - 1);
    format!(
        r#"(component
          (core module $one (func (export "f") (result i32) (i32.const {number})))
          (core module $empty)
          (core instance $one (instantiate $one))
          (func (export "f") (result s32) (canon lift (core func $one "f")))
          {others})"#
    )
}

/// A component with a type that has each before it twice, as a parameter.
pub(super) fn described(number: u64) -> String {
    const DEPTH: usize = 16;
    let mut types = String::from("(type $t0 (tuple u8 u8))");
    for depth in 1..=DEPTH {
        let before = depth - 1;
        let _ = write!(types, "(type $t{depth} (tuple $t{before} $t{before}))");
    }
    format!(
        r#"(component {types}
          (core module $one
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "large") (param i32))
            (func (export "f") (result i32) (i32.const {number})))
          (core instance $one (instantiate $one))
          (func (export "large") (param "it" $t{DEPTH}) (canon lift
            (core func $one "large") (memory $one "memory") (realloc (func $one "realloc"))))
          (func (export "f") (result u32) (canon lift (core func $one "f"))))"#
    )
}

/// A module of 8 MiB that says nothing.
pub(super) fn large(number: u64) -> Vec<u8> {
    const SIZE: usize = 8 << 20;
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(&mut module, 1, &[1, 0x60, 1, 0x7f, 1, 0x7f]);
    section(&mut module, 3, &[1, 0]);
    section(&mut module, 7, b"\x01\x04same\0\0");
    section(&mut module, 10, &[1, 4, 0, 0x20, 0, 0x0b]);
    let mut padding = vec![0; SIZE];
    padding[0] = 1;
    padding[2..10].copy_from_slice(&number.to_le_bytes());
    section(&mut module, 0, &padding);
    module
}

/// A module of so many types of functions, three bytes each.
pub(super) fn types(count: u32) -> Vec<u8> {
    let mut types = Vec::new();
    put_number(&mut types, count);
    types.extend([0x60, 0, 0].repeat(count as usize));
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(&mut module, 1, &types);
    module
}

fn section(module: &mut Vec<u8>, id: u8, content: &[u8]) {
    module.push(id);
    put_number(
        module,
        u32::try_from(content.len()).expect("modules are small"),
    );
    module.extend(content);
}

/// A number as modules and messages have it: seven bits in a byte, the lowest first.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u32) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}
