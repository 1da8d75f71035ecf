//! Where options come from: the command line before the environment, that before `rwasm.toml`.
//!
//! The number of engines is what a report shows of it.

use crate::support::{Cli, file, folder, guest, only_here, program, run};
use tempfile::TempDir;

fn engines(dir: &TempDir, cli: Cli) -> u64 {
    let report = dir.path().join("report.json");
    cli.in_dir(dir.path())
        .arg("--report")
        .arg(&report)
        .stdin("word")
        .end()
        .expect_code(0)
        .expect_stdout("word\t1\n");
    let report = std::fs::read(&report).expect("the report is there");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("it is JSON");
    report["stats"]["engine_count"].as_u64().expect("a number")
}

fn wordcount() -> Cli {
    run("wordcount")
}

#[test]
fn an_option_goes_before_the_environment_and_that_before_the_file() {
    if only_here("a cluster has the engines that it has") {
        return;
    }
    let dir = folder();
    assert_eq!(engines(&dir, wordcount().env("RWASM_ENGINES", "3")), 3);
    assert_eq!(
        engines(
            &dir,
            wordcount().env("RWASM_ENGINES", "3").typed("--engines 5")
        ),
        5
    );
    assert_eq!(
        engines(&dir, wordcount().env("RWASM_ENGINES", "3").typed("-j 5")),
        5
    );
    file(&dir, "rwasm.toml", "engines = 4\n");
    assert_eq!(engines(&dir, wordcount()), 4);
    assert_eq!(engines(&dir, wordcount().env("RWASM_ENGINES", "3")), 3);
    assert_eq!(
        engines(
            &dir,
            wordcount().env("RWASM_ENGINES", "3").typed("--engines 5")
        ),
        5
    );
}

#[test]
fn the_last_of_a_repeated_option_wins_and_lists_are_lists() {
    if only_here("a cluster has the engines that it has") {
        return;
    }
    let dir = folder();
    let repeated =
        "--engines 2 --merge sum --timeout 1s --engines 5 -q --merge none -q -j 3 --timeout 2s";
    let report = dir.path().join("report.json");
    let ended = wordcount()
        .typed(repeated)
        .arg("--report")
        .arg(&report)
        .stdin("word");
    ended.end().expect_code(0).expect_stdout("[[\"word\",1]]\n");
    let report = std::fs::read(&report).expect("the report is there");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("it is JSON");
    assert_eq!(report["stats"]["engine_count"], 3);
    assert_eq!(report["limits"]["time_s"], 2.0);
    assert_eq!(report["merge"], "none");
    // Each of these counts.
    wordcount()
        .typed("--limit output=1B --limit handles=200 --limit files=1,stack=1MiB")
        .stdin("word")
        .fails(11)
        .expect_stderr_has(&["limit"]);
}

#[test]
fn without_any_the_cores_of_the_process_count() {
    let dir = folder();
    let cores = std::thread::available_parallelism()
        .expect("it is known")
        .get() as u64;
    assert_eq!(engines(&dir, wordcount()), cores);
}

#[test]
fn the_environment_sets_every_kind_of_option() {
    let cases: [(&str, &str, i32, &str); 12] = [
        ("RWASM_ENGINES", "0", 2, "1 to 1024"),
        ("RWASM_ENGINES", "many", 2, "many"),
        ("RWASM_VIEW", "sideways", 2, "sideways"),
        ("RWASM_CHUNK", "0", 2, "at least 1 byte"),
        ("RWASM_MAP", "nothing", 10, "`nothing`"),
        ("RWASM_REDUCE", "nothing", 10, "`nothing`"),
        ("RWASM_MERGE", "everything", 2, "everything"),
        ("RWASM_FORMAT", "xml", 2, "xml"),
        ("RWASM_TIMEOUT", "never", 2, "never"),
        ("RWASM_MEMORY", "1KiB", 11, "memory"),
        ("RWASM_FUEL", "10", 11, "fuel-exhausted"),
        ("RWASM_MAX_FAILURES", "half", 2, "half"),
    ];
    for (name, value, code, part) in cases {
        wordcount()
            .env(name, value)
            .stdin("word")
            .fails(code)
            .expect_stderr_has(&[part]);
    }
    let json = wordcount()
        .env("RWASM_FORMAT", "json")
        .stdin("word")
        .output();
    assert_eq!(json, "[[\"word\",1]]\n");
    wordcount()
        .env("RWASM_STATS", "true")
        .stdin("word")
        .end()
        .expect_code(0)
        .expect_stderr_has(&["wall time"]);
    wordcount()
        .env("RWASM_STATS", "false")
        .stdin("word")
        .end()
        .expect_code(0)
        .expect_stderr_is_empty();
}

