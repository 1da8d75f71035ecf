//! Tasks in C, Go, Python and JavaScript: they count words as the Rust task does, and give back values of every shape.
//!
//! Each guest that embeds an interpreter is compiled once, and so has one test, or is used by few.

use crate::build::toolchain_is_missing;
use crate::support::{
    Cli, Text, call, cluster, code, component, file, folder, guest, inspect, map, module, run,
    word_count,
};
use rwasm_cluster::FailureCode;
use std::fmt::Write as _;
use std::time::Duration;

/// Compiling an interpreter of 18 MB takes 6 s on two cores; in a busy test run it takes many times that.
const PATIENCE: Duration = Duration::from_mins(5);

/// Ways to cut and place a word count that are not too slow for an interpreter.
const WAYS: [&str; 6] = [
    "--engines 1",
    "--engines 4",
    "--engines 1 --chunk file",
    "--engines 2 --chunk 16KiB",
    "--engines 4 --chunk lines:800 --view direct",
    "--engines 2 --chunk lines:300 --reuse engine",
];

fn count(guest: &str, way: &str) -> Cli {
    run(guest).typed(way).within(PATIENCE)
}

/// Words of many scripts, with what is hard in each: letters and marks, numbers, case, the two forms of a small sigma,
/// white space. They have stood in Unicode for long, so that all versions of it agree.
fn odd_text() -> String {
    let mut text = String::from(
        "\u{feff}The e\u{301}te 1984 b4 2nd x² ½ Ⅷ 〇 ① __ _a_ snake_Case so—called re-entry zero\u{200b}width\n\
         ΟΔΥΣΣΕΥΣ ab.ΣΑΣ, Σ ΣΑΣΑ Α.Σ’ Σ’Α xΣ.\u{1c}ΑΣ\u{1d}y\u{1e}z\u{1f}w\u{85}v\u{a0}u\u{3000}t\u{2028}s\n\
         İstanbul ǅ ẞ ß ᾈ ÀÉÎ ÉLAN ЖЁ हिन्दी ١٢٣ ४२ 漢字 한글 𝐀𐐀𠀀 \u{e000} \u{ff21} \u{fffd} “Quoted,” he’s\n",
    );
    for code in (0xa0..0x24f).chain(0x370..0x3ff).chain(0x400..0x52f) {
        if let Some(char) = char::from_u32(code) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "x{char}y {char} A{char}Σ AΣ{char} Σ{char}A");
        }
    }
    text
}

/// Holds a word count against the serial one, and for odd words against the Rust task.
fn counts_words(language: &str) {
    if toolchain_is_missing(language) {
        return;
    }
    let guest = format!("wordcount-{language}");
    let dir = folder();
    let text = Text::of(31, 300_000).make();
    let expected = word_count(&[&text]);
    let book = file(&dir, "book.txt", &text);
    for way in WAYS {
        let ended = count(&guest, way).arg(&book).end().expect_code(0);
        ended.expect_stdout(&expected);
    }
    let odd = file(&dir, "odd.txt", odd_text());
    let expected = run("wordcount").arg(&odd).output();
    for way in ["--engines 1 --chunk file", "--engines 2 --chunk lines:40"] {
        let ended = count(&guest, way).arg(&odd).end().expect_code(0);
        ended.expect_stdout(&expected);
    }
    for text in ["", "\n", " \t\r\n", "the of and", "word", "a\0word b\0"] {
        let ended = count(&guest, "").stdin(text).end().expect_code(0);
        ended.expect_stdout(word_count(&[text]));
    }
}

#[test]
fn c_counts_words() {
    counts_words("c");
}

#[test]
fn python_counts_words() {
    counts_words("python");
}

#[test]
fn javascript_counts_words() {
    counts_words("js");
}

#[test]
fn go_runs_as_a_command_by_every_clock() {
    if toolchain_is_missing("go") {
        return;
    }
    let dir = folder();
    let inputs: Vec<_> = (1..=20)
        .map(|lines| file(&dir, &format!("{lines:02}.txt"), "a line\n".repeat(lines)))
        .collect();
    let expected: Vec<_> = (1..=20).map(|lines| format!("{lines}\n")).collect();
    let expected = expected.concat();
    for options in [
        "",
        "--clock precise",
        "--clock fixed",
        "--deterministic",
        "--engines 1",
    ] {
        let run = run("lines-go").typed(options).args(&inputs);
        run.end().expect_code(0).expect_stdout(&expected);
    }
    let run = || run("lines-go");
    let with = run().stdin("a\nb\n").args(["-", "--", "of", "it"]).output();
    assert_eq!(with, "of it 2\n");
    run()
        .stdin("")
        .fails(11)
        .expect_stderr_has(&["there are no lines"]);
}

