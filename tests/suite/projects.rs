//! Task projects as users have them: what their WIT may say, what their directories are called, and how a build is ended.

use crate::build::{building, toolchain_is_missing};
use crate::support::{cluster, file, folder, guest, program, until, wait, workspace};
use rustix::process::{Pid, Signal, kill_process};
use rwasm_cluster::{LogLevel, Module};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A project named `asks`, of these files beside its manifest.
fn project(language: &str, wit: &str, source: &str) -> TempDir {
    let dir = folder();
    let place = dir.path().join("asks");
    let write = |name: &str, content: &str| {
        let path = place.join(name);
        fs::create_dir_all(path.parent().expect("it is in the project")).expect("a directory");
        fs::write(path, content).expect("a file can be written");
    };
    write("wit/asks.wit", wit);
    match language {
        "python" => {
            write("pyproject.toml", "[project]\nname = \"asks\"\n");
            write("app.py", source);
        }
        "js" => {
            write(
                "package.json",
                r#"{"name": "asks", "main": "asks.js", "type": "module"}"#,
            );
            write("asks.js", source);
        }
        _ => write("src/asks.c", source),
    }
    dir
}

/// The example in a page of `docs` that asks the host.
fn example(page: &str, mark: &str) -> String {
    let text =
        fs::read_to_string(workspace().join("docs/src/guides").join(page)).expect("the page");
    let blocks = text.split("```").skip(1).step_by(2);
    let mut found = blocks.filter(|block| block.contains(mark));
    let block = found.next().expect("the example is there");
    let (_, code) = block.split_once('\n').expect("it has lines");
    code.to_owned()
}

const ASKS: &str = "package example:asks;

world asks {
  include rwasm:task/task@0.2.0;

  export mapper: func(text: string) -> u32;
}
";

/// Builds the example with no copy of the host's WIT in the project, and hears what it tells.
fn asks_its_host(language: &str, page: &str, mark: &str) {
    if toolchain_is_missing(language) {
        return;
    }
    let dir = project(language, ASKS, &example(page, mark));
    let built = building(&["build", "asks"]).in_dir(&dir).end();
    assert_eq!(built.expect_code(0).text(), "asks/asks.wasm\n");
    // Nothing was written into the project but the module.
    assert!(!dir.path().join("asks/wit/deps").exists());
    let cluster = cluster(1);
    let mapper = Module::from_file(dir.path().join("asks/asks.wasm"))
        .expect("a module")
        .function::<String, u32>("mapper")
        .expect("mapper");
    let view = cluster.load_balanced_view();
    let task = view.try_submit(&mapper, "a\nb\nc\n".to_owned());
    let task = task.expect("it is submitted");
    task.wait();
    let notes = task.info().expect("it has ended").usage.notes;
    assert_eq!(task.take().expect("it ends well"), 0);
    let notes = notes.expect("it told something");
    let progress = notes.progress.expect("it said how far it is");
    assert_eq!((progress.done, progress.total), (3, Some(3)));
    assert_eq!(notes.log.len(), 1);
    assert_eq!(notes.log[0].level, LogLevel::Info);
    assert_eq!(notes.log[0].message, "3 lines");
}

#[test]
fn python_asks_its_host_without_a_copy_of_its_wit() {
    asks_its_host("python", "tasks-python.md", "host.engine_id()");
}

#[test]
fn javascript_asks_its_host_without_a_copy_of_its_wit() {
    asks_its_host("js", "tasks-js.md", "engineId()");
}

#[test]
fn c_asks_its_host_without_a_copy_of_its_wit() {
    asks_its_host("c", "tasks-c.md", "rwasm_task_host_engine_id()");
}

#[test]
fn the_older_host_and_a_copy_of_ones_own_will_do_too() {
    if toolchain_is_missing("c") {
        return;
    }
    let source = "#include \"asks.h\"
uint32_t exports_asks_mapper(asks_string_t *text) {
  asks_string_free(text);
  return rwasm_task_host_engine_count();
}
";
    for (version, copy) in [("0.1.0", false), ("0.2.0", true)] {
        let dir = project("c", &ASKS.replace("0.2.0", version), source);
        if copy {
            let deps = dir.path().join("asks/wit/deps");
            fs::create_dir(&deps).expect("a directory can be made");
            fs::copy(workspace().join("wit/host.wit"), deps.join("host.wit")).expect("a copy");
        }
        let built = building(&["build", "asks", "-q"]).in_dir(&dir).end();
        built.expect_code(0);
        let call = program()
            .in_dir(&dir)
            .args(["call", "asks/asks.wasm", "mapper", ""]);
        assert_eq!(call.typed("--engines 1").output(), "1\n");
    }
}

#[test]
fn a_map_is_refused_where_the_tools_cannot_pass_it() {
    let wit = "package a:b;\nworld w { export mapper: func(text: string, counts: list<map<string, u64>>) -> u32; }\n";
    for (language, tool) in [
        ("python", "componentize-py 0.25.0"),
        ("js", "componentize-js 0.23.0"),
    ] {
        if toolchain_is_missing(language) {
            continue;
        }
        let dir = project(language, wit, "");
        building(&["build", "asks"])
            .in_dir(&dir)
            .fails(10)
            .expect_stderr_has(&[
                "`mapper` has `map<string, u64>` in its parameter `counts`",
                tool,
                "use `list<tuple<string, u64>>`",
            ]);
    }
}