#[test]
fn the_project_file_sets_options_by_their_long_names() {
    let dir = folder();
    let with = |toml: &str| {
        file(&dir, "rwasm.toml", toml);
        run("faulty").in_dir(dir.path()).stdin("a\nrefuse\nb\n")
    };
    with("chunk = 'lines:1'\nmax-failures = 1\nquiet = true\n")
        .end()
        .expect_code(0)
        .expect_stdout("2\n")
        .expect_stderr_is_empty();
    with("chunk = 'lines:1'\nmax-failures = \"50%\"\nmerge = 'count'\n")
        .end()
        .expect_code(0)
        .expect_stdout("2\n");
    with("map = 'lengths'\nmemory = '64MiB'\ntimeout = '10s'\n")
        .end()
        .expect_code(0)
        .expect_stdout("11\n");
    with("map = 'lengths'\nstats = true\n")
        .end()
        .expect_code(0)
        .expect_stderr_has(&["wall time"]);
    with("map = 'lengths'\nformat = 'wave'\n")
        .end()
        .expect_code(0)
        .expect_stdout("11\n");
    with("").fails(11);
}

#[test]
fn a_wrong_project_file_is_named() {
    let dir = folder();
    let cases: [(&str, &[&str]); 8] = [
        (
            "engine = 4\n",
            &["unknown setting `engine` (did you mean `engines`?); use one of: abi,"],
        ),
        ("output = 'out.txt'\n", &["output"]),
        ("engines = 'many'\n", &["many"]),
        ("engines = 0\n", &["1 to 1024"]),
        ("engines = [4]\n", &["`engines` is", "array"]),
        ("engines = \n", &["engines"]),
        ("merge = 'everything'\n", &["everything"]),
        ("[engines]\nnumber = 3\n", &["`engines` is", "table"]),
    ];
    for (toml, parts) in cases {
        file(&dir, "rwasm.toml", toml);
        let ended = wordcount()
            .in_dir(dir.path())
            .stdin("word")
            .fails(2)
            .expect_stderr_has(parts);
        // Which engines are too many is known later, by their number alone.
        if toml != "engines = 0\n" {
            ended.expect_stderr_has(&["rwasm.toml"]);
        }
    }
}

#[test]
fn a_project_file_does_not_say_where_tasks_run_and_raises_no_limit() {
    let dir = folder();
    let with = |toml: &str| {
        file(&dir, "rwasm.toml", toml);
        wordcount().in_dir(dir.path()).stdin("word")
    };
    for (toml, parts) in [
        (
            "cluster = 'nats://127.0.0.1:1'",
            ["`cluster` cannot be set here", "use --cluster"],
        ),
        (
            "profile = 'other'",
            ["`profile` cannot be set here", "where tasks run"],
        ),
        (
            "cert-key = 'key.pem'",
            ["`cert-key` cannot be set here", "with whose key"],
        ),
        (
            "report = 'r.json'",
            ["`report` cannot be set here", "where results go"],
        ),
        (
            "clock = 'precise'",
            ["`clock` cannot be set here", "may reach"],
        ),
        (
            "timeout = '31s'",
            ["`timeout` may be at most 30s here", "use --timeout"],
        ),
        (
            "memory = '257MiB'",
            ["`memory` may be at most 256MiB here", "use --memory"],
        ),
        (
            "fuel = 30000000001",
            ["`fuel` may be at most 30000000000 here", "use --fuel"],
        ),
        (
            "retries = 4294967295",
            ["`retries` may be at most 100 here", "use --retries"],
        ),
        (
            "lane = 'gpu'",
            ["`lane` cannot be set here", "where tasks run"],
        ),
        (
            "targets = '0'",
            ["`targets` cannot be set here", "use --targets"],
        ),
        (
            "detach = true",
            ["`detach` cannot be set here", "use --detach"],
        ),
        (
            "job-id = 'a'",
            ["`job-id` cannot be set here", "use --job-id"],
        ),
        (
            "history-rows = 1",
            ["`history-rows` cannot be set here", "of other projects"],
        ),
        (
            "history-size = '1EiB'",
            ["`history-size` cannot be set here", "use --history-size"],
        ),
    ] {
        with(toml)
            .fails(2)
            .expect_stderr_has(&["rwasm.toml"])
            .expect_stderr_has(&parts);
        // The whole file counts, whatever the command line says.
        with(toml).typed("--timeout 1m").fails(2);
    }
    with("timeout = '30s'\nmemory = '256MiB'").output();
    with("timeout = '1s'")
        .typed("--timeout 2m --memory 1GiB")
        .output();
    with("").env("RWASM_TIMEOUT", "2m").output();
}

#[test]
fn no_time_in_a_project_file_is_too_long_to_be_counted() {
    let dir = folder();
    for name in ["deadline", "queue-timeout", "backoff"] {
        let line = format!("{name} = '500000000000years'\n");
        file(&dir, "rwasm.toml", line);
        let counted = wordcount().in_dir(dir.path()).stdin("word").output();
        assert_eq!(counted, "word\t1\n", "{name}");
    }
}

