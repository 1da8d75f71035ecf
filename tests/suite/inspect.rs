//! `inspect`: what a module is, for people and as JSON, and an example that runs.

use crate::support::{
    Ended, command_component, component, file, folder, guest, inspect, module, program,
    refused_by_engine, wat,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One module of each form.
fn forms(dir: &tempfile::TempDir) -> [(PathBuf, &'static str, &'static str); 5] {
    [
        (guest("wordcount"), "typed functions", "core module"),
        (
            file(dir, "component.wasm", component("wordcount")),
            "typed functions",
            "component",
        ),
        (guest("upper"), "WASI command", "core module"),
        (
            file(dir, "command.wasm", command_component("upper")),
            "WASI command",
            "component",
        ),
        (wat("numeric"), "plain functions", "core module"),
    ]
}

fn described(path: &Path) -> Value {
    inspect(path)
        .typed("--format json")
        .end()
        .expect_code(0)
        .expect_stderr_is_empty()
        .json()
}

#[test]
fn each_form_is_recognised() {
    let dir = folder();
    for (path, form, kind) in forms(&dir) {
        let json = described(&path);
        assert_eq!(json["form"], form, "{}", path.display());
        assert_eq!(json["kind"], kind, "{}", path.display());
        assert_eq!(json["module"], path.display().to_string());
        let text = inspect(&path).output();
        assert!(text.contains(&format!("{form}, {kind}")), "{text}");
        for line in [
            "module  ",
            "size  ",
            "sha-256  ",
            "functions ",
            "wit  ",
            "imports  ",
            "example  ",
        ] {
            assert!(
                text.lines().any(|shown| shown.starts_with(line.trim_end())),
                "{line} in {text}"
            );
        }
        assert!(
            text.contains(json["sha256"].as_str().expect("a hash")),
            "{text}"
        );
    }
}

#[test]
fn size_and_hash_are_those_of_the_file() {
    let path = guest("wordcount");
    let json = described(&path);
    assert_eq!(
        json["size"],
        std::fs::metadata(&path).expect("the guest").len()
    );
    let sum = Command::new("sha256sum")
        .arg(&path)
        .output()
        .expect("sha256sum is there");
    let sum = String::from_utf8_lossy(&sum.stdout);
    assert_eq!(json["sha256"].as_str(), sum.split(' ').next());
    assert_eq!(json["sha256"], module("wordcount").hash().to_string());
}

#[test]
fn functions_are_shown_with_their_types() {
    let wordcount = json!([
        {
            "name": "mapper",
            "params": [{"name": "text", "type": "string"}],
            "result": "list<tuple<string, u64>>",
            "wit": "mapper: func(text: string) -> list<tuple<string, u64>>"
        },
        {
            "name": "reducer",
            "params": [{"name": "parts", "type": "list<list<tuple<string, u64>>>"}],
            "result": "list<tuple<string, u64>>",
            "wit": "reducer: func(parts: list<list<tuple<string, u64>>>) -> list<tuple<string, u64>>"
        }
    ]);
    let dir = folder();
    assert_eq!(described(&guest("wordcount"))["functions"], wordcount);
    // A component has them in the order in which it was made.
    let made = described(&file(&dir, "c.wasm", component("wordcount")));
    let mut functions = made["functions"].as_array().expect("a list").clone();
    functions.sort_by_key(|function| function["name"].to_string());
    assert_eq!(json!(functions), wordcount);
    let text = inspect(guest("faulty")).output();
    for part in [
        "mapper: func(text: string) -> result<u64, string>",
        "lengths: func(data: list<u8>) -> u64",
        "suit: enum { clubs, diamonds, hearts, spades }",
        "shape: variant { point, circle(f64), polygon(list<tuple<s32, s32>>), label(string) }",
        "access: flags { read, write, execute }",
        "half-outcome: result<_, enum",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let plain = inspect(wat("numeric")).output();
    assert!(plain.contains("fib: func(p0: s32) -> s64"), "{plain}");
    assert!(
        plain.contains("add: func(p0: f64, p1: f64) -> f64"),
        "{plain}"
    );
}

#[test]
fn imports_say_whether_they_are_offered() {
    let imports = &described(&guest("upper"))["imports"];
    let fd_read = json!({"module": "wasi_snapshot_preview1", "name": "fd_read", "offered": true});
    assert!(
        imports.as_array().expect("a list").contains(&fd_read),
        "{imports}"
    );

    let dir = folder();
    let odd = file(
        &dir,
        "odd.wat",
        r#"(module (import "env" "launch" (func)) (func (export "f") (result i32) (i32.const 1)))"#,
    );
    assert_eq!(
        described(&odd)["imports"],
        json!([{"module": "env", "name": "launch", "offered": false}])
    );
    let text = inspect(&odd).output();
    assert!(
        text.contains("env launch") && text.contains("not offered"),
        "{text}"
    );
}

/// A command that calls an import which the host does not have, if it is told to by a byte of input.
const WANTING: &str = r#"(module
  (import "env" "launch" (func $launch))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (if (i32.load (i32.const 8)) (then (call $launch)))))"#;

