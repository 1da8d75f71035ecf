//! The build script of every guest: hands the linker the start-up object where the toolchain does not bring its
//! own.
//!
//! Programs and reactors need different objects. Compiler flags could say that too, but would differ between the
//! two kinds of guest, and cargo would compile the standard library once for each.

use std::{env, path::Path};

fn main() {
    println!("cargo::rerun-if-env-changed=GUEST_CRT_DIR");
    println!("cargo::rerun-if-changed=../link.rs");
    if let Ok(dir) = env::var("GUEST_CRT_DIR")
        && env::var("CARGO_CFG_TARGET_FAMILY")
            .is_ok_and(|families| families.split(',').any(|family| family == "wasm"))
    {
        if Path::new("src/lib.rs").exists() {
            println!("cargo::rustc-link-arg-cdylib={dir}/crt1-reactor.o");
        } else {
            println!("cargo::rustc-link-arg-bins={dir}/crt1-command.o");
        }
    }
}
