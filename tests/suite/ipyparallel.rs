//! What the book's pages on ipyparallel say is there: their Rust, their commands with their options, their names.

use crate::support::{program, workspace};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The guide, and the table of names after it.
fn page() -> String {
    let pages = ["guides/ipyparallel.md", "reference/ipyparallel-names.md"];
    pages
        .map(|page| read(&workspace().join("docs/src").join(page)))
        .join("\n")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of each block of that kind.
fn blocks(page: &str, kind: &str) -> Vec<Vec<String>> {
    let fence = format!("```{kind}");
    let mut lines = page.lines();
    let mut blocks = vec![];
    while lines.by_ref().any(|line| line == fence) {
        let block = lines.by_ref().take_while(|line| *line != "```");
        blocks.push(block.map(|line| line.trim().to_owned()).collect());
    }
    blocks
}

/// What stands between backticks, outside of blocks.
fn names(page: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut names = vec![];
    for line in page.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            names.extend(line.split('`').skip(1).step_by(2));
        }
    }
    names
}

/// The commands that the page shows.
fn commands(page: &str) -> Vec<String> {
    let shown = blocks(page, "sh").concat();
    let named = names(page).into_iter().map(str::to_owned);
    let command = |line: String| {
        let begin = line.find("rwasm-cluster ")?;
        Some(line[begin..].to_owned())
    };
    shown.into_iter().chain(named).filter_map(command).collect()
}

/// The source of the library and of the packages that it re-exports.
const SOURCES: [&str; 4] = [
    "host/src",
    "host/value/src",
    "host/sandbox/src",
    "host/history/src",
];

/// All of the source below a directory.
fn source(dir: &Path) -> String {
    let entries = fs::read_dir(dir).expect("the library's source is there");
    let mut text = String::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            text += &source(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &read(&path);
        }
    }
    text
}

fn is_word(text: &str) -> bool {
    text.chars()
        .all(|letter| letter.is_alphanumeric() || letter == '_')
}

#[test]
fn its_rust_stands_in_the_example_of_the_same_name() {
    let example = read(&workspace().join("examples/ipyparallel.rs"));
    let example: Vec<&str> = example.lines().map(str::trim).collect();
    let blocks = blocks(&page(), "rust");
    assert!(blocks.len() > 9, "the page has {} pieces", blocks.len());
    for block in blocks {
        assert!(
            example.windows(block.len()).any(|lines| lines == block),
            "examples/ipyparallel.rs does not have\n{}",
            block.join("\n")
        );
    }
}

#[test]
fn its_commands_and_their_options_are_there() {
    let commands = commands(&page());
    assert!(
        commands.len() > 9,
        "the page has {} commands",
        commands.len()
    );
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let depth = if words[0] == "job" { 2 } else { 1 };
        let help = program().args(&words[..depth]).arg("--help").output();
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(
                help.contains(option),
                "the page shows `{command}`, whose help does not name {option}"
            );
        }
    }
}

#[test]
fn its_names_are_the_librarys() {
    let source: String = SOURCES
        .map(|dir| workspace().join(dir))
        .iter()
        .filter(|dir| dir.is_dir())
        .map(|dir| source(dir))
        .collect();
    let public = read(&workspace().join("host/src/lib.rs"));
    let public: BTreeSet<&str> = public
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .collect();
    let items: BTreeSet<&str> = source
        .lines()
        .map(str::trim_start)
        .filter_map(|line| {
            let is_item = line.contains("fn ") || line.starts_with(char::is_uppercase);
            let name = line.split("fn ").last().filter(|_| is_item)?;
            name.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .next()
        })
        .collect();
    let page = page();
    let mut checked = 0;
    for name in names(&page) {
        let Some((of, item)) = name.split_once("::") else {
            continue;
        };
        if !is_word(of) || !is_word(item) {
            // A slice of Python's.
            continue;
        }
        assert!(public.contains(of), "`{name}`: the library has no `{of}`");
        assert!(items.contains(item), "`{name}`: there is no `{item}`");
        checked += 1;
    }
    // In the second column everything that looks like a type is one.
    let column = |line: &'_ str| line.split(" | ").nth(1).map(str::to_owned);
    let ours: String = page.lines().filter_map(column).collect();
    for name in ours.split('`').skip(1).step_by(2) {
        if is_word(name) && name.starts_with(char::is_uppercase) {
            assert!(public.contains(name), "the library has no `{name}`");
            checked += 1;
        }
    }
    assert!(checked > 100, "the page has {checked} names");
}
