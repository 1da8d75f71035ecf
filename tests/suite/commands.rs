//! WASI commands: programs that read stdin and write stdout, each input whole unless it is cut on request.

use crate::support::{Text, file, folder, run};

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n") + "\n"
}

#[test]
fn each_file_comes_whole_and_in_its_order() {
    let dir = folder();
    let texts = [31, 32, 33].map(|seed| Text::of(seed, 300_000).make());
    let files = [0, 1, 2].map(|number| file(&dir, &format!("{number}.txt"), &texts[number]));
    let upper = texts.concat().to_uppercase();
    for options in [
        "--engines 1",
        "--engines 2",
        "--engines 8",
        "--view direct --engines 2",
    ] {
        let of = |guest: &str| run(guest).typed(options).args(&files).end().expect_code(0);
        of("upper").expect_stdout(&upper).expect_stderr_is_empty();
        of("sorted").expect_stdout(texts.each_ref().map(|text| sorted(text)).concat());
        of("linecount").expect_stdout(texts.each_ref().map(|text| counts(text)).concat());
    }
    let between = run("upper")
        .arg(&files[0])
        .arg("-")
        .arg(&files[2])
        .stdin(texts[1].clone())
        .end();
    between.expect_code(0).expect_stdout(&upper);
}

fn counts(text: &str) -> String {
    let words = text
        .split(|letter: char| letter.is_ascii_whitespace() || letter == '\u{b}')
        .filter(|word| !word.is_empty())
        .count();
    format!("{} {words} {}\n", text.matches('\n').count(), text.len())
}

#[test]
fn a_program_that_works_line_by_line_may_have_its_input_cut() {
    let dir = folder();
    for ends_with_newline in [true, false] {
        let text = Text {
            ends_with_newline,
            ..Text::of(34, 1_000_000)
        }
        .make();
        let path = file(&dir, "text.txt", &text);
        let upper = text.to_uppercase();
        for options in [
            "--chunk 100KiB",
            "--chunk lines:500 --engines 3",
            "--chunk auto --view direct",
            "--chunk 1KiB",
        ] {
            run("upper")
                .typed(options)
                .arg(&path)
                .end()
                .expect_code(0)
                .expect_stdout(&upper);
            run("upper")
                .typed(options)
                .stdin(text.clone())
                .end()
                .expect_code(0)
                .expect_stdout(&upper);
        }
    }
}

#[test]
fn the_other_merges_take_each_output_as_bytes() {
    let dir = folder();
    let files = [file(&dir, "a", "one\n"), file(&dir, "b", "two\n")];
    let upper = |options: &str| run("upper").typed(options).args(&files).output();
    assert_eq!(upper("--merge count"), "2\n");
    assert_eq!(upper("--merge concat"), "ONE\nTWO\n");
    assert_eq!(upper("--format raw"), "ONE\nTWO\n");
    let records = run("upper")
        .typed("--merge none")
        .args(&files)
        .end()
        .expect_code(0)
        .json_lines();
    assert_eq!(records.len(), 2);
    let collected = run("upper")
        .typed("--merge collect --format json")
        .args(&files)
        .end()
        .json();
    assert_eq!(collected.as_array().map(Vec::len), Some(2));
}

#[test]
fn arguments_after_two_dashes_reach_the_program() {
    let dir = folder();
    let text = file(&dir, "text.txt", "a\nb\n");
    assert_eq!(
        run("upper")
            .arg(&text)
            .args(["--", "--prefix", "> "])
            .output(),
        "> A\n> B\n"
    );
    let odd = ["--", "", "two words", "--engines", "-", "ünïcode", "*"];
    let echoed = run("echo-args").arg(&text).args(odd).output();
    assert_eq!(echoed, "\ntwo words\n--engines\n-\nünïcode\n*\n");
    assert_eq!(run("echo-args").args(["--", "--", "x"]).output(), "--\nx\n");
    run("upper")
        .arg(&text)
        .args(["--", "--postfix"])
        .fails(11)
        .expect_stderr_has(&["exit-code", "code 2", "unknown argument `--postfix`"]);
}

#[test]
fn an_exit_code_of_the_program_is_a_failed_task_and_never_ours() {
    let dir = folder();
    let files = ["a", "b"].map(|name| file(&dir, name, name));
    run("exit3").arg(&files[0]).fails(11).expect_stderr_has(&[
        "exit-code",
        "code 3",
        "a line on stderr",
    ]);
    let ended = run("exit3").typed("--max-failures 100%").args(&files).end();
    ended
        .expect_code(0)
        .expect_stdout("")
        .expect_stderr_has(&["warning: ", "exit-code"]);
}

#[test]
fn stdin_is_streamed_whatever_its_size() {
    // Larger than the memory of the task and than what may be copied into it.
    let text = "a line of some length or other, with words\n".repeat(1_200_000);
    let ended = run("linecount")
        .typed("--memory 8MiB --limit input=1MiB")
        .stdin(text.clone())
        .end();
    ended.expect_code(0).expect_stdout(counts(&text));
    let dir = folder();
    let path = file(&dir, "large.txt", &text);
    let ended = run("linecount")
        .typed("--memory 8MiB --limit input=1MiB")
        .arg(&path)
        .end();
    ended.expect_code(0).expect_stdout(counts(&text));
}

#[test]
fn a_program_that_does_not_read_its_input_ends_well() {
    let text = "line\n".repeat(1_000_000);
    assert_eq!(
        run("echo-args").stdin(text).args(["--", "x"]).output(),
        "x\n"
    );
    assert_eq!(run("linecount").output(), "0 0 0\n", "there is no input");
    let dir = folder();
    let empty = file(&dir, "empty", "");
    assert_eq!(
        run("linecount").args([&empty, &empty]).output(),
        "0 0 0\n0 0 0\n"
    );
}

#[test]
fn bytes_that_are_no_text_pass_unchanged() {
    let bytes = b"a\xff\xfe\0b\r\n\xe2\x82".to_vec();
    let upper = b"A\xff\xfe\0B\r\n\xe2\x82";
    run("upper")
        .stdin(bytes)
        .end()
        .expect_code(0)
        .expect_stdout(upper);
}

#[test]
fn the_first_failure_ends_what_is_printed() {
    let dir = folder();
    let good = file(&dir, "good.txt", "a\n");
    let lines = "line\n".repeat(10);
    let ended = run("faulty")
        .typed("--map mapper --merge none --chunk lines:10")
        .arg(file(
            &dir,
            "bad.txt",
            format!("{lines}{lines}refuse\n{lines}"),
        ))
        .arg(&good)
        .end();
    ended
        .expect_code(11)
        .expect_stdout("10\n10\n")
        .expect_stderr_has(&["guest-error", "bad.txt, bytes 100..152"]);
}
