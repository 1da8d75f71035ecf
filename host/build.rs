//! Gives this build of the library a number, by which it knows its own workers.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src");
    let mut hasher = DefaultHasher::new();
    hash(Path::new("src"), &mut hasher)?;
    for name in ["TARGET", "PROFILE", "OPT_LEVEL"] {
        env::var(name).unwrap_or_default().hash(&mut hasher);
    }
    println!("cargo::rustc-env=RWASM_BUILD={:016x}", hasher.finish());
    Ok(())
}

/// Adds all that is in a folder, in the order of its names.
fn hash(folder: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            hash(&path, hasher)?;
        } else {
            (entry.file_name(), fs::read(&path)?).hash(hasher);
        }
    }
    Ok(())
}