#[test]
fn options_that_can_be_repeated_are_refused_in_a_project_file_with_the_reason() {
    let dir = folder();
    for (toml, name, why) in [
        ("dir = ['.::/here']", "dir", "tasks may reach"),
        ("env = 'HOME'", "env", "tasks may reach"),
        ("env-file = 'of.env'", "env-file", "tasks may reach"),
        ("net = 'localhost:80'", "net", "tasks may reach"),
        ("limit = 'stack=64KiB'", "limit", "does not raise limits"),
        ("ok-exit = 1", "ok-exit", "which failures are successes"),
    ] {
        file(&dir, "rwasm.toml", toml);
        let refused = format!("`{name}` cannot be set here");
        wordcount()
            .in_dir(dir.path())
            .stdin("word")
            .fails(2)
            .expect_stderr_has(&["rwasm.toml", &refused, why, &format!("use --{name}")]);
    }
}

#[test]
fn an_option_wins_over_what_the_environment_says_against_it() {
    let text = "y x x\ny\n";
    let by_count = "x\t2\ny\t2\n";
    let by_appearance = "y\t2\nx\t2\n";
    let merge = |cli: Cli| cli.stdin(text).end().expect_code(0);
    merge(
        wordcount()
            .typed("--reduce reducer")
            .env("RWASM_MERGE", "sum"),
    )
    .expect_stdout(by_count);
    merge(
        wordcount()
            .typed("--merge sum")
            .env("RWASM_REDUCE", "reducer"),
    )
    .expect_stdout(by_appearance);
    let dir = folder();
    file(&dir, "rwasm.toml", "merge = 'sum'\n");
    let in_dir = || wordcount().in_dir(dir.path());
    merge(in_dir()).expect_stdout(by_appearance);
    merge(in_dir().typed("--reduce reducer")).expect_stdout(by_count);
    merge(in_dir().env("RWASM_REDUCE", "reducer")).expect_stdout(by_count);
    merge(wordcount().typed("--verbose").env("RWASM_QUIET", "true")).expect_stdout(by_count);
}

#[cfg(unix)]
#[test]
fn a_project_file_that_is_no_file_or_too_large_holds_up_nobody() {
    let dir = folder();
    let path = dir.path().join("rwasm.toml");
    let count = || wordcount().in_dir(dir.path()).stdin("word");
    let other = || program().typed("version").in_dir(dir.path());
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).expect("a FIFO can be made");
    count()
        .fails(2)
        .expect_stderr_has(&["rwasm.toml", "not a regular file"]);
    other().output();
    std::fs::remove_file(&path).expect("removed");
    let file = std::fs::File::create(&path).expect("created");
    file.set_len(1 << 30).expect("it has no blocks");
    count()
        .fails(2)
        .expect_stderr_has(&["rwasm.toml", "expected at most 1MiB, found 1GiB"]);
    other().output();
}

#[test]
fn help_works_beside_a_project_file_that_is_wrong() {
    let dir = folder();
    for wrong in ["engine = 4\n", "engines = [4]\n", "engines = \n"] {
        file(&dir, "rwasm.toml", wrong);
        for words in [
            "help",
            "help run",
            "version",
            "man",
            "completions bash",
            "--help",
            "run --help",
            "run -h",
            "map wordcount.wasm -qh",
            "job list --help",
            "engine help",
            "engine help join",
        ] {
            let ended = program().typed(words).in_dir(dir.path()).end();
            ended.expect_code(0).expect_stderr_is_empty();
        }
        run("wordcount")
            .in_dir(dir.path())
            .stdin("word")
            .typed("-- --help")
            .fails(2)
            .expect_stderr_has(&["rwasm.toml"]);
    }
}

#[test]
fn commands_that_take_nothing_from_the_project_file_do_not_read_it() {
    let dir = folder();
    file(&dir, "rwasm.toml", "engine = 4\n");
    for words in ["inspect", "inspect --color never --format json"] {
        let ended = program().typed(words).arg(guest("wordcount"));
        ended.in_dir(dir.path()).end().expect_code(0);
    }
    // Not an option of the program, which the file would otherwise hide.
    let ended = program()
        .typed("--color never version")
        .in_dir(dir.path())
        .fails(2);
    ended.expect_stderr_has(&["unexpected argument '--color'"]);
}

#[test]
fn a_project_file_has_no_command_for_a_terminal() {
    let dir = folder();
    file(&dir, "rwasm.toml", "label = \"a\\u001b[31mb\"\n");
    run("wordcount")
        .in_dir(dir.path())
        .stdin("word")
        .fails(2)
        .expect_stderr_has(&["`label` contains control characters"]);
}

#[test]
fn the_last_colour_holds() {
    for (typed, is_coloured) in [
        ("run --color always --color never --help", false),
        ("run --color never --color=always --help", true),
    ] {
        let help = program().typed(typed).output();
        assert_eq!(help.contains('\u{1b}'), is_coloured, "{typed}");
    }
}