#[test]
fn go_exports_functions() {
    if toolchain_is_missing("go") {
        return;
    }
    let call = || call("powers-go");
    assert_eq!(call().args(["power", "2", "10"]).output(), "1024\n");
    for options in ["", "--clock precise", "--deterministic"] {
        let slept = call().args(["sleep", "5"]).typed(options).output();
        let slept: u64 = slept.trim_end().parse().expect("milliseconds");
        assert!(slept >= 5, "{options}: {slept}");
    }
    let counted = |options: &str| {
        let map = map("powers-go").arg("count").typed(options);
        map.stdin("\n\n\n").output()
    };
    assert_eq!(counted("--engines 1"), "1\n1\n1\n");
    assert_eq!(counted("--engines 1 --reuse engine"), "1\n2\n3\n");
    call()
        .arg("fails")
        .fails(11)
        .expect_stderr_has(&["panic: it was told to", "main.fails"]);
}

/// As made by componentize-js the engine would give up at less than 300 000 words, whatever memory the task has.
#[test]
fn javascript_may_use_the_memory_that_its_task_has() {
    if toolchain_is_missing("js") {
        return;
    }
    let mut words = String::from("[");
    for number in 0..400_000 {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(words, "{comma}[\"w{number:06}\",{}]", 1_000_000 - number);
    }
    words.push(']');
    let reducer = |parts: &str, options: &str| {
        let call = map("wordcount-js").arg("reducer").typed(options);
        let call = call.typed("--engines 1 --format json");
        call.stdin(format!("[{parts}]\n")).within(PATIENCE)
    };
    let reduced = reducer(&words, "").end().expect_code(0);
    assert!(reduced.text().trim_end() == words, "the words came back");
    reducer(&words, "--memory 64MiB")
        .fails(11)
        .expect_stderr_has(&[
            "memory-limit",
            "more than its limit of 64MiB (raise it with --memory)",
        ]);
}

#[test]
fn c_counts_words_as_a_component_too() {
    if toolchain_is_missing("c") {
        return;
    }
    let dir = folder();
    let text = Text::of(32, 100_000).make();
    let made = file(&dir, "wordcount.wasm", component("wordcount-c"));
    let book = file(&dir, "book.txt", &text);
    let run = crate::support::program().arg("run").arg(made).arg(book);
    run.end().expect_code(0).expect_stdout(word_count(&[&text]));
}

const WAVE: &str = r#"{title: "día \"x\"😀", color: green, style: {bold, underlined}, scale: -0.5, mark: '漢', origin: some({x: -1, y: 2147483647}), shapes: [empty, circle(4294967295), label("a\tb"), polygon([{x: 0, y: 1}, {x: -2147483648, y: 0}])], layers: [[], [4294967295, 0]], size: (18446744073709551615, -9223372036854775808), last: err("none"), raw: [0, 255]}"#;

const JSON: &str = r#"{"title":"día \"x\"😀","color":"green","style":["bold","underlined"],"scale":-0.5,"mark":"漢","origin":{"x":-1,"y":2147483647},"shapes":["empty",{"circle":4294967295},{"label":"a\tb"},{"polygon":[{"x":0,"y":1},{"x":-2147483648,"y":0}]}],"layers":[[],[4294967295,0]],"size":[18446744073709551615,-9223372036854775808],"last":{"err":"none"},"raw":"AP8="}"#;

/// The least that a drawing can be.
const BARE: &str = r#"{title: "", color: red, style: {}, scale: 0, mark: 'a', origin: none, shapes: [], layers: [], size: (0, 0), last: ok(9007199254740993), raw: []}"#;

/// Gives values of every shape to an echo, and has them back.
fn echoes(language: &str, guest: &str) {
    if toolchain_is_missing(language) {
        return;
    }
    let call = || call(guest).within(PATIENCE);
    for function in ["echo", "checked"] {
        for given in [WAVE, JSON] {
            let with = |format: &str| {
                let call = call().arg(function).arg(given);
                call.arg("--format").arg(format).output()
            };
            assert_eq!(with("wave").trim_end(), WAVE, "{guest}");
            assert_eq!(with("json").trim_end(), JSON, "{guest}");
        }
    }
    let bare = call().arg("echo").arg(BARE).typed("--format wave").output();
    // A field that is none is left out of WAVE.
    assert_eq!(
        bare.trim_end(),
        BARE.replace("origin: none, ", ""),
        "{guest}"
    );
    let lines = map(guest)
        .arg("echo")
        .stdin(format!("{JSON}\n{WAVE}\n"))
        .output();
    assert_eq!(lines, format!("{JSON}\n{JSON}\n"), "{guest}");
    let ada = "hello, Ada! hello, Ada! hello, Ada!";
    let words = call().args(["greet", "Ada", "3"]).output();
    assert_eq!(words.trim_end(), ada, "{guest}");
    let wave = call().arg(r#"greet("Ada", 3)"#).output();
    assert_eq!(wave.trim_end(), ada, "{guest}");
    call()
        .arg("checked")
        .arg(BARE)
        .fails(11)
        .expect_stderr_has(&["guest-error", "the drawing has no title"]);
    call()
        .args(["greet", "Ada"])
        .fails(2)
        .expect_stderr_has(&["greet: func(name: string, times: u32) -> string"]);
}

#[test]
fn rust_gives_back_values_of_every_shape() {
    echoes("rust", "echo");
}

#[test]
fn python_gives_back_values_of_every_shape() {
    echoes("python", "echo-python");
    fails_with_a_message("python", "echo-python", &["ValueError: nobody to greet"]);
}

/// componentize-py leaves an export of its own in what it makes, which is none of the author's functions.
#[test]
fn a_python_module_shows_what_its_author_wrote() {
    if toolchain_is_missing("python") {
        return;
    }
    let module = module("wordcount-python");
    let names: Vec<&str> = module
        .functions()
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["mapper", "reducer"]);
    let text = inspect(guest("wordcount-python")).output();
    assert!(!text.contains("app-name"), "{text}");
    assert!(text.contains(" mapper 'some words'\n"), "{text}");
    assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
    let wit = inspect(guest("wordcount-python"))
        .typed("--format wit")
        .output();
    let exports: Vec<&str> = wit
        .lines()
        .filter(|line| line.starts_with("  export "))
        .collect();
    assert_eq!(exports.len(), 2, "{wit}");
    call("wordcount-python")
        .arg("nothing")
        .fails(10)
        .expect_stderr_has(&["it has:\n", "mapper: func(text: string)"]);
    call("wordcount-python").arg("init").fails(10);
}

