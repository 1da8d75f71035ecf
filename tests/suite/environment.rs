//! `--env` and `--env-file`: the variables that were granted, with values that nobody but the guest sees; and nothing
//! of the process's own surroundings.

use crate::support::{Cli, command_component, file, folder, guest, program, run};
use std::path::PathBuf;
use tempfile::TempDir;

/// The last line of the guest: nothing of its surroundings is known to it but its variables.
const NOTHING: &str = "1 argument, in /\n";

/// The guest, as a core module and as a component.
fn forms(dir: &TempDir) -> [PathBuf; 2] {
    let component = file(dir, "component.wasm", command_component("surroundings"));
    [guest("surroundings"), component]
}

/// Runs both forms with these options, and expects these lines of both.
#[track_caller]
fn expect_variables(options: impl Fn(Cli) -> Cli, variables: &str) {
    let dir = folder();
    for module in forms(&dir) {
        let ended = options(program().arg("run").arg(module))
            .end()
            .expect_code(0);
        ended.expect_stdout(format!("{variables}{NOTHING}"));
    }
}

#[test]
fn nothing_of_the_surroundings_is_there_unless_it_is_granted() {
    expect_variables(|cli| cli.env("SECRET", "hunter2").env("HOME", "/root"), "");
}

#[test]
fn variables_are_granted_by_name_or_with_a_value() {
    expect_variables(
        |cli| {
            cli.env("STAGE", "test").env("OTHER", "unseen").args([
                "--env",
                "STAGE",
                "--env",
                "GIVEN=a value",
                "--env",
                "EMPTY=",
                "--env",
                "EQUALS=a=b=c",
            ])
        },
        "EMPTY=\nEQUALS=a=b=c\nGIVEN=a value\nSTAGE=test\n",
    );
}

#[test]
fn a_file_has_variables_line_by_line() {
    let dir = folder();
    let text = "# a comment\n\nA=1\r\nB=\nC=x=y\n  \nFROM_HERE\nD=#no comment\nA=2\nE= spaces \n";
    let path = file(&dir, "variables", text);
    expect_variables(
        |cli| cli.env("FROM_HERE", "here").arg("--env-file").arg(&path),
        "A=2\nB=\nC=x=y\nD=#no comment\nE= spaces \nFROM_HERE=here\n",
    );
    // The last file holds, and before all what stands on the command line.
    let more = file(&dir, "more", "A=3\nB=4");
    expect_variables(
        |cli| {
            let cli = cli.env("FROM_HERE", "here").typed("--env A=5");
            let cli = cli.arg("--env-file").arg(&path);
            cli.arg("--env-file").arg(&more)
        },
        "A=5\nB=4\nC=x=y\nD=#no comment\nE= spaces \nFROM_HERE=here\n",
    );
}

#[test]
fn what_is_no_variable_is_refused_before_anything_runs() {
    let upper = || run("upper").stdin("text");
    let missing = upper().typed("--env NOT_SET_HERE").fails(2);
    missing.expect_stderr_has(&["`NOT_SET_HERE` is not set", "NOT_SET_HERE=VALUE"]);
    let no_name = upper().args(["--env", "=hunter2"]).fails(2);
    assert!(!no_name.stderr.contains("hunter2"), "{}", no_name.stderr);
    let missing = upper().typed("--env-file no/such/file").fails(14);
    missing.expect_stderr_has(&["no/such/file"]);

    let dir = folder();
    let path = file(&dir, "variables", "A=1\n\na b=hunter2\n");
    let odd = upper().arg("--env-file").arg(&path).fails(2);
    let odd = odd.expect_stderr_has(&["variables, line 3"]);
    assert!(!odd.stderr.contains("hunter2"), "{}", odd.stderr);
    let path = file(&dir, "missing", "A=1\nNOT_SET_HERE\n");
    let odd = upper().arg("--env-file").arg(&path).fails(2);
    odd.expect_stderr_has(&["`NOT_SET_HERE`", "missing, line 2"]);
    let path = file(&dir, "no-text", b"A=\xff\n");
    let odd = upper().arg("--env-file").arg(&path).fails(14);
    odd.expect_stderr_has(&["no-text"]);
    let path = file(&dir, "nul", "A=hunter2\0\n");
    let odd = upper().arg("--env-file").arg(&path).fails(2);
    assert!(!odd.stderr.contains("hunter2"), "{}", odd.stderr);
}

#[test]
fn values_are_seen_by_the_guest_alone() {
    const VALUE: &str = "hunter2-is-secret";
    let dir = folder();
    let history = dir.path().join("history.db");
    let report = dir.path().join("report.json");
    let secrets = file(&dir, "secrets", format!("FROM_FILE={VALUE}\n"));
    let mut seen = String::new();
    for guest in ["upper", "panics"] {
        let ended = run(guest)
            .stdin("text")
            .env("RWASM_HISTORY_FILE", &history)
            .env("FROM_HERE", VALUE)
            .typed("--history -v --stats --env FROM_HERE")
            .args(["--env", &format!("GIVEN={VALUE}")])
            .arg("--env-file")
            .arg(&secrets)
            .arg("--report")
            .arg(&report)
            .end();
        seen += &ended.stderr;
        seen += &std::fs::read_to_string(&report).expect("there is a report");
    }
    assert!(seen.contains("--env GIVEN"), "{seen}");
    for command in ["list --format json", "show 1 --format json", "show 2"] {
        let job = program().env("RWASM_HISTORY_FILE", &history).arg("job");
        let ended = job.typed(command).end();
        seen += &ended.text();
        seen += &ended.stderr;
    }
    assert!(!seen.contains("hunter2"), "{seen}");
    for entry in std::fs::read_dir(dir.path()).expect("it is there") {
        let path = entry.expect("it is there").path();
        let bytes = std::fs::read(&path).expect("it can be read");
        let has = bytes.windows(7).any(|part| part == b"hunter2");
        assert_eq!(has, path.ends_with("secrets"), "{}", path.display());
    }
}
