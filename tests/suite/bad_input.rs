//! Bad input gets a clear error, the right exit code and nothing on stdout.

use crate::support::{Cli, corpus, file, folder, guest, only_here, program, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn run_module(module: &Path) -> Cli {
    program().arg("run").arg(module)
}

#[test]
fn what_is_no_module_is_named_for_what_it_is() {
    let dir = folder();
    let wasm = fs::read(guest("wordcount")).expect("the guest can be read");
    let half = &wasm[..wasm.len() / 2];
    let mut elf = fs::read(env!("CARGO_BIN_EXE_rwasm-cluster")).expect("the program can be read");
    // The whole program may be larger than a module may be.
    elf.truncate(1 << 20);
    let mut flipped = wasm.clone();
    flipped[wasm.len() / 2] ^= 0x55;
    flipped.truncate(wasm.len() / 2 + 100);
    let cases: [(&str, &[u8], &str); 9] = [
        ("empty.wasm", b"", "the file is empty"),
        ("half.wasm", half, "truncated"),
        ("start.wasm", b"\0as", "truncated"),
        ("header.wasm", b"\0asm\x01\0\0", "truncated"),
        ("damaged.wasm", &flipped, "is not valid"),
        (
            "random.wasm",
            &[0x93, 0x10, 0x00, 0xf7, 0x7a],
            "it begins with 93 10 00 f7",
        ),
        (
            "program.wasm",
            &elf,
            "native program (ELF); compile it for wasm32-wasip1",
        ),
        (
            "text.wat",
            b"(module (func (export \"f\") (result i3)))",
            "text.wat",
        ),
        (
            "prose.wasm",
            b"Call me Ishmael.",
            "not a WebAssembly module",
        ),
    ];
    for (name, bytes, part) in cases {
        let path = file(&dir, name, bytes);
        run_module(&path)
            .stdin("text")
            .fails(10)
            .expect_stderr_has(&["error: ", name, part]);
        program()
            .arg("inspect")
            .arg(&path)
            .fails(10)
            .expect_stderr_has(&[name, part]);
    }
    run_module(&dir.path().join("missing.wasm"))
        .fails(10)
        .expect_stderr_has(&["missing.wasm", "does not exist"]);
    run_module(dir.path())
        .fails(10)
        .expect_stderr_has(&["is a directory"]);
}

#[test]
fn precompiled_code_is_never_accepted() {
    if only_here("engines compile, and keep what they compiled") {
        return;
    }
    // The cache's own files are what a user could come by.
    let dir = folder();
    let cache = dir.path().join("cache");
    run("wordcount")
        .env("RWASM_CACHE_DIR", &cache)
        .stdin("word")
        .end()
        .expect_code(0);
    let entries = fs::read_dir(&cache).expect("the cache is there");
    let mut entries = entries.map(|entry| entry.expect("it can be listed"));
    // Locks, whose names begin with a dot, are beside it.
    let entry = entries.find(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    let entry = entry.expect("something is in it");
    let code = file(
        &dir,
        "wordcount.cwasm",
        fs::read(entry.path()).expect("it can be read"),
    );
    run_module(&code)
        .stdin("word")
        .fails(10)
        .expect_stderr_has(&["wordcount.cwasm", "precompiled", "never accepted"]);
}

#[test]
fn inputs_that_cannot_be_used_are_named_before_anything_runs() {
    let dir = folder();
    let good = file(&dir, "good.txt", "word\n");
    let missing = dir.path().join("missing.txt");
    let empty = folder();
    // The first input would never end if it were run.
    for guest in ["wordcount", "upper", "spin"] {
        run(guest)
            .args([&good, &missing])
            .fails(14)
            .expect_stderr_has(&["missing.txt", "does not exist"]);
        run(guest)
            .arg(empty.path())
            .fails(14)
            .expect_stderr_has(&["no file to read"]);
    }
    let locked = file(&dir, "locked.txt", "word\n");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000))
        .expect("permissions can be set");
    // The superuser may read everything.
    if fs::File::open(&locked).is_err() {
        run("wordcount")
            .arg(&locked)
            .fails(14)
            .expect_stderr_has(&["locked.txt", "ermission denied"]);
    }
    run("wordcount")
        .args(["-", "-"])
        .fails(2)
        .expect_stderr_has(&["more than once"]);
    let nowhere = dir.path().join("no/such/folder/out.tsv");
    run("wordcount")
        .arg("-o")
        .arg(&nowhere)
        .stdin("a")
        .fails(14)
        .expect_stderr_has(&["out.tsv"]);
    run("wordcount")
        .arg("-o")
        .arg(dir.path())
        .stdin("a")
        .fails(14)
        .expect_stderr_has(&["cannot write `"]);
}

