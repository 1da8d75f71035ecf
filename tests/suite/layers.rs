//! The folders of the program stand in `main.rs` in the order of its layers: each imports only from those below it, so
//! none import in circles. This reads the program's source, and not the library's.

use crate::docs::{name, read};
use crate::support::workspace;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn folders_of_the_program_import_downwards() {
    let sources = workspace().join("host/cli/src");
    let main = read(&sources.join("main.rs"));
    let layers: Vec<&str> = main
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    assert!(layers.len() > 5, "main.rs has the folders {layers:?}");
    let mut upwards = vec![];
    for (height, layer) in layers.iter().enumerate() {
        let files = sources_of(&sources, layer);
        assert!(!files.is_empty(), "{layer} has no source");
        for path in files {
            let source = read(&path);
            let depth = path.components().count() - sources.components().count();
            for imported in imports(&source, depth) {
                if layers[..height].contains(&imported) {
                    upwards.push(format!("{} imports {imported}", name(&path)));
                }
            }
        }
    }
    assert!(upwards.is_empty(), "{}", upwards.join("\n"));
}

#[test]
fn imports_are_found() {
    let source = "use crate::args::Printed;\n//! See crate::comment.\n\
         fn f() { crate::cluster::serve(); super::super::exit::code(); super::beside(); }";
    assert_eq!(imports(source, 2), ["args", "cluster", "exit"]);
}

/// The files of a folder of the program, with the one beside it.
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
            } else {
                files.push(path);
            }
        }
    }
    files
}

/// The items at the top of the program that a source names: by a path from the crate, or up from its module, which is at
/// most `depth` below it.
fn imports(source: &str, depth: usize) -> Vec<&str> {
    let top = ["crate::".to_owned(), "super::".repeat(depth)];
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