#[test]
fn an_import_that_is_missing_fails_only_whoever_calls_it() {
    let dir = folder();
    let path = file(&dir, "wanting.wat", WANTING);
    let run = || program().arg("run").arg(&path);
    run().end().expect_code(0).expect_stdout("");
    run()
        .stdin("x")
        .fails(11)
        .expect_stderr_has(&["import-denied", "`launch` of `env`"]);
    run()
        .typed("--strict-imports")
        .fails(10)
        .expect_stderr_has(&["env", "launch"]);
}

#[test]
fn the_example_runs() {
    let dir = folder();
    file(&dir, "input.txt", "some words\n");
    let mut ran = 0;
    for (path, ..) in forms(&dir) {
        let json = described(&path);
        let example = json["example"].as_str().expect("a text").to_owned();
        let arguments = example.strip_prefix("rwasm-cluster ").expect("a line");
        if !arguments.starts_with("run ") {
            continue;
        }
        let ended = crate::support::program()
            .typed(arguments)
            .in_dir(dir.path())
            .end();
        let printed = ended.expect_code(0).expect_stderr_is_empty().text();
        assert!(
            ["some\t1\nwords\t1\n", "words\t1\nsome\t1\n", "SOME WORDS\n"]
                .contains(&printed.as_str()),
            "{printed}"
        );
        ran += 1;
    }
    assert_eq!(ran, 4);
}

/// Runs a line of a shell with the program of this build.
fn shell(line: &str, dir: &Path) -> (String, String) {
    let program = env!("CARGO_BIN_EXE_rwasm-cluster");
    let ended = Command::new("sh")
        .args(["-c", &line.replacen("rwasm-cluster", program, 1)])
        .current_dir(dir)
        .output()
        .expect("a shell is there");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&ended.stdout), text(&ended.stderr))
}

#[test]
fn the_example_of_a_call_runs() {
    let dir = folder();
    for (path, printed) in [
        (guest("numbers"), "1\n"),
        (wat("numeric"), "1\n"),
        (guest("wordcount"), "some\t1\nwords\t1\n"),
        (file(&dir, "c.wasm", component("numbers")), "1\n"),
    ] {
        let json = described(&path);
        let example = json["example_call"].as_str().expect("a text");
        assert!(example.starts_with("rwasm-cluster call "), "{example}");
        assert!(inspect(&path).output().contains(example), "{example}");
        let (stdout, stderr) = shell(example, dir.path());
        assert_eq!(
            (stdout.as_str(), stderr.as_str()),
            (printed, ""),
            "{example}"
        );
    }
    // A module whose functions are only called has that for its example.
    let json = described(&wat("numeric"));
    assert_eq!(json["example"], json["example_call"]);
    assert_eq!(described(&guest("upper"))["example_call"], Value::Null);
}

#[test]
fn an_example_is_written_for_a_shell() {
    let dir = folder();
    let path = file(
        &dir,
        "odd name.wasm",
        std::fs::read(guest("upper")).expect("the guest"),
    );
    let example = described(&path)["example"]
        .as_str()
        .expect("a text")
        .to_owned();
    file(&dir, "input.txt", "word\n");
    let (stdout, stderr) = shell(&example, dir.path());
    assert_eq!(stdout, "WORD\n", "{example}: {stderr}");
}

/// A core module of nothing but the functions that its WIT says: where they are called makes no difference here.
fn of_wit(wit: &str) -> rwasm_cluster::Module {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_source("printed.wit", wit);
    let package = package.unwrap_or_else(|error| panic!("{error:#} in\n{wit}"));
    let world = resolve
        .select_world(&[package], None)
        .expect("it has one world");
    let mut names = Vec::new();
    for (key, item) in &resolve.worlds[world].exports {
        match item {
            wit_parser::WorldItem::Function(function) => names.push(function.name.clone()),
            wit_parser::WorldItem::Interface { id, .. } => {
                let interface = resolve.name_world_key(key);
                let functions = resolve.interfaces[*id].functions.keys();
                names.extend(functions.map(|name| format!("{interface}#{name}")));
            }
            wit_parser::WorldItem::Type { .. } => {}
        }
    }
    let functions: Vec<String> = names
        .iter()
        .map(|name| format!("(func (export {name:?}))"))
        .collect();
    let functions = functions.concat();
    let text = format!(r#"(module (memory (export "memory") 1) {functions})"#);
    let plain = rwasm_cluster::Module::from_bytes("m.wat", text).expect("it is a module");
    let mut bytes = plain.bytes().to_vec();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, encoding)
        .unwrap_or_else(|error| panic!("{error:#} in\n{wit}"));
    rwasm_cluster::Module::from_bytes("m.wasm", bytes).expect("it is a module")
}