#[test]
fn bytes_that_are_no_utf8_are_shown_with_file_and_offset() {
    let dir = folder();
    let mut bytes = "a line of text\n".repeat(10_000).into_bytes();
    bytes[123_456] = 0xe0;
    let latin = file(&dir, "latin1.txt", &bytes);
    for options in [
        "",
        "--chunk 1KiB",
        "--chunk file",
        "--view direct --engines 2",
    ] {
        run("wordcount")
            .typed(options)
            .arg(&latin)
            .fails(11)
            .expect_stderr_has(&["bad-input", "latin1.txt", "123456", "0xE0", "iconv"]);
    }
    run("wordcount")
        .stdin(bytes.clone())
        .fails(11)
        .expect_stderr_has(&["<stdin>", "123456"]);
    // A function that takes bytes has no quarrel with them.
    assert_eq!(
        run("faulty").typed("--map lengths").arg(&latin).output(),
        "150000\n"
    );

    let Some(corpus) = corpus() else { return };
    let book = corpus.join("davinci-latin1.txt");
    let at = std::str::from_utf8(&fs::read(&book).expect("the book"))
        .expect_err("it is Latin-1")
        .valid_up_to();
    run("wordcount")
        .typed("--chunk file")
        .arg(&book)
        .fails(11)
        .expect_stderr_has(&["davinci-latin1.txt", &at.to_string(), "iconv"]);
}

#[test]
fn functions_that_do_not_fit_are_shown_with_their_types() {
    let cases: [(&str, &[&str]); 9] = [
        (
            "wordcount --map nothing",
            &["`nothing`", "mapper: func(text: string)", "reducer: func("],
        ),
        ("wordcount --reduce nothing", &["`nothing`", "mapper: func"]),
        (
            "faulty --map badtype",
            &[
                "badtype: func(a: u64) -> u64",
                "string or list<u8> is required",
            ],
        ),
        (
            "faulty --map reducer",
            &["(u64, u64)", "string or list<u8> is required"],
        ),
        (
            "faulty --map shout --reduce reducer",
            &["returns string", "reducer: func(a: u64, b: u64) -> u64"],
        ),
        (
            "faulty --map shout --reduce everything",
            &["returns string", "everything: func("],
        ),
        ("faulty --map shout --merge sum", &["string"]),
        ("upper --merge sum", &["WASI command"]),
        ("upper --reduce sum", &["WASI command"]),
    ];
    for (line, parts) in cases {
        let (name, options) = line.split_once(' ').expect("a guest and options");
        run(name)
            .typed(options)
            .stdin("word")
            .fails(10)
            .expect_stderr_has(parts);
    }
    // Without a mapper that fits, what there is gets listed; `shout` is one that fits, but has no reducer that does.
    run("faulty")
        .typed("--map shout")
        .stdin("a")
        .fails(10)
        .expect_stderr_has(&["hint: ", "--merge"]);
    program()
        .arg("run")
        .arg(crate::support::wat("numeric"))
        .stdin("a")
        .fails(10)
        .expect_stderr_has(&[
            "none of its functions takes one string or list<u8>",
            "inspect",
        ]);
}

