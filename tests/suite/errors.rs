//! The texts of errors and their hints, by typical command lines that fail, as a snapshot: `UPDATE_EXPECT=1` writes it
//! anew.

use crate::support::{Ended, file, folder, guest, only_here, only_in_threads, program, wat};
use expect_test::expect_file;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Command lines that fail, under what they show. `@name` is a guest, `%` the directory of the test.
const LINES: &[(&str, &[&str])] = &[
    (
        "the command line",
        &[
            "",
            "rum",
            "run",
            "run --engine 4 @wordcount.wasm",
            "run @wordcount.wasm --engines many words.txt",
            "run @wordcount.wasm --engines 0 words.txt",
            "run @wordcount.wasm --timeout soon words.txt",
            "run @wordcount.wasm --timeout 0s words.txt",
            "run @wordcount.wasm --memory 0 words.txt",
            "run @wordcount.wasm --limit heap=1MiB words.txt",
            "run @wordcount.wasm --limit heap words.txt",
            "run @wordcount.wasm --limit handles=few words.txt",
            "run @wordcount.wasm --limit stack=1B words.txt",
            "run @wordcount.wasm --merge all words.txt",
            "run @wordcount.wasm --reduce reducer --merge sum words.txt",
            "run @wordcount.wasm --quiet --verbose words.txt",
            "run @wordcount.wasm --max-failures most words.txt",
            "run @wordcount.wasm --retry-on rain words.txt",
            "run @wordcount.wasm --engines 2 --targets 9 words.txt",
            "run @wordcount.wasm --unordered words.txt",
            "run @wordcount.wasm - -",
            "run @wordcount.wasm --deterministic --reuse engine words.txt",
            "run @wordcount.wasm --env =x words.txt",
            "run @wordcount.wasm --env NOT_SET_HERE words.txt",
            "run @wordcount.wasm --env-file missing.env words.txt",
            "run @wordcount.wasm --dir missing::/data words.txt",
            "call @numbers.wasm -x",
            "map @numeric.wat fib --dispatch-size 0",
        ],
    ),
    (
        "modules and functions",
        &[
            "run missing.wasm words.txt",
            "run words.txt words.txt",
            "run . words.txt",
            "run @numeric.wat words.txt",
            "run @wordcount.wasm --map maper words.txt",
            "run @wordcount.wasm --reduce nothing words.txt",
            "run @wordcount.wasm --format raw words.txt",
            "call @numeric.wat fibb 3",
            "call @numeric.wat fib",
            "call @numeric.wat fib three",
            "call @numeric.wat fib(3",
            "call @numeric.wat fib(3) 4",
            "call @upper.wasm upper a",
            "inspect missing.wasm",
        ],
    ),
    (
        "inputs and outputs",
        &[
            "run @wordcount.wasm missing.txt",
            "run @wordcount.wasm empty-dir",
            "run @wordcount.wasm words.txt --output missing/out.txt",
            "run @wordcount.wasm words.txt --report missing/out.json",
            "map @numeric.wat fib missing.txt",
            "run @wordcount.wasm --chunk 16MiB --limit input=4B words.txt",
        ],
    ),
    (
        "tasks",
        &[
            "call @numeric.wat fib 90 --fuel 1000",
            "map @numeric.wat fib lines.txt",
            "map @numeric.wat fib lines.txt --max-failures 1",
            "run @wordcount.wasm words.txt --memory 64KiB",
        ],
    ),
    (
        "the history",
        &[
            "job show 1",
            "job show nightly",
            "job replay nightly 1",
            "job show 99999999999999999999",
            "job list --state lost",
            "job list --since yesterday",
        ],
    ),
    (
        "projects",
        &[
            "new Words",
            "new match",
            "new full-dir",
            "new wc --lang cobol",
            "build empty-dir",
            "test empty-dir",
            "test @wordcount.wasm --samples empty-dir",
            "test @wordcount.wasm --samples empty-dir --merge none",
        ],
    ),
    (
        "other commands",
        &[
            "completions tcsh",
            "cache prune --older-than never",
            "help rum",
        ],
    ),
];

