//! What users see of hostile guests: the code, nothing on stdout, and a message that no terminal obeys.

use super::catalogue::text;
use crate::support::{Cli, file, folder, guest, program, workspace};

fn hostile(name: &str) -> std::path::PathBuf {
    let text = workspace().join("guest-tasks/hostile").join(name);
    let text = text.with_extension("wat");
    if text.exists() { text } else { guest(name) }
}

fn run(name: &str, options: &str) -> Cli {
    program().arg("run").typed(options).arg(hostile(name))
}

#[test]
fn the_name_of_a_file_has_one_form_and_stays_in_its_line() {
    let dir = folder();
    let (name, shown) = ("a\rb\nc\u{202e}d.wasm", "a\\rb\\nc\\u{202e}d.wasm");
    std::fs::copy(guest("wordcount"), dir.path().join(name)).expect("it can be copied");
    let typed = |command: &str, file: &str| {
        let typed = program().arg(command).arg(file);
        typed.in_dir(dir.path()).stdin("word")
    };
    let inspected = typed("inspect", name).output();
    assert!(inspected.contains(shown), "{inspected}");
    typed("run", name)
        .typed("--map nothing")
        .fails(10)
        .expect_stderr_has(&[shown]);
    for command in ["inspect", "run"] {
        typed(command, &format!("no-{name}"))
            .fails(10)
            .expect_stderr_has(&[&format!("module `no-{shown}` does not exist")]);
    }
    typed("run", name)
        .arg(format!("no-{name}"))
        .fails(14)
        .expect_stderr_has(&[&format!("input `no-{shown}` does not exist")]);
}

#[test]
fn each_failure_has_its_code_and_the_option_that_raises_the_limit() {
    let cases = [
        ("loop_forever", "--timeout 300ms", "(timeout)", "--timeout"),
        ("sleep_forever", "--timeout 300ms", "(timeout)", "--timeout"),
        ("loop_on_fuel", "--fuel 10000", "(fuel-exhausted)", "--fuel"),
        (
            "hoard_in_a_map",
            "--memory 32MiB",
            "(memory-limit)",
            "--memory",
        ),
        (
            "many_tables",
            "",
            "(memory-limit)",
            "--limit table-elements",
        ),
        ("recurse", "", "(stack-overflow)", "512KiB"),
        (
            "print_without_end",
            "--limit output=1MiB",
            "(output-limit)",
            "--limit output",
        ),
        ("panic_at_length", "", "(trap)", "unreachable"),
        ("exit_with_a_code", "", "(exit-code)", "code 42"),
    ];
    for (name, options, code, part) in cases {
        let ended = run(name, options)
            .fails(11)
            .expect_stderr_has(&[code, part]);
        expect_plain(&ended.stderr);
    }
}

#[test]
fn what_is_refused_is_refused_as_no_module() {
    let cases = [
        ("memory_of_64_bits", "memory64"),
        ("shared_memory", "threads"),
        ("starts_a_thread", "threads"),
        ("import_of_a_memory", "env::memory"),
        ("start_of_another_type", "_start"),
    ];
    for (name, part) in cases {
        run(name, "").fails(10).expect_stderr_has(&[part]);
    }
}

#[test]
fn no_terminal_obeys_what_a_guest_says() {
    let dir = folder();
    for (name, call, code) in [
        ("import_names_with_commands", Some("call_it"), 11),
        ("names_with_commands", Some("trap"), 11),
        ("log_what_is_no_text", None, 11),
        ("panic_at_length", None, 11),
    ] {
        let cli = match call {
            Some(function) => program().arg("call").arg(hostile(name)).arg(function),
            None => run(name, ""),
        };
        let ended = cli.fails(code);
        expect_plain(&ended.stderr);
        let inspected = program().arg("inspect").arg(hostile(name)).end();
        expect_plain(&inspected.expect_code(0).text());
    }
    let large = std::fs::read_to_string(hostile("large_error")).expect("it can be read");
    let large = file(&dir, "large_error.wasm", text(&large));
    let ended = program().arg("run").arg(large).stdin("text").fails(11);
    expect_plain(&ended.stderr);
    assert!(
        ended.stderr.len() < 64 << 10,
        "{} bytes",
        ended.stderr.len()
    );
}

#[track_caller]
fn expect_plain(text: &str) {
    let is_plain = |letter: char| !letter.is_control() || letter == '\n' || letter == '\t';
    assert!(text.chars().all(is_plain), "{text:?}");
}
