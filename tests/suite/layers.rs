//! The parts stand in layers: each imports only from those below it, so none import in circles. Those of the program stand
//! in `main.rs`, the others in ARCHITECTURE.md and at the top of their folder. This reads the sources.

use crate::docs::{name, read};
use crate::support::workspace;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers of the library, the highest first. What stands in one line does not import each other, or may.
const LIBRARY: [&[&str]; 18] = [
    &["dashboard"],
    &["join", "durable"],
    &["check"],
    &["cluster", "blocking"],
    &["view"],
    &["backend"],
    &["nats"],
    &["engine"],
    &["wire"],
    &["boundary"],
    &["dispatch"],
    &["account"],
    &["graph"],
    &["job"],
    &["merge", "placement"],
    &["http_server", "spin", "timers", "within"],
    &["events", "feed", "observe"],
    &["capacity"],
];

/// The folders of its views, and those of the sandbox.
const VIEWS: [&[&str]; 4] = [&["calls"], &["runs"], &["handles"], &["shared"]];
const SANDBOX: [&[&str]; 5] = [&["run"], &["world"], &["compile"], &["module"], &["abi"]];

#[test]
fn the_program_imports_downwards() {
    let main = read(&workspace().join("host/cli/src/main.rs"));
    let layers: Vec<&str> = modules(&main).collect();
    assert!(layers.len() > 5, "main.rs has the folders {layers:?}");
    let layers: Vec<&[&str]> = layers.iter().map(std::slice::from_ref).collect();
    assert_downwards("host/cli/src", "crate::", &layers);
}

#[test]
fn the_library_imports_downwards() {
    let lib = read(&workspace().join("host/src/lib.rs"));
    let mut missing: Vec<&str> = modules(&lib).collect();
    missing.retain(|module| *module != "arbitrary" && !LIBRARY.concat().contains(module));
    assert!(missing.is_empty(), "{missing:?} have no layer");
    assert_downwards("host/src", "crate::", &LIBRARY);
}

#[test]
fn the_views_import_downwards() {
    assert_downwards("host/src/view", "crate::view::", &VIEWS);
}

#[test]
fn the_sandbox_imports_downwards() {
    assert_downwards("host/sandbox/src/sandbox", "crate::sandbox::", &SANDBOX);
}

#[test]
fn imports_are_found() {
    let source = "use crate::args::Printed;\n//! See crate::comment.\n\
         fn f() { crate::cluster::serve(); super::super::exit::code(); super::beside(); }";
    assert_eq!(imports(source, "crate::", 2), ["args", "cluster", "exit"]);
}

/// The modules that a source declares.
fn modules(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    })
}

/// Asserts that no module of `layers` in the folder `root`, whose path in the crate is `path`, imports from a layer above its own.
fn assert_downwards(root: &str, path: &str, layers: &[&[&str]]) {
    let root = workspace().join(root);
    let mut upwards = vec![];
    for (height, layer) in layers.iter().enumerate() {
        let above = layers[..height].concat();
        for module in *layer {
            let files = sources_of(&root, module);
            assert!(!files.is_empty(), "{module} has no source");
            for file in files {
                let source = read(&file);
                let depth = file.components().count() - root.components().count();
                for imported in imports(&source, path, depth) {
                    if above.contains(&imported) {
                        upwards.push(format!("{} imports {imported}", name(&file)));
                    }
                }
            }
        }
    }
    assert!(upwards.is_empty(), "{}", upwards.join("\n"));
}

/// The source files of a module: those of its folder, and the one beside it.
fn sources_of(sources: &Path, layer: &str) -> Vec<PathBuf> {
    let mut files = vec![sources.join(layer).with_extension("rs")];
    files.retain(|file| file.is_file());
    let mut dirs = vec![sources.join(layer)];
    dirs.retain(|dir| dir.is_dir());
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a folder can be listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The items of a folder that a source names: by the folder's `path` in the crate, or up from the source's module, which is
/// at most `depth` below the folder.
fn imports<'s>(source: &'s str, path: &str, depth: usize) -> Vec<&'s str> {
    let top = [path.to_owned(), "super::".repeat(depth)];
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut names = vec![];
    for line in code {
        for top in &top {
            let found = line.split(top.as_str()).skip(1);
            names.extend(
                found.filter_map(|rest| rest.split(|letter: char| !is_of_word(letter)).next()),
            );
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
