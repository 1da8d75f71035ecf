//! What `-h` and `--help` of every command print, as snapshots in `help/`: `UPDATE_EXPECT=1` writes them anew. Also the
//! commands that print what the program knows of its own command line: `help`, `version`, `completions` and `man`.

use crate::support::{folder, only_in_threads, program};
use expect_test::expect_file;

/// The columns of a terminal: no line of `-h` is longer.
const WIDTH: usize = 80;

/// A terminal has this many lines, one of which is the next prompt.
const HEIGHT: usize = 24;

/// The help of a command: `-h` as a small terminal shows it, `--help` at the width that it has without one.
fn help(words: &[String], flag: &str) -> String {
    help_at(if flag == "-h" { WIDTH } else { 100 }, words, flag)
}

fn help_at(width: usize, words: &[String], flag: &str) -> String {
    program()
        .args(words)
        .arg(flag)
        .env("COLUMNS", width.to_string())
        .output()
}

/// The names of the commands below one, as its `-h` lists them.
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|name| name != "help")
        .collect()
}

/// All commands, the program itself first, each with its `-h`.
fn commands() -> Vec<(Vec<String>, String)> {
    let mut found = vec![(Vec::new(), help(&[], "-h"))];
    let mut next = 0;
    while let Some((words, short)) = found.get(next).cloned() {
        for name in listed(&short) {
            let mut below = words.clone();
            below.push(name);
            let short = help(&below, "-h");
            found.push((below, short));
        }
        next += 1;
    }
    found
}

#[test]
fn every_command_has_its_help_in_a_file() {
    if only_in_threads("the variable is named in usages") {
        return;
    }
    let commands = commands();
    assert!(commands.len() > 25, "{}", commands.len());
    for (words, short) in commands {
        let line = ["rwasm-cluster".to_owned()];
        let line = [&line[..], &words].concat();
        let long = help(&words, "--help");
        let text = format!("$ {0} -h\n{short}\n$ {0} --help\n{long}", line.join(" "));
        expect_file![format!("help/{}.txt", line.join("-"))].assert_eq(&text);
    }
}

#[test]
fn every_line_of_short_help_fits_and_says_what_the_option_is() {
    for (words, short) in commands() {
        for line in short.lines() {
            assert!(line.chars().count() <= WIDTH, "{words:?}: {line}");
        }
        let is_option = |line: &str| line.trim_start().starts_with('-');
        let mut lines = short.lines().skip_while(|line| !line.is_empty()).peekable();
        while let Some(line) = lines.next() {
            // The text stands in the line of its option or, if they are long, in the next.
            let next = lines.peek().copied().unwrap_or_default();
            let is_described = line.trim().contains("  ") || !next.is_empty() && !is_option(next);
            assert!(!is_option(line) || is_described, "{words:?}: {line}");
        }
    }
}

#[test]
fn no_example_is_wrapped() {
    let examples = |help: &str| -> Vec<String> {
        let lines = help.lines().take_while(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    };
    for (words, short) in commands() {
        let wide = help_at(1000, &words, "-h");
        assert_eq!(examples(&short), examples(&wide), "{words:?}");
        assert!(!short.contains("Exit codes"), "{short}");
    }
}

#[test]
fn the_help_of_commands_that_run_tasks_fits_a_terminal_and_names_the_rest() {
    for command in ["run", "call", "map"] {
        let short = help(&[command.to_owned()], "-h");
        assert!(short.lines().count() < HEIGHT, "{short}");
        assert!(short.contains("see more with '--help'"), "{short}");
    }
}

#[test]
fn long_help_lists_all_limits_with_their_units() {
    let long = help(&["run".to_owned()], "--help");
    for limit in [
        "input=SIZE",
        "output=SIZE",
        "logs=SIZE",
        "stack=SIZE",
        "random=SIZE",
        "table-elements=N",
        "handles=N",
        "written=SIZE",
        "files=N",
        "module=SIZE",
        "compile-time=TIME",
        "compile-memory=SIZE",
        "compiled=SIZE",
    ] {
        let line = long.lines().find(|line| line.trim().starts_with(limit));
        let line = line.unwrap_or_else(|| panic!("{limit}"));
        assert!(line.contains("[default: "), "{line}");
    }
}

#[test]
fn help_and_version_are_words_too() {
    assert_eq!(
        program().arg("help").env("COLUMNS", "100").output(),
        help(&[], "--help")
    );
    for line in ["run", "job list", "engine join", "man"] {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let explained = program().arg("help").args(&words).env("COLUMNS", "100");
        assert_eq!(explained.output(), help(&words, "--help"), "{line}");
    }
    let version = program().arg("version").output();
    assert_eq!(version, program().arg("--version").output());
    assert!(version.starts_with("rwasm-cluster "), "{version}");
}

#[test]
fn shells_get_completions_of_all_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = program().args(["completions", shell]).output();
        for word in ["rwasm-cluster", "server-config", "max-failures"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = program().args(["completions", "bash"]).output();
    let asked = "COMP_WORDS=(rwasm-cluster run --me) COMP_CWORD=2; _rwasm__cluster rwasm-cluster --me run; echo ${COMPREPLY[*]}";
    let answer = std::process::Command::new("bash")
        .args(["-c", &format!("{script}\n{asked}")])
        .output()
        .expect("bash runs");
    assert_eq!(
        String::from_utf8_lossy(&answer.stdout),
        "--merge --memory\n"
    );
    program()
        .args(["completions", "tcsh"])
        .fails(2)
        .expect_stderr_has(&["possible values: bash"]);
}

#[test]
fn man_pages_are_printed_or_written_for_all_commands() {
    let page = program().arg("man").output();
    assert!(page.contains(".TH rwasm-cluster 1"), "{page}");
    let dir = folder();
    let place = dir.path().join("share/man1");
    assert_eq!(program().arg("man").arg(&place).output(), "");
    for (words, _) in commands() {
        let name = [&["rwasm-cluster".to_owned()][..], &words]
            .concat()
            .join("-");
        let page = std::fs::read_to_string(place.join(format!("{name}.1")));
        let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".SH NAME"), "{name}");
        assert!(!page.contains(".SH EXTRA"), "{name}");
        expect_described(&page, &name);
    }
    let run = std::fs::read_to_string(place.join("rwasm-cluster-run.1")).expect("it is there");
    assert!(
        run.contains("book.txt  # on four engines") && run.contains(".SH EXAMPLES"),
        "{run}"
    );
    assert!(
        run.contains(concat!("\"rwasm-cluster ", env!("CARGO_PKG_VERSION"))),
        "{run}"
    );
    // They are written again as they are.
    program().arg("man").arg(&place).output();
    program()
        .args(["man", "/dev/null/man1"])
        .fails(14)
        .expect_stderr_has(&["cannot write `/dev/null/man1`"]);
}

/// Each option of a man page has a text: a line after that with its name.
fn expect_described(page: &str, name: &str) {
    let lines: Vec<&str> = page.lines().collect();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| **line == ".TP") {
        let text = lines.get(at + 2).copied().unwrap_or_default();
        assert!(
            !text.is_empty() && !text.starts_with('.'),
            "{name}: {:?} has no text",
            lines.get(at + 1)
        );
    }
}