/// Command lines that need a cluster.
const CLUSTERS: &[&str] = &[
    "run @wordcount.wasm words.txt --cluster=elsewhere",
    "run @wordcount.wasm words.txt --cluster",
    "run @wordcount.wasm words.txt --profile nowhere",
    "run @wordcount.wasm words.txt --detach",
    "run @wordcount.wasm words.txt --detach --output out.txt --cluster",
    "run @wordcount.wasm words.txt --cluster nats://127.0.0.1:1",
    "run @wordcount.wasm words.txt --cluster nats://example.org:4222",
    "run @wordcount.wasm words.txt --cluster nats://127.0.0.1:1 --key missing.key",
    "run @wordcount.wasm words.txt --cluster nats://127.0.0.1:1 --cert words.txt",
    "job cancel 1",
    "job show 1 --cluster",
    "job list --engine 1 --cluster nats://127.0.0.1:1",
    "status",
    "engine list",
    "engine drain 1",
    "engine join --engines 0",
    "engine join --label north",
    "engine join --policy missing.toml nats://127.0.0.1:1",
    "engine join --policy words.txt nats://127.0.0.1:1",
    "start --hosts a",
    "start --profile a/b",
    "start --nats-server /dev/null",
    "server-config --dir missing",
    "keys --role boss",
    "keys --host a:4222",
    "init nats://127.0.0.1:1",
];

fn place() -> TempDir {
    let dir = folder();
    file(&dir, "words.txt", "some words\n");
    file(&dir, "lines.txt", "3\nthree\nfour\n");
    for name in ["empty-dir", "full-dir"] {
        std::fs::create_dir(dir.path().join(name)).expect("it is made");
    }
    std::fs::write(dir.path().join("full-dir/notes"), "mine").expect("it is written");
    dir
}

fn ended(dir: &Path, line: &str) -> Ended {
    let words = line
        .split_whitespace()
        .map(|word| match word.strip_prefix('@') {
            Some(name) => match name.split_once('.') {
                Some((name, "wat")) => wat(name).into_os_string(),
                Some((name, _)) => guest(name).into_os_string(),
                None => word.into(),
            },
            None => word.into(),
        });
    let words: Vec<_> = words.collect();
    program()
        .args(words)
        .in_dir(dir)
        .env("COLUMNS", "100")
        .env("PATH", "/nowhere")
        .env("RWASM_STATE_DIR", dir.join("state"))
        .env("RWASM_CONFIG_DIR", dir.join("config"))
        .end()
}

/// What a command line says, without what differs between machines.
fn shown(dir: &Path, line: &str) -> String {
    let ended = ended(dir, line);
    let code = ended.status.code().expect("it exits");
    assert_ne!(code, 0, "{line}");
    let mut text = ended.stderr;
    for (place, name) in [(dir.to_owned(), "DIR"), (guests(), "GUESTS")] {
        text = text.replace(&place.display().to_string(), name);
    }
    format!("$ rwasm-cluster {line}\n{text}exit code {code}\n\n")
}

fn guests() -> PathBuf {
    let path = guest("wordcount");
    path.parent().expect("it is in a directory").to_owned()
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    if only_in_threads("the variable is named in usages") {
        return;
    }
    if only_here("a cluster has texts of its own") {
        return;
    }
    let dir = place();
    let mut text = String::new();
    for (title, lines) in LINES {
        text += &format!("# {title}\n\n");
        for line in *lines {
            text += &shown(dir.path(), line);
        }
    }
    text += "# the project file\n\n";
    for content in [
        "engine = 4\n",
        "engines = [4]\n",
        "engines = many\n",
        "engines = \"many\"\n",
    ] {
        file(&dir, "rwasm.toml", content);
        text += content;
        text += &shown(dir.path(), "run @wordcount.wasm words.txt");
    }
    expect_file!["errors.txt"].assert_eq(text.trim_end_matches('\n'));
}

#[test]
fn errors_about_clusters_say_what_is_wrong_and_what_to_do() {
    if only_here("a cluster has texts of its own") {
        return;
    }
    let dir = place();
    let text: String = CLUSTERS
        .iter()
        .map(|line| shown(dir.path(), line))
        .collect();
    expect_file!["errors_clusters.txt"].assert_eq(text.trim_end_matches('\n'));
}

/// A line that starts with a word of ours is lower case and has no full stop.
#[test]
fn errors_and_hints_have_one_form() {
    if only_here("a cluster has texts of its own") {
        return;
    }
    let dir = place();
    let lines = LINES.iter().flat_map(|(_, lines)| *lines).chain(CLUSTERS);
    for line in lines {
        let stderr = ended(dir.path(), line).stderr;
        // clap has its own form, with a usage below the message.
        if stderr.contains("\nUsage: ") || stderr.contains("try '--help'") {
            continue;
        }
        for shown in stderr.lines() {
            let text = ["error: ", "hint: ", "warning: "]
                .iter()
                .find_map(|kind| shown.strip_prefix(kind));
            let Some(text) = text else { continue };
            let first = text.chars().next().expect("there is a text");
            assert!(!first.is_uppercase(), "{line}: {shown}");
            assert!(!text.ends_with('.'), "{line}: {shown}");
        }
    }
}
