//! Wrong command lines: which word or setting is wrong and where it is from, in text that no terminal obeys.

use crate::support::{Cli, call, file, folder, guest, only_here, program, run};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;

#[test]
fn a_command_is_not_a_directory_for_man_pages() {
    let dir = folder();
    for command in ["run", "job"] {
        program()
            .args(["man", command])
            .in_dir(&dir)
            .fails(2)
            .expect_stderr_has(&[
                &format!("rwasm-cluster help {command}"),
                &format!("./{command}"),
            ]);
        assert!(!dir.path().join(command).exists());
    }
    program().args(["man", "./run"]).in_dir(&dir).output();
    assert!(dir.path().join("run/rwasm-cluster-run.1").is_file());
}

#[test]
fn no_terminal_obeys_the_words_of_a_usage_error() {
    let odd = "a\u{1b}[31m\nerror: forged\u{7}\u{202e}";
    let option = format!("--{odd}");
    let short = format!("-qj{odd}");
    let lines: [&[&str]; 6] = [
        &[odd],
        &["run", "m.wasm", &short],
        &["run", "m.wasm", &option],
        &["run", "m.wasm", "--timeout", odd],
        &["run", "m.wasm", "--merge", odd],
        &["run", "m.wasm", "--limit", &format!("files={odd}")],
    ];
    for line in lines {
        for options in [&[][..], &["--color", "always"]] {
            let ended = program().args(line).args(options).fails(2);
            expect_in_lines(&ended.stderr);
        }
    }
    let ended = run("wordcount").env("RWASM_ENGINES", odd).fails(2);
    expect_in_lines(&ended.stderr);
    // A line end by itself leaves the error's own lines as they are.
    let ended = program()
        .typed("version x")
        .env("RWASM_LABEL", "\n")
        .fails(2);
    assert!(ended.stderr.lines().count() > 2, "{}", ended.stderr);
    assert!(!ended.stderr.contains(r"\n"), "{}", ended.stderr);
    // The time that this takes does not grow with the square of the words.
    let parts = "\n=,".repeat(30_000);
    let ended = program().args(["run", "x", &format!("--engines={parts}")]);
    ended.fails(2);
}

fn expect_in_lines(stderr: &str) {
    let obeyed = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
    assert!(!stderr.contains(obeyed), "{stderr:?}");
    let forged = stderr.lines().any(|line| line.starts_with("error: forged"));
    assert!(!forged, "{stderr}");
    assert!(stderr.contains(r"a\u{1b}[31m"), "{stderr}");
}

#[test]
fn usage_errors_have_colors_if_the_command_line_wants_them() {
    let wrong = |color: &str| run("wordcount").typed("--timeout soon").typed(color);
    let plain = wrong("").fails(2).stderr;
    let never = wrong("--color never").on_terminal().end().text();
    assert!(!plain.contains('\u{1b}') && !never.contains('\u{1b}'));
    for color in ["--color always", "--color=never --color=always"] {
        let colored = wrong(color).env("NO_COLOR", "1").fails(2).stderr;
        assert!(colored.contains('\u{1b}'), "{colored:?}");
    }
}

#[test]
fn a_wrong_value_of_the_environment_names_its_variable() {
    let cases = [
        ("RWASM_TIMEOUT", "soon"),
        ("RWASM_ENGINES", "many"),
        ("RWASM_LIMIT", "files=3,heap=1"),
        ("RWASM_MERGE", "all"),
        ("RWASM_STATS", "perhaps"),
        ("RWASM_TIMEOUT", ""),
    ];
    for (variable, value) in cases {
        run("wordcount")
            .env(variable, value)
            .fails(2)
            .expect_stderr_has(&[&format!(
                "hint: the value comes from the environment variable `{variable}`"
            )]);
    }
    // A word goes before the variable, and is then what is wrong.
    let typed = run("wordcount").typed("--timeout never");
    let typed = typed.env("RWASM_TIMEOUT", "soon").fails(2).stderr;
    assert!(
        typed.contains("never") && !typed.contains("RWASM"),
        "{typed}"
    );
}

#[test]
fn options_that_exclude_each_other_name_their_command_and_source() {
    let dir = folder();
    let usage = "Usage: rwasm-cluster run ";
    let typed = || run("wordcount").in_dir(&dir);
    typed()
        .typed("--merge sum --reduce reducer")
        .fails(2)
        .expect_stderr_has(&["'--reduce' cannot be used with '--merge'", usage]);
    typed()
        .env("RWASM_MERGE", "sum")
        .env("RWASM_REDUCE", "reducer")
        .fails(2)
        .expect_stderr_has(&[
            usage,
            "environment variables `RWASM_REDUCE` and `RWASM_MERGE`",
        ]);
    file(&dir, "rwasm.toml", "quiet = true\nverbose = true\n");
    typed()
        .fails(2)
        .expect_stderr_has(&[usage, "hint: the values come from `rwasm.toml`"]);
}

#[test]
fn slips_get_a_hint() {
    let cases = [
        ("total 1 2 3", "a list is one argument: '[1, 2, 3]'"),
        ("add 7,2", "separate arguments with spaces"),
    ];
    for (line, hint) in cases {
        call("numbers")
            .typed(line)
            .fails(2)
            .expect_stderr_has(&[hint]);
    }
    let map = || program().arg("map").arg(guest("numbers")).arg("fib");
    let hint = format!(
        "to call it once: `rwasm-cluster call {} fib 1`",
        guest("numbers").display()
    );
    map().arg("1").fails(14).expect_stderr_has(&[&hint]);
    map()
        .stdin("\n")
        .fails(11)
        .expect_stderr_has(&["the line is empty"]);
    run("upper")
        .typed("--dir .:/x")
        .fails(2)
        .expect_stderr_has(&["two colons, like .::/x"]);
}