#[test]
fn numbers_out_of_range_are_usage_errors() {
    let cases: [(&str, &str); 18] = [
        ("--engines 0", "1 to 1024"),
        ("--engines 100000", "1 to 1024"),
        ("--engines 99999999999", "--engines"),
        ("--engines -1", "--engines"),
        ("--engines two", "two"),
        ("--memory -1", "--memory"),
        ("--memory 0", "--memory"),
        ("--memory 12XB", "12XB"),
        ("--chunk -1", "--chunk"),
        ("--chunk 0", "at least 1 byte"),
        ("--chunk lines:0", "lines:1000"),
        ("--timeout 0s", "--timeout"),
        ("--timeout soon", "30s"),
        ("--limit speed=3", "output=SIZE"),
        ("--limit output=-1", "output"),
        (
            "--targets 9 --view direct --engines 2",
            "the engines are 0, 1",
        ),
        ("--targets 1..0 --view direct", "1..0"),
        ("--max-failures 101%", "101%"),
    ];
    for (options, part) in cases {
        run("wordcount")
            .typed(options)
            .stdin("word")
            .fails(2)
            .expect_stderr_has(&[part]);
    }
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let cases: [(&str, &[&str]); 5] = [
        ("--merge sum --reduce reducer", &["--merge", "--reduce"]),
        ("--quiet --verbose", &["--quiet", "--verbose"]),
        ("--merge nothing", &["nothing", "concat"]),
        ("--format xml", &["xml", "jsonl"]),
        ("-- argument", &["arguments after `--`", "WASI command"]),
    ];
    for (options, parts) in cases {
        run("wordcount")
            .typed(options)
            .stdin("word")
            .fails(2)
            .expect_stderr_has(parts);
    }
    run("upper")
        .args(["--prefix", "x"])
        .stdin("a")
        .fails(2)
        .expect_stderr_has(&["--prefix", "-- --prefix"]);
    program().fails(2);
    program().arg("run").fails(2).expect_stderr_has(&["MODULE"]);
    program().arg("walk").fails(2).expect_stderr_has(&["walk"]);
}

#[test]
fn guests_that_misbehave_fail_as_what_they_did() {
    let cases: [(&str, &str, &[&str]); 5] = [
        (
            "panics",
            "",
            &["(trap)", "the probe panics on purpose", "panics::main"],
        ),
        ("exit3", "", &["(exit-code)", "code 3", "a line on stderr"]),
        (
            "spin",
            "--timeout 200ms",
            &["(timeout)", "200ms", "--timeout"],
        ),
        (
            "hoard",
            "--memory 32MiB",
            &["(memory-limit)", "32MiB", "--memory"],
        ),
        (
            "chatter",
            "--limit output=1MiB",
            &["(output-limit)", "1MiB", "--limit output"],
        ),
    ];
    for (name, options, parts) in cases {
        run(name)
            .typed(options)
            .stdin("a")
            .fails(11)
            .expect_stderr_has(parts);
    }
}

#[test]
fn a_failing_chunk_names_its_file_and_bytes() {
    let dir = folder();
    let lines = "line\n".repeat(100);
    let good = file(&dir, "good.txt", &lines);
    for (word, code) in [("refuse", "guest-error"), ("trap", "trap")] {
        let bad = file(&dir, "bad.txt", format!("{lines}{word}\n{lines}"));
        let bytes = format!("bytes 500..{}", 501 + word.len());
        run("faulty")
            .typed("--chunk lines:1")
            .args([&good, &bad])
            .fails(11)
            .expect_stderr_has(&[code, "bad.txt", &bytes]);
    }
}

#[test]
fn an_input_that_breaks_off_is_no_failed_task() {
    // Its first page is mapped nowhere, so that reading it fails.
    for guest in ["wordcount", "linecount"] {
        run(guest)
            .arg("/proc/self/mem")
            .fails(14)
            .expect_stderr_has(&["/proc/self/mem", "Input/output error"]);
    }
    run("wordcount")
        .arg("-")
        .arg("/dev/null")
        .stdin("")
        .end()
        .expect_code(0)
        .expect_stdout("");
}

#[test]
fn what_can_be_refused_is_refused_before_anything_runs() {
    let dir = folder();
    let nowhere = dir.path().join("no/such/folder/report.json");
    run("wordcount")
        .arg("--report")
        .arg(&nowhere)
        .stdin("word")
        .fails(14)
        .expect_stderr_has(&["report.json"]);
    // If a task ran, it would run out of time.
    run("faulty")
        .typed("--merge none --format raw --timeout 300ms")
        .stdin("spin\n")
        .fails(10)
        .expect_stderr_has(&["raw", "u64"]);
}