#[test]
fn the_wit_of_every_guest_parses_again_and_has_its_functions() {
    let folder = crate::support::target().join("guests");
    let mut guests: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("guests are built")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|found| found == "wasm" || found == "wat")
        })
        .collect();
    guests.sort();
    let dir = folder_of_components();
    guests.extend(
        std::fs::read_dir(&dir)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path()),
    );
    let mut typed = 0;
    for path in guests {
        // Hostile ones may be refused.
        let Ok(module) = rwasm_cluster::Module::from_file(&path) else {
            continue;
        };
        let wit = module.wit().expect("it can be printed");
        assert!(wit.ends_with("}\n"), "{wit}");
        let signatures = |module: &rwasm_cluster::Module| -> std::collections::BTreeSet<String> {
            // What is printed is made a core module again, which cannot call all that a component can.
            let callable = module.functions().iter().map(ToString::to_string);
            let others = module.uncallable().iter().map(ToString::to_string);
            callable.chain(others).collect()
        };
        let again = of_wit(&wit);
        if module.has_wit() {
            typed += module.functions().len();
            assert_eq!(
                signatures(&again),
                signatures(&module),
                "{}\n{wit}",
                path.display()
            );
        } else {
            // Of these it is a description, of those functions that can have a name in WIT.
            let known = signatures(&module);
            let described = signatures(&again);
            let is_command = module.form() == rwasm_cluster::Form::Command;
            assert!(is_command || described.is_subset(&known), "{described:?}");
        }
    }
    assert!(typed > 40, "{typed} functions of guests are typed");
}

/// Components, in which the same types stand in another form.
fn folder_of_components() -> tempfile::TempDir {
    let dir = folder();
    for name in ["wordcount", "faulty", "hosted", "numbers", "lookup"] {
        file(&dir, &format!("{name}.wasm"), component(name));
    }
    file(&dir, "command.wasm", command_component("upper"));
    dir
}

#[test]
fn wit_is_printed_ready_to_be_put_in_a_file() {
    let wit = inspect(guest("faulty"))
        .typed("--format wit")
        .end()
        .expect_code(0);
    let wit = wit.expect_stderr_is_empty().text();
    for line in [
        "package rwasm:faulty@0.1.0;",
        "world faulty {",
        "  export mapper: func(text: string) -> result<u64, string>;",
    ] {
        assert!(wit.lines().any(|shown| shown == line), "{line} in {wit}");
    }
    // Types have their names there, which the summary writes out.
    assert!(wit.contains("enum suit {"), "{wit}");
    let module = rwasm_cluster::Module::from_file(guest("faulty")).expect("the guest");
    assert_eq!(described(&guest("faulty"))["wit"], wit);
    assert_eq!(module.wit().expect("it can be printed"), wit);
    let plain = inspect(wat("numeric")).typed("--format wit").output();
    assert!(
        plain.starts_with("// Plain functions of numbers, which contain no WIT."),
        "{plain}"
    );
    assert!(
        plain.contains("  export fib: func(p0: s32) -> s64;\n"),
        "{plain}"
    );
    let command = inspect(guest("upper")).typed("--format wit").output();
    assert!(
        command.contains("  export wasi:cli/run@0.2.0;\n"),
        "{command}"
    );
}

#[test]
fn wit_that_a_guest_documents_cannot_command_a_terminal() {
    let mut resolve = wit_parser::Resolve::default();
    let source = "package a:b; world w { /// MARK
        export f: func(); }";
    let package = resolve.push_source("w.wit", source).expect("it is WIT");
    let world = resolve
        .select_world(&[package], None)
        .expect("it has a world");
    let mut bytes = rwasm_cluster::Module::from_bytes(
        "m.wat",
        r#"(module (memory (export "memory") 1) (func (export "f")))"#,
    )
    .expect("it is a module")
    .bytes()
    .to_vec();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, encoding)
        .expect("it fits");
    // The parser does not let such letters through, but a guest's bytes need not be made by it.
    for place in 0..bytes.len() - 4 {
        if &bytes[place..place + 4] == b"MARK" {
            bytes[place..place + 4].copy_from_slice(b"\x1b[2J");
        }
    }
    let dir = folder();
    let path = file(&dir, "m.wasm", bytes);
    let wit = inspect(&path).typed("--format wit").end();
    assert!(!wit.stdout.contains(&0x1b), "{}", wit.text());
}

