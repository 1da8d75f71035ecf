//! What differs on a terminal: no input is an error that helps, and nothing that would command it gets there.

use crate::support::{Cli, file, folder, program, run, wat};

fn shown(cli: Cli, code: i32) -> String {
    cli.on_terminal().end().expect_code(code).text()
}

#[test]
fn without_an_input_a_mapper_says_how_it_is_used() {
    let text = shown(run("wordcount"), 2);
    for part in ["no input", "name an input: rwasm-cluster run", "book.txt"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let plain = shown(program().arg("run").arg(wat("numeric")), 10);
    assert!(
        plain.contains("none of its functions takes one string or list<u8>"),
        "{plain}"
    );
}

#[test]
fn without_an_input_a_command_runs_once() {
    assert_eq!(shown(run("linecount"), 0), "0 0 0\r\n");
    assert_eq!(shown(run("echo-args").args(["--", "x"]), 0), "x\r\n");
}

#[test]
fn control_characters_of_results_are_shown_and_not_obeyed() {
    let dir = folder();
    let path = file(&dir, "text.txt", "a\u{1b}[31mb\u{7}\n");
    for (cli, merge) in [
        (run("upper"), "--merge concat"),
        (run("faulty").typed("--map shout"), "--merge concat"),
    ] {
        let text = shown(cli.typed(merge).arg(&path), 0);
        assert!(text.starts_with('A') && text.contains("[31MB"), "{text:?}");
        assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
    }
    // In a file or a pipe they are what they were.
    run("upper")
        .arg(&path)
        .end()
        .expect_stdout("A\u{1b}[31MB\u{7}\n");
}

#[test]
fn a_bar_leaves_the_terminal_sound() {
    // It runs long enough to be drawn, and is taken away when its job fails.
    let stuck = run("faulty").typed("--timeout 1s").env("TERM", "xterm");
    let dir = folder();
    let stuck = stuck.arg(file(&dir, "text.txt", "spin\n"));
    let text = shown(stuck, 11);
    let (drawn, message) = text.split_once("error: ").expect("it says what was wrong");
    assert!(drawn.contains("0 B") || drawn.contains("0B"), "{drawn:?}");
    assert!(
        drawn.ends_with("\u{1b}[2K") || drawn.ends_with('\r'),
        "the line is cleared: {drawn:?}"
    );
    assert!(message.contains("(timeout)"), "{message:?}");
    let count = |command| text.matches(command).count();
    assert_eq!(
        count("\u{1b}[?25l"),
        count("\u{1b}[?25h"),
        "the cursor is back: {text:?}"
    );
}
