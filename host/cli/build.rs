//! Two lists of files, for macros and for embedding: the hostile guests, for their tests, so that one without a case
//! does not compile; and the templates of task projects, with the sources of the Rust SDK, which `new` writes.
//!
//! A packed copy of this package has the templates and the SDK, and an empty list of hostile guests: their tests stay in
//! the workspace.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    fs::write(out.join("hostile.rs"), hostile()?)?;
    fs::write(out.join("templates.rs"), templates()?)
}

fn hostile() -> io::Result<String> {
    let lists = [
        ("text", names("../../guest-tasks/hostile", "wat")?),
        ("program", names("../../guest-tasks/hostile/src/bin", "rs")?),
        ("made", names("../../tests/suite/hostile/made", "rs")?),
    ];
    let mut text = String::from(
        "/// Hands the names of all hostile guests to a macro: written as text, compiled programs, made by the tests.\n\
         macro_rules! for_each_hostile {\n    ($each:ident) => {\n        $each! {\n",
    );
    for (kind, names) in lists {
        let names: Vec<_> = names.into_iter().filter(|name| name != "mod").collect();
        text += &format!("            [{kind}] {}\n", names.join(" "));
    }
    text += "        }\n    };\n}\n";
    Ok(text)
}

/// The names of the files in `dir` with this extension; none where it does not exist.
fn names(dir: &str, extension: &str) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for path in entries(Path::new(dir))? {
        if path.extension().is_some_and(|found| found == extension)
            && let Some(name) = path.file_stem()
        {
            names.insert(name.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Where the templates are, a directory for each language.
const TEMPLATES: &str = "templates";

/// The Rust SDK, of which this directory links what a project needs, and where projects have it. Its manifests have
/// `MARK` behind their names here: a directory with a manifest is a package of its own, which no other one contains.
const SDK: &str = "sdk";
const MARK: &str = ".template";
const VENDORED: &str = "vendor/rwasm-task";

/// A list of language, path in the project and content.
fn templates() -> io::Result<String> {
    let mut files = Vec::new();
    for dir in entries(Path::new(TEMPLATES))? {
        let language = dir.file_name().unwrap_or_default().to_string_lossy();
        walk(&dir, Path::new(""), &mut |path, from| {
            files.push((language.clone().into_owned(), path, from));
        })?;
    }
    walk(Path::new(SDK), Path::new(VENDORED), &mut |path, from| {
        let name = path.to_string_lossy();
        let path = PathBuf::from(name.strip_suffix(MARK).unwrap_or(&name));
        files.push(("rust".to_owned(), path, from));
    })?;
    let mut text = String::from("static FILES: &[(&str, &str, &[u8])] = &[\n");
    for (language, path, from) in files {
        let (path, from) = (path.to_string_lossy(), std::path::absolute(from)?);
        let from = from.to_string_lossy();
        text += &format!("    ({language:?}, {path:?}, include_bytes!({from:?})),\n");
    }
    text += "];\n";
    Ok(text)
}

/// Every file below `dir`, with its path below `to`.
fn walk(dir: &Path, to: &Path, found: &mut impl FnMut(PathBuf, PathBuf)) -> io::Result<()> {
    for path in entries(dir)? {
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            walk(&path, &to.join(name), found)?;
        } else {
            found(to.join(name), path);
        }
    }
    Ok(())
}

/// What is in `dir`, in the order of names; nothing where it does not exist.
fn entries(dir: &Path) -> io::Result<BTreeSet<PathBuf>> {
    println!("cargo::rerun-if-changed={}", dir.display());
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        listed => listed?.map(|entry| Ok(entry?.path())).collect(),
    }
}