#[test]
fn a_word_that_is_not_text_is_named_with_its_option() {
    let odd = std::ffi::OsStr::from_bytes(b"b\xfe");
    let wrong = |option: &str| run("wordcount").arg(option).arg(odd).fails(2);
    wrong("--label")
        .expect_stderr_has(&["expected UTF-8 text instead of `b\\xfe` for '--label <TEXT>'"]);
    wrong("-j").expect_stderr_has(&["instead of `b\\xfe` for '--engines <N>'"]);
}

#[test]
fn a_number_that_is_none_is_shown_with_what_is_expected() {
    let cases = [
        (
            "run m.wasm --engines many",
            "expected a number of engines such as 4",
        ),
        (
            "run m.wasm --timeout 3",
            "expected a time such as 500ms, 30s or 2h",
        ),
        (
            "run m.wasm --backoff x",
            "expected a time such as 100ms, 2s or 1m",
        ),
        ("run m.wasm --hwm x", "expected a number of at least 1"),
        (
            "run m.wasm --history-rows 0",
            "expected a number of at least 1",
        ),
        (
            "job list --limit all",
            "expected a number of jobs such as 20",
        ),
        (
            "job result 1 last",
            "expected the number of a task such as 0",
        ),
    ];
    for (line, message) in cases {
        program().typed(line).fails(2).expect_stderr_has(&[message]);
    }
}

#[test]
fn two_options_do_not_write_one_file() {
    let dir = folder();
    let name = |name: &str| dir.path().join(name);
    let old = file(&dir, "old", "old");
    fs::hard_link(&old, name("hard")).expect("linked");
    std::os::unix::fs::symlink("old", name("soft")).expect("linked");
    fs::create_dir(name("sub")).expect("created");
    let pairs = [
        ("new", "new"),
        ("new", "./new"),
        ("new", "sub/../new"),
        ("old", "hard"),
        ("old", "soft"),
    ];
    let both = |output: &str, report: &str| -> Cli {
        let fib = call("numbers").typed("fib 5").in_dir(&dir);
        fib.args(["-o", output, "--report", report])
    };
    for (output, report) in pairs {
        both(output, report)
            .fails(2)
            .expect_stderr_has(&["--output and --report write the same file"]);
    }
    assert_eq!(fs::read(&old).expect("it is there"), b"old");
    assert!(!name("new").exists());
    let recorded = both("history.db", "report").arg("--history");
    recorded
        .env("RWASM_HISTORY_FILE", name("history.db"))
        .fails(2)
        .expect_stderr_has(&["--output would replace the history"]);
    // The history is not replaced by who reads it, or does not record.
    let history = file(&dir, "there.db", "");
    fs::remove_file(&history).expect("removed");
    let recorded = call("numbers").typed("fib 5 --history");
    recorded.env("RWASM_HISTORY_FILE", &history).output();
    let before = fs::read(&history).expect("it is there");
    for again in [
        program().typed("job result 1"),
        program().typed("job replay 1 0"),
        call("numbers").typed("fib 6"),
    ] {
        let again = again
            .env("RWASM_HISTORY_FILE", &history)
            .arg("-o")
            .arg(&history);
        again
            .fails(2)
            .expect_stderr_has(&["--output would replace the history"]);
    }
    assert_eq!(fs::read(&history).expect("it is there"), before);
    // Devices take both, and files of two names are two.
    both("/dev/null", "/dev/null").end().expect_code(0);
    both("result", "sub/result").end().expect_code(0);
}

/// A file that a stream was redirected to is written like the stream: after what is there, and not replaced.
#[test]
fn names_of_streams_replace_no_file() {
    let dir = folder();
    for (options, stderr) in [
        ("-o /dev/stdout", false),
        ("-o /dev/fd/1", false),
        ("-o /proc/self/fd/1", false),
        ("-o /dev/stdout --report /dev/null", false),
        ("-o /dev/null --report /dev/stderr", true),
    ] {
        let path = file(&dir, "stream", "before\n");
        let append = || {
            fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .expect("it is there")
        };
        let mut command = call("numbers").typed("fib 5").typed(options).into_command();
        let (out, err) = if stderr {
            (Stdio::null(), append().into())
        } else {
            (append().into(), Stdio::null())
        };
        let ended = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .status();
        assert!(ended.expect("it runs").success(), "{options}");
        let now = fs::read_to_string(&path).expect("it is there");
        let after = now.strip_prefix("before\n").expect("it begins as before");
        assert_eq!(after.starts_with('{'), stderr, "{options}: {after}");
        assert!(stderr || after == "5\n", "{options}: {after}");
    }
    // A file of that name does not make `-` a file.
    file(&dir, "-", "");
    let both = call("numbers").typed("fib 5 -o - --report -").in_dir(&dir);
    both.end().expect_code(0);
}

#[test]
fn long_names_are_not_compared() {
    if only_here("the module is refused in other words by an engine") {
        return;
    }
    let dir = folder();
    let long = "x".repeat(90_000);
    let text = format!(r#"(module (func (export "{long}")))"#);
    let module = file(&dir, "long.wat", text);
    let ended = program().arg("call").arg(module).arg(&long[1..]).fails(10);
    assert!(!ended.stderr.contains("did you mean"));
    let near = program().arg("call").arg(guest("numbers")).arg("fibb");
    near.fails(10).expect_stderr_has(&["did you mean"]);
}