#[test]
fn javascript_gives_back_values_of_every_shape() {
    echoes("js", "echo-js");
    fails_with_a_message("js", "echo-js", &["nobody to greet", "greet@echo.js"]);
}

/// An exception ends the task and its text is in the failure; what a task prints is kept beside its result.
fn fails_with_a_message(language: &str, guest: &str, message: &[&str]) {
    if toolchain_is_missing(language) {
        return;
    }
    call(guest)
        .args(["greet", "", "3"])
        .fails(11)
        .expect_stderr_has(message);
    call(guest)
        .arg("checked")
        .arg(BARE)
        .fails(11)
        .expect_stderr_has(&["refused: a drawing without a title"]);
    let cluster = cluster(1);
    let greet = module(guest)
        .function::<(String, u32), String>("greet")
        .expect("greet");
    let task = cluster
        .load_balanced_view()
        .try_submit(&greet, ("Ada".to_owned(), 1))
        .expect("it is submitted");
    task.wait();
    let logs = task.info().expect("it has ended").usage.logs;
    assert_eq!(task.take().expect("it ends well"), "hello, Ada!");
    let said = logs.expect("it printed").stdout.kept;
    assert_eq!(said, b"greeting Ada\n");
}

#[test]
fn c_without_a_generator_takes_bytes_and_text() {
    if toolchain_is_missing("c") {
        return;
    }
    let text = Text::of(33, 200_000).make();
    let longest = text
        .lines()
        .rev()
        .max_by_key(|line| line.len())
        .expect("there are lines");
    for way in WAYS {
        let ended = count("longest-c", way).stdin(text.clone()).end();
        ended.expect_code(0).expect_stdout(longest);
    }
    let call = || call("longest-c");
    for (function, arguments, expected) in [
        ("copied", &["día"] as &[&str], "día"),
        ("copied", &[""], ""),
        ("shorter", &["abc", "ab"], "ab"),
        ("shorter", &["ab", "abc"], "ab"),
        ("mapper", &["a\nbbb\ncc"], "bbb"),
        ("mapper", &[""], ""),
        ("checked-line", &["a\nbbb\ncc"], "bbb"),
    ] {
        let output = call().arg(function).args(arguments).output();
        assert_eq!(output.trim_end(), expected, "{function} of {arguments:?}");
    }
    run("longest-c")
        .typed("--map checked-line --reduce shorter")
        .stdin("a\0b")
        .fails(11)
        .expect_stderr_has(&["guest-error", "there is a zero byte in the text"]);
}

#[test]
fn c_without_a_generator_asks_its_host() {
    if toolchain_is_missing("c") {
        return;
    }
    let cluster = cluster(1);
    let words = module("longest-c")
        .function::<Vec<u8>, Vec<u8>>("pushed-words")
        .expect("pushed-words");
    let view = cluster.direct_view(0).expect("there is an engine");
    let run = || {
        let tasks = view.try_submit(&words, Vec::new()).expect("it runs");
        tasks.split().pop().expect("one engine, one task")
    };
    assert_eq!(code(run().take()), FailureCode::GuestError);
    view.push("words", "día").expect("it is pushed");
    let task = run();
    task.wait();
    let notes = task.info().expect("it has ended").usage.notes;
    assert_eq!(task.take().expect("it ends well"), "día".as_bytes());
    let notes = notes.expect("it told something");
    let progress = notes.progress.expect("it said how far it is");
    assert_eq!((progress.done, progress.total), (1, Some(2)));
    let published = &notes.published[0];
    assert_eq!(&*published.name, "seen");
    assert_eq!(&published.bytes[..], b"words");
}