#[test]
fn what_the_wit_promises_and_no_source_defines_is_named() {
    if toolchain_is_missing("c") {
        return;
    }
    let dir = project("c", ASKS, "int other(void) { return 1; }\n");
    for options in ["", "-q"] {
        building(&["build", "asks"])
            .typed(options)
            .in_dir(&dir)
            .fails(10)
            .expect_stderr_has(&[
                "wit/asks.wit:6:10 declares `mapper`: define exports_asks_mapper, as asks.h declares it, or remove it from the WIT",
            ]);
    }
}

#[test]
fn a_project_in_c_may_stand_in_a_directory_of_any_name() {
    if toolchain_is_missing("c") {
        return;
    }
    let dir = folder();
    fs::create_dir(dir.path().join("größe 2")).expect("a directory can be made");
    file(
        &dir,
        "größe 2/a.c",
        "#include <stdio.h>\nint main(void) { puts(\"here\"); return 0; }\n",
    );
    let built = building(&["build", "größe 2", "-q"]).in_dir(&dir).end();
    assert_eq!(built.expect_code(0).text(), "größe 2/gr-e-2.wasm\n");
    let run = program().in_dir(&dir).args(["run", "größe 2/gr-e-2.wasm"]);
    assert_eq!(run.output(), "here\n");
}

#[test]
fn a_project_may_be_called_like_what_it_depends_on() {
    let dir = folder();
    let new = program().in_dir(&dir).args(["new", "-q", "serde"]);
    new.end().expect_code(0);
    let built = building(&["build", "-q", "serde"]).in_dir(&dir).end();
    assert_eq!(built.expect_code(0).text(), "serde/serde.wasm\n");
}

#[test]
fn where_the_target_directory_cannot_be_the_cache_has_it() {
    let dir = folder();
    let new = program().in_dir(&dir).args(["new", "-q", "words"]);
    new.end().expect_code(0);
    let target = file(&dir, "words/target", "no directory");
    building(&["build", "-q", "words"])
        .in_dir(&dir)
        .env("CARGO_TARGET_DIR", &target.to_string_lossy())
        .end()
        .expect_code(0)
        .expect_stdout("words/words.wasm\n");
}

#[test]
fn what_has_no_function_is_warned_of() {
    let dir = folder();
    let empty = file(&dir, "empty.wat", "(module)");
    let built = program().arg("build").arg(&empty).end().expect_code(0);
    built.expect_stderr_has(&["warning: the module has no callable function"]);
    let built = program().arg("build").arg(guest("wordcount")).arg("-o");
    let built = built.arg(dir.path().join("made.wasm")).end().expect_code(0);
    assert!(!built.stderr.contains("warning"), "{}", built.stderr);
}

#[test]
fn a_module_that_asks_its_host_without_wit_is_no_component() {
    let dir = folder();
    let text = r#"(module
        (import "rwasm:task/host@0.2.0" "engine-id" (func $id (result i32)))
        (func (export "id") (result i32) (call $id))
        (memory (export "memory") 1))"#;
    let path = file(&dir, "asks.wat", text);
    program()
        .args(["build", "--component"])
        .arg(&path)
        .fails(10)
        .expect_stderr_has(&[
            "into a component: it imports rwasm:task/host without WIT",
            "hint: run it as it is",
        ]);
}

/// A project in Python whose componentize-py is this script.
fn with_a_tool(script: &str) -> TempDir {
    let dir = project(
        "python",
        "package a:b;\nworld w { export f: func(); }\n",
        "",
    );
    // What this process has written itself could not be started while another test starts something.
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo componentize-py 0.25.0; exit; fi\n{script}\n"
    );
    let write = "mkdir -p .venv/bin; cd .venv/bin; printf %s \"$1\" > componentize-py; chmod +x componentize-py";
    let written = Command::new("sh")
        .current_dir(dir.path().join("asks"))
        .args(["-ec", write, "sh", &script])
        .status();
    assert!(written.expect("a shell").success());
    dir
}

#[test]
fn tools_do_not_tell_where_in_themselves_they_failed() {
    let dir = with_a_tool("echo \"backtrace: [$RUST_BACKTRACE$RUST_LIB_BACKTRACE]\"; exit 1");
    building(&["build", "asks"])
        .in_dir(&dir)
        .env("RUST_BACKTRACE", "1")
        .env("RUST_LIB_BACKTRACE", "1")
        .fails(10)
        .expect_stderr_has(&[
            "backtrace: []",
            "componentize-py failed with exit status: 1",
        ]);
}

/// Whether a process runs: one that has ended may wait for somebody to ask how.
fn runs(process: &str) -> bool {
    let state = fs::read_to_string(Path::new("/proc").join(process).join("stat"));
    state.is_ok_and(|state| {
        let state = state
            .rsplit_once(") ")
            .map(|(_, rest)| rest.starts_with('Z'));
        state == Some(false)
    })
}

#[test]
fn a_signal_ends_a_build_with_its_compiler_and_what_that_has_started() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let dir =
            with_a_tool("sleep 1000 &\necho $$ $! > ../pids.new\nmv ../pids.new ../pids\nwait");
        let mut command = program()
            .args(["build", "asks"])
            .in_dir(&dir)
            .into_command();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let pids = dir.path().join("pids");
        until("the compiler runs", || pids.exists());
        let pids = fs::read_to_string(&pids).expect("it is there");
        assert!(pids.split_whitespace().all(runs), "{pids}");
        kill_process(Pid::from_child(&child), signal).expect("a child can be signalled");
        assert_eq!(wait(child).expect("it ends in time").code(), Some(code));
        until("all have ended", || !pids.split_whitespace().any(runs));
        assert!(!dir.path().join("asks/asks.wasm").exists());
    }
}
