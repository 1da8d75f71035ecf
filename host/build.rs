//! Gives this build of the library a number, by which it knows its own workers.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::{env, fs, io};

/// What a worker is made of: this package, those below it that it shares with its engine, and what they depend on. A package by
/// itself has its own sources; those of the others are then those of its version.
const SOURCES: [&str; 5] = [
    "src",
    "boundary/src",
    "sandbox/src",
    "value/src",
    "../Cargo.lock",
];

fn main() -> io::Result<()> {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        let path = Path::new(source);
        if path.exists() {
            println!("cargo::rerun-if-changed={source}");
            hash(path, &mut hasher)?;
        }
    }
    for name in ["TARGET", "PROFILE", "OPT_LEVEL", "CARGO_CFG_FEATURE"] {
        env::var(name).unwrap_or_default().hash(&mut hasher);
    }
    println!("cargo::rustc-env=RWASM_BUILD={:016x}", hasher.finish());
    Ok(())
}

/// Adds a file, or all that is in a folder, in the order of its names.
fn hash(path: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    if !path.is_dir() {
        fs::read(path)?.hash(hasher);
        return Ok(());
    }
    let mut entries: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        entry.file_name().hash(hasher);
        hash(&entry.path(), hasher)?;
    }
    Ok(())
}
