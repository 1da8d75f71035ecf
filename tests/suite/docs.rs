//! The documents hang together: every link leads to a file and a heading, the book's summary lists every page, and
//! examples are only where they run as tests (see `readme`).

use crate::support::workspace;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The directories whose documents are checked, beside those at the top.
const DIRECTORIES: [&str; 5] = ["deploy", "docs", "findings", "host", "wit"];

/// What compilers and package managers leave in these directories.
const GENERATED: [&str; 2] = ["node_modules", "target"];

/// The pages of the book, in the order of their paths; the summary is not one of them.
pub(crate) fn pages() -> Vec<PathBuf> {
    let mut pages = documents_below(&book());
    pages.retain(|page| *page != summary());
    assert!(pages.len() > 20, "the book has {pages:?}");
    pages
}

/// The text of a document.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The path of a document as messages show it.
pub(crate) fn name(path: &Path) -> String {
    let path = path.strip_prefix(workspace()).unwrap_or(path);
    path.display().to_string()
}

fn book() -> PathBuf {
    workspace().join("docs/src")
}

fn summary() -> PathBuf {
    book().join("SUMMARY.md")
}

/// Every document that people read.
fn documents() -> Vec<PathBuf> {
    let top = fs::read_dir(workspace()).expect("the workspace can be listed");
    let top = top.map(|entry| entry.expect("an entry").path());
    let mut documents: Vec<PathBuf> = top.filter(|path| is_document(path)).collect();
    for directory in DIRECTORIES {
        documents.extend(documents_below(&workspace().join(directory)));
    }
    documents.sort();
    documents
}

fn documents_below(dir: &Path) -> Vec<PathBuf> {
    let mut documents = vec![];
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory can be listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.is_symlink() && !is_generated(&path) {
                dirs.push(path);
            } else if is_document(&path) {
                documents.push(path);
            }
        }
    }
    documents.sort();
    documents
}

fn is_generated(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_none_or(|name| name.starts_with('.') || GENERATED.contains(&name))
}

fn is_document(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension == "md")
}

/// The lines outside of code blocks.
fn prose(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let mut lines = vec![];
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push(line);
        }
    }
    assert!(!is_code, "a code block does not end");
    lines
}

/// Where the links of a document lead, in order.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text).join("\n");
    let parts: Vec<&str> = prose.split('`').collect();
    assert!(parts.len() % 2 == 1, "a backtick has no partner");
    // Code between backticks has no links, though it may look so.
    let plain: String = parts.into_iter().step_by(2).collect();
    let inline = plain.split("](").skip(1);
    let inline = inline.filter_map(|rest| rest.split(')').next());
    let defined = plain.lines().filter_map(|line| {
        let (_, target) = line.strip_prefix('[')?.split_once("]: ")?;
        Some(target.trim())
    });
    inline.chain(defined).map(str::to_owned).collect()
}

/// The anchors of a document's headings, as GitHub and mdBook name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for line in prose(text) {
        let heading = line.trim_start_matches('#');
        let depth = line.len() - heading.len();
        if !(1..=6).contains(&depth) || !heading.starts_with(' ') {
            continue;
        }
        let slug = slug(heading.trim());
        let before = seen.entry(slug.clone()).or_default();
        anchors.insert(match *before {
            0 => slug,
            times => format!("{slug}-{times}"),
        });
        *before += 1;
    }
    anchors
}

fn slug(heading: &str) -> String {
    let letter = |letter: char| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter),
        _ => None,
    };
    heading.to_lowercase().chars().filter_map(letter).collect()
}

/// Why a link of the document at `path` leads nowhere; `None` if all is well.
fn broken(path: &Path, link: &str) -> Option<String> {
    let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
    let dir = path.parent().expect("a document is in a directory");
    let target = if target.is_empty() {
        path.to_owned()
    } else {
        dir.join(target)
    };
    let Ok(target) = target.canonicalize() else {
        return Some("there is no such file".to_owned());
    };
    let root = workspace().canonicalize().expect("the workspace exists");
    if !target.starts_with(root) {
        return Some("it leads out of the repository".to_owned());
    }
    let book = book().canonicalize().expect("the book exists");
    let is_page = path
        .canonicalize()
        .is_ok_and(|path| path.starts_with(&book));
    if is_page && !target.starts_with(book) {
        return Some("it leads out of the book, where mdBook has nothing".to_owned());
    }
    if anchor.is_empty() {
        return None;
    }
    if !is_document(&target) {
        return Some("only a document has headings".to_owned());
    }
    let anchors = anchors(&read(&target));
    (!anchors.contains(anchor)).then(|| format!("there is no such heading, only {anchors:?}"))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut checked = 0;
    let mut errors = vec![];
    for path in documents() {
        for link in links(&read(&path)) {
            let is_elsewhere = ["https://", "http://", "mailto:"]
                .iter()
                .any(|scheme| link.starts_with(scheme));
            if is_elsewhere {
                continue;
            }
            checked += 1;
            if let Some(reason) = broken(&path, &link) {
                errors.push(format!("{}: {link}: {reason}", name(&path)));
            }
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    assert!(checked > 100, "only {checked} links were found");
}

#[test]
fn the_summary_lists_every_page_once() {
    let mut listed: Vec<PathBuf> = links(&read(&summary()))
        .iter()
        .map(|link| book().join(link))
        .collect();
    listed.sort();
    assert_eq!(listed, pages());
}

#[test]
fn examples_are_only_where_they_run() {
    let pages = pages();
    for path in documents() {
        let runs = path == workspace().join("README.md") || pages.contains(&path);
        for line in read(&path).lines() {
            let is_console = line.trim_start().starts_with("```console");
            assert!(
                !is_console || (runs && line == "```console"),
                "{}: the commands of a block `{line}` do not run as a test",
                name(&path)
            );
        }
    }
}

#[test]
fn headings_and_links_are_found() {
    let text = "# One `two`\n\n[a](b.md#c), `[x](y)`\n\n## Same\n\n## Same\n\n```sh\n# no heading\n[e](f)\n```\n\n[d]: g.md\n";
    assert_eq!(links(text), ["b.md#c", "g.md"]);
    let anchors: Vec<String> = anchors(text).into_iter().collect();
    assert_eq!(anchors, ["one-two", "same", "same-1"]);
}
