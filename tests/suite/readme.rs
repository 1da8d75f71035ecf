//! The commands of README and of the book do what these show, and every example runs.

use crate::docs::{name, pages, read};
use crate::support::{folder, guest, scratch, target, wait, wat, workspace};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A command of a `console` block, and the lines that the page shows of its output.
struct Example {
    command: String,
    shown: Vec<String>,
}

fn readme_path() -> PathBuf {
    workspace().join("README.md")
}

/// The text of README.
pub(crate) fn readme() -> String {
    read(&readme_path())
}

/// The blocks of that kind: the text between their fences.
pub(crate) fn blocks(text: &str, kind: &str) -> Vec<Vec<String>> {
    let fence = format!("```{kind}");
    let mut lines = text.lines();
    let mut blocks = vec![];
    while lines.by_ref().any(|line| line == fence) {
        let block = lines.by_ref().take_while(|line| *line != "```");
        blocks.push(block.map(str::to_owned).collect());
    }
    blocks
}

fn examples(text: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = vec![];
    for line in blocks(text, "console").concat() {
        match (line.strip_prefix("$ "), examples.last_mut()) {
            (Some(command), _) => examples.push(Example {
                command: command.to_owned(),
                shown: vec![],
            }),
            (None, Some(example)) => example.shown.push(line),
            (None, None) => panic!("a console block begins with output: {line}"),
        }
    }
    examples
}

/// A directory as the page says it should be: the guests, and the files that its `printf` lines make.
pub(crate) fn as_described(page: &str, text: &str) -> TempDir {
    let dir = folder();
    for name in ["wordcount", "upper", "linecount", "numbers"] {
        fs::copy(guest(name), dir.path().join(name).with_extension("wasm"))
            .expect("a guest can be copied");
    }
    fs::copy(wat("numeric"), dir.path().join("numeric.wat")).expect("a guest can be copied");
    for line in blocks(text, "sh").concat() {
        if line.starts_with("printf ") {
            shell(page, &dir, &line);
        }
    }
    dir
}

/// Runs a line of the page as a user would, and returns what it prints.
fn shell(page: &str, dir: &TempDir, line: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_rwasm-cluster"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = program
        .parent()
        .into_iter()
        .map(Path::to_owned)
        .chain(std::env::split_paths(&path));
    // To files, so that nobody has to read along.
    let kept = folder();
    let outputs = ["stdout", "stderr"].map(|name| kept.path().join(name));
    let [stdout, stderr] = outputs
        .each_ref()
        .map(|path| fs::File::create(path).expect("a file can be made"));
    let child = Command::new("sh")
        .args(["-c", line])
        .current_dir(dir.path())
        .env("PATH", std::env::join_paths(programs).expect("a path"))
        .env("RWASM_CACHE_DIR", scratch().join("compiled"))
        .env("RWASM_HISTORY_FILE", dir.path().join("history.db"))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn();
    let status = wait(child.expect("a shell is there")).expect("it ends in time");
    let [stdout, stderr] = outputs.map(|path| fs::read_to_string(&path).expect("it prints text"));
    assert!(
        status.success(),
        "{page} shows `{line}`, which ended with {status}:\n{stderr}"
    );
    stdout
}

/// The line that stands for lines which a page leaves out.
const GAP: &str = "…";

/// Whether a command printed what a page shows: all of it, some lines with gaps in between, or nothing at all.
fn is_as_shown(shown: &[String], printed: &str) -> Result<(), String> {
    if shown.is_empty() {
        return Ok(());
    }
    let mut lines = printed.lines();
    let mut is_gap = false;
    for line in shown {
        if line == GAP {
            is_gap = true;
            continue;
        }
        let found = if is_gap {
            lines.any(|printed| printed == line)
        } else {
            lines.next() == Some(line)
        };
        if !found {
            return Err(format!("the page shows {line:?}"));
        }
        is_gap = false;
    }
    match lines.next() {
        Some(line) if !is_gap => Err(format!("the page does not show {line:?}")),
        _ => Ok(()),
    }
}