#[test]
fn names_cannot_forge_lines() {
    let dir = folder();
    let text = r#"(module
        (import "env\0aform       forged" "x\1b[31m" (func))
        (func (export "run\0aform       forged") (param i32)))"#;
    let shown = inspect(file(&dir, "m\nform       forged.wat", text)).output();
    let forms = shown.lines().filter(|line| line.starts_with("form "));
    assert_eq!(forms.count(), 1, "{shown}");
    for part in [
        r"m\nform       forged",
        r"run\nform       forged",
        r"env\nform       forged x\u{1b}[31m",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}

#[test]
fn a_document_has_nothing_that_a_terminal_obeys() {
    let dir = folder();
    let name = "f\u{9b}31m\u{202e}\u{7f}";
    let text = r#"(module (func (export "f\u{9b}31m\u{202e}\u{7f}")))"#;
    let module = file(&dir, "odd.wat", text);
    let ended = inspect(module).typed("--format json").end().expect_code(0);
    let text = ended.text();
    assert!(text.contains(r"f\u009b31m\u202e\u007f"), "{text}");
    assert!(!text.contains(['\u{9b}', '\u{202e}', '\u{7f}']), "{text}");
    assert_eq!(ended.json()["functions"][0]["name"], name);
}

/// What stands in the way of the module, as `inspect` says it, and how a run fails.
fn hindrance(dir: &tempfile::TempDir, text: &str, code: i32) -> (String, Ended) {
    let path = file(dir, "hindered.wat", text);
    let said = described(&path)["cannot_run"].clone();
    let said = said.as_str().expect("it says why").to_owned();
    (said, program().arg("call").arg(&path).arg("f").fails(code))
}

#[test]
fn what_does_not_link_is_seen_before_a_run() {
    let dir = folder();
    let function = "(core module $m (func (export \"f\") (result i32) i32.const 1))
        (core instance $i (instantiate $m))
        (func (export \"f\") (result u32) (canon lift (core func $i \"f\")))";
    let importing = |name: &str, function_name: &str| {
        format!(
            "(component (import \"{name}\" (instance (export \"{function_name}\" (func (result u32))))) {function})"
        )
    };
    let engine = refused_by_engine();
    for (text, code) in [
        ("(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32) (result i32)))
            (func (export \"f\") (result i32) i32.const 1))"
            .to_owned(), engine),
        (importing("wasi:cli/environment@0.2.0", "get-arguments"), engine),
        (importing("wasi:clocks/monotonic-clock@0.3.0", "now"), engine),
        // Seen before it is sent.
        (format!("(component (component $inner) (export \"inner\" (component $inner)) {function})"), 10),
    ] {
        let (said, run) = hindrance(&dir, &text, code);
        run.expect_stderr_has(&[&said]);
    }
}

#[test]
fn more_core_modules_than_a_component_may_have_are_seen_before_a_run() {
    let dir = folder();
    let part = |part: u32| {
        format!(
            "(core module $m{part} (func (export \"f\") (result i32) i32.const 1))
             (core instance $i{part} (instantiate $m{part}))"
        )
    };
    let parts = (0..129).map(part).collect::<Vec<_>>().join("\n");
    let text = format!(
        "(component {parts} (func (export \"f\") (result u32) (canon lift (core func $i0 \"f\"))))"
    );
    let (said, _) = hindrance(&dir, &text, 11);
    assert!(said.contains("129 core modules"), "{said}");
}

#[test]
fn limits_that_it_begins_beyond_are_named_with_a_command_that_works() {
    let dir = folder();
    for (part, option) in [
        ("(memory 6000)", "--memory 375MiB"),
        ("(table 200000 funcref)", "--limit table-elements=200000"),
    ] {
        let text = format!("(module {part} (func (export \"f\") (result i32) i32.const 1))");
        let path = file(&dir, "large.wat", text);
        let json = described(&path);
        assert_eq!(json["needs"], json!([option]));
        let example = json["example_call"].as_str().expect("an example");
        assert!(example.contains(option), "{example}");
        let (stdout, _) = shell(example, dir.path());
        assert_eq!(stdout, "1\n");
        assert!(inspect(&path).output().contains(option));
    }
}