/// Runs every command of the page, in order and in one directory, and returns how many it has.
fn run_commands(path: &Path) -> usize {
    let (page, text) = (name(path), read(path));
    let examples = examples(&text);
    if examples.is_empty() {
        return 0;
    }
    let dir = as_described(&page, &text);
    for Example { command, shown } in &examples {
        assert!(
            command.starts_with("rwasm-cluster "),
            "a console block of {page} runs `{command}`"
        );
        let printed = shell(&page, &dir, command);
        if let Err(reason) = is_as_shown(shown, &printed) {
            panic!("{page}, `{command}`: {reason}, but it printed\n{printed}");
        }
    }
    examples.len()
}

#[test]
fn a_page_shows_an_output_whole_or_marks_the_gaps() {
    let is_shown = |shown: &str| {
        let shown: Vec<String> = shown.split_whitespace().map(str::to_owned).collect();
        is_as_shown(&shown, "a\nb\nc\n").is_ok()
    };
    for good in ["", "a b c", "a …", "… c", "a … c", "… b …", "a b c …"] {
        assert!(is_shown(good), "{good}");
    }
    for bad in ["a", "a b", "b c", "a c", "… b", "b …", "a d", "a b c d"] {
        assert!(!is_shown(bad), "{bad}");
    }
}

#[test]
fn the_commands_of_readme_print_what_it_shows() {
    let run = run_commands(&readme_path());
    assert!(run > 5, "README has {run} examples");
}

#[test]
fn the_commands_of_the_book_print_what_it_shows() {
    let run: usize = pages().iter().map(|page| run_commands(page)).sum();
    assert!(run > 25, "the book has {run} examples");
}

/// The commands whose options README and the book name.
const COMMANDS: [&str; 24] = [
    "new",
    "build",
    "test",
    "run",
    "call",
    "map",
    "inspect",
    "cache info",
    "cache prune",
    "job list",
    "job show",
    "job result",
    "job cancel",
    "job retry",
    "job replay",
    "job rm",
    "start",
    "status",
    "stop",
    "engine join",
    "engine list",
    "keys",
    "server-config",
    "init",
];

/// Options of other programs, and of guests.
const OTHERS: [&str; 14] = [
    "--bench",
    "--lib",
    "--locked",
    "--no-deps",
    "--no-install-recommends",
    "--open",
    "--path",
    "--prefix",
    "--release",
    "--restore",
    "--signal",
    "--sync",
    "--sysroot",
    "--target",
];

#[test]
fn options_that_the_documents_name_are_there() {
    let dir = folder();
    let help: String = COMMANDS
        .map(|command| {
            shell(
                "this test",
                &dir,
                &format!("rwasm-cluster {command} --help"),
            )
        })
        .concat();
    for path in pages().into_iter().chain([readme_path()]) {
        let text = read(&path);
        let ends = |letter: char| letter.is_whitespace() || "`'(),;=".contains(letter);
        for word in text.split(ends) {
            let is_option = word.strip_prefix("--").is_some_and(|name| {
                name.len() > 1
                    && name
                        .chars()
                        .all(|letter| letter.is_ascii_lowercase() || letter == '-')
            });
            if is_option && !OTHERS.contains(&word) {
                assert!(
                    help.contains(word),
                    "{} names {word}, which no command's --help does",
                    name(&path)
                );
            }
        }
    }
}

#[test]
fn every_example_runs() {
    let sources = fs::read_dir(workspace().join("examples")).expect("there are examples");
    let mut names: Vec<String> = sources
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    assert!(!names.is_empty(), "there are no examples");
    let tests = std::env::current_exe().expect("the test's own program");
    let profile = tests
        .ancestors()
        .nth(2)
        .expect("it lies in deps, in the profile's directory");
    for name in names {
        let program = profile.join("examples").join(&name);
        assert!(
            program.is_file(),
            "{} is not built: `cargo test` without `--test` builds it, if it is an [[example]] of host/Cargo.toml",
            program.display()
        );
        let child = Command::new(program)
            .env("CARGO_TARGET_DIR", target())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let status = wait(child.expect("it starts")).expect("it ends in time");
        assert!(status.success(), "the example {name} ended with {status}");
    }
}
