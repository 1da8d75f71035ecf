//! Components that were not made for this host: functions in interfaces, short names for them, types that no task can pass, and
//! what they import that is not here.

use crate::support::{
    Cli, call, componentized, file, folder, inspect, is_over_nats, program, typed,
};
use rwasm_cluster::{FunctionError, Module};
use serde_json::json;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The world of functions in interfaces, two of which have a function of one name.
const LETTERS: &str = "package a:b@1.2.0;
    interface words { mapper: func(text: string) -> u64; twice: func(n: u64) -> u64; }
    interface sums { reducer: func(a: u64, b: u64) -> u64; twice: func(n: u64) -> u64; }
    world letters {
      export words;
      export sums;
      export plain: interface { negate: func(n: s64) -> s64; }
      export seven: func() -> u32;
    }";

const CODE: &str = r#"
  (func (export "a:b/words@1.2.0#mapper") (param i32 i32) (result i64) (i64.extend_i32_u (local.get 1)))
  (func (export "a:b/words@1.2.0#twice") (param i64) (result i64) (i64.mul (local.get 0) (i64.const 2)))
  (func (export "a:b/sums@1.2.0#reducer") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
  (func (export "a:b/sums@1.2.0#twice") (param i64) (result i64) (i64.mul (local.get 0) (i64.const 2)))
  (func (export "plain#negate") (param i64) (result i64) (i64.sub (i64.const 0) (local.get 0)))
  (func (export "seven") (result i32) (i32.const 7))"#;

/// As a core module and as a component.
fn letters(dir: &TempDir) -> [PathBuf; 2] {
    let core = typed(LETTERS, CODE);
    [
        file(dir, "component.wasm", componentized(&core)),
        file(dir, "core.wasm", core),
    ]
}

fn called(module: &Path, arguments: &[&str]) -> Cli {
    program().arg("call").arg(module).args(arguments)
}

#[test]
fn a_function_in_an_interface_has_a_whole_name_and_short_ones() {
    let dir = folder();
    for module in letters(&dir) {
        for name in [
            "a:b/words@1.2.0#twice",
            "a:b/words#twice",
            "words@1.2.0#twice",
            "words#twice",
            "sums#twice",
        ] {
            assert_eq!(called(&module, &[name, "21"]).output(), "42\n", "{name}");
            let wave = format!("{name}(21)");
            assert_eq!(called(&module, &[&wave]).output(), "42\n", "{wave}");
        }
        for name in ["negate", "plain#negate"] {
            let given = called(&module, &[&format!("{name}(5)")]).output();
            assert_eq!(given, "-5\n", "{name}");
        }
        assert_eq!(called(&module, &["seven"]).output(), "7\n");
        let map = program().arg("map").arg(&module).arg("negate");
        assert_eq!(map.stdin("1\n-2\n").output(), "-1\n2\n");
    }
}

#[test]
fn a_name_that_means_several_or_none_says_which_there_are() {
    let dir = folder();
    for module in letters(&dir) {
        called(&module, &["twice", "21"])
            .fails(10)
            .expect_stderr_has(&[
                "several functions named `twice`",
                "`a:b/words@1.2.0#twice` and `a:b/sums@1.2.0#twice`",
            ]);
        called(&module, &["words@1.3.0#twice", "21"])
            .fails(10)
            .expect_stderr_has(&[
                "no function `words@1.3.0#twice`",
                "did you mean",
                "`a:b/words@1.2.0#twice`",
            ]);
        called(&module, &["negat", "1"])
            .fails(10)
            .expect_stderr_has(&["(did you mean `plain#negate`?)"]);
        program()
            .arg("run")
            .arg(&module)
            .typed("--map twice")
            .stdin("")
            .fails(10)
            .expect_stderr_has(&["several functions named `twice`", "--map"]);
    }
    call("numbers")
        .arg("ad-one")
        .fails(10)
        .expect_stderr_has(&["(did you mean `add-one`?)"]);
}

#[test]
fn a_name_may_have_the_mark_that_wit_gives_it() {
    let dir = folder();
    let wit = "package a:b; interface %list { %map: func(n: u8) -> u8; }
        world w { export %list; export %string: func(n: u8) -> u8; }";
    let code = r#"(func (export "a:b/list#map") (param i32) (result i32) (local.get 0))
        (func (export "string") (param i32) (result i32) (local.get 0))"#;
    let module = file(&dir, "marked.wasm", typed(wit, code));
    for name in [
        "string",
        "%string",
        "%map",
        "map",
        "%list#%map",
        "a:b/%list#map",
    ] {
        assert_eq!(called(&module, &[name, "255"]).output(), "255\n", "{name}");
        assert_eq!(
            called(&module, &[&format!("{name}(7)")]).output(),
            "7\n",
            "{name}"
        );
        let map = program().arg("map").arg(&module).arg(name);
        assert_eq!(map.stdin("3\n").output(), "3\n", "{name}");
    }
}

#[test]
fn mapper_and_reducer_are_found_in_interfaces() {
    let dir = folder();
    for module in letters(&dir) {
        let run = || {
            let run = program().arg("run").arg(&module);
            run.stdin("one\ntwo\n")
        };
        assert_eq!(run().typed("--chunk lines:1").output(), "8\n");
        let named = run().typed("--map words#mapper --reduce a:b/sums#reducer --chunk lines:1");
        assert_eq!(named.output(), "8\n");
        let library = Module::from_file(&module).unwrap();
        let twice = library.function::<(u64,), u64>("words#twice").unwrap();
        assert_eq!(twice.name(), "a:b/words@1.2.0#twice");
        let ambiguous = library.dynamic_function("twice").unwrap_err();
        assert!(
            matches!(&ambiguous, FunctionError::Ambiguous { candidates, .. } if candidates.len() == 2),
            "{ambiguous}"
        );
    }
}

#[test]
fn a_function_that_no_task_can_call_says_which_type_is_in_the_way() {
    let dir = folder();
    let module = with_files(&dir);
    assert_eq!(called(&module, &["mapper", "four"]).output(), "4\n");
    let cases: [(&str, &[&str]); 6] = [
        (
            "open",
            &[
                "a:b/files#open: func(path: string) -> result<file, string>",
                "no task can call it",
                "its result has the type `file`, a resource",
            ],
        ),
        (
            "files#sizes",
            &["its parameter `of` has the type `borrow<file>`, a resource"],
        ),
        ("[method]file.size", &["its parameter `self`", "a resource"]),
        (
            "flow",
            &[
                "flow: func(of: stream<u8>)",
                "has a stream or a future, which only a component's function can",
            ],
        ),
        (
            "later",
            &[
                "later: func() -> future<string>",
                "has a stream or a future",
            ],
        ),
        (
            "four",
            &[
                "four: func(numbers: list<u8, 4>)",
                "has a list of fixed length, which only a component's function can",
            ],
        ),
    ];
    for (name, parts) in cases {
        called(&module, &[name]).fails(10).expect_stderr_has(parts);
    }
    program()
        .arg("run")
        .arg(&module)
        .typed("--map open")
        .stdin("")
        .fails(10)
        .expect_stderr_has(&["no task can call it"]);
}

#[test]
fn functions_that_no_task_can_call_are_inspected_with_the_reason() {
    let dir = folder();
    let module = with_files(&dir);
    let shown = inspect(&module).output();
    assert!(
        shown.contains(
            "\n           a:b/files#open: func(path: string) -> result<file, string>  (its result"
        ),
        "{shown}"
    );
    let shown = inspect(&module).typed("--format json").end().json();
    assert_eq!(shown["functions"].as_array().map(Vec::len), Some(1));
    let uncallable = shown["uncallable"].as_array().expect("there are some");
    let made = uncallable
        .iter()
        .find(|one| one["name"] == "a:b/files#[constructor]file");
    assert_eq!(
        made,
        Some(&json!({
            "name": "a:b/files#[constructor]file",
            "wit": "a:b/files#[constructor]file: func(path: string) -> file",
            "reason": "its result has the type `file`, a resource, which only a script can keep",
        }))
    );
}

/// A module with functions that take or return resources and streams.
fn with_files(dir: &TempDir) -> PathBuf {
    const WIT: &str = "package a:b;
        interface files {
          resource file { constructor(path: string); size: func() -> u64; }
          open: func(path: string) -> result<file, string>;
          sizes: func(of: list<tuple<string, borrow<file>>>) -> list<u64>;
        }
        world w {
          export files;
          export flow: func(of: stream<u8>);
          export later: func() -> future<string>;
          export four: func(numbers: list<u8, 4>);
          export mapper: func(text: string) -> u64;
        }";
    let code =
        r#"(func (export "mapper") (param i32 i32) (result i64) (i64.extend_i32_u (local.get 1)))"#;
    file(dir, "files.wasm", typed(WIT, code))
}

/// A component that asks a newer `wasi:cli/environment`, and a newer `wasi:clocks/wall-clock`, for more than they have here.
const NEWER: &str = r#"(component
  (import "wasi:cli/environment@0.2.99" (instance $environment
    (export "get-arguments" (func (result (list string))))
    (export "colour" (func (result u32)))
    (export "scheme" (type $scheme (sub resource)))
    (export "[method]scheme.name" (func (param "self" (borrow $scheme)) (result u32)))
    (export "current" (func (result (own $scheme))))))
  (core module $memory (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $room (instantiate $memory))
  (alias core export $room "memory" (core memory $memory))
  (alias core export $room "realloc" (core func $realloc))
  (core func $arguments (canon lower (func $environment "get-arguments") (memory $memory) (realloc $realloc)))
  (core func $colour (canon lower (func $environment "colour")))
  (core func $current (canon lower (func $environment "current")))
  (core module $code
    (import "" "arguments" (func $arguments (param i32)))
    (import "" "colour" (func $colour (result i32)))
    (import "" "current" (func $current (result i32)))
    (import "" "memory" (memory 1))
    (func (export "count") (result i32) (call $arguments (i32.const 16)) (i32.load (i32.const 20)))
    (func (export "colour") (result i32) (call $colour))
    (func (export "current") (result i32) (call $current)))
  (core instance $made (instantiate $code (with "" (instance
    (export "arguments" (func $arguments)) (export "colour" (func $colour)) (export "current" (func $current))
    (export "memory" (memory $memory))))))
  (func (export "count") (result u32) (canon lift (core func $made "count")))
  (func (export "colour") (result u32) (canon lift (core func $made "colour")))
  (func (export "current") (result u32) (canon lift (core func $made "current"))))"#;

#[test]
fn what_a_newer_interface_has_more_fails_only_where_it_is_called() {
    let dir = folder();
    let module = file(&dir, "newer.wat", NEWER);
    assert_eq!(called(&module, &["count"]).output(), "0\n");
    for name in ["colour", "current"] {
        let part = format!("`{name}` of `wasi:cli/environment@0.2.99`, which this host does not");
        called(&module, &[name])
            .fails(11)
            .expect_stderr_has(&["import-denied", &part]);
    }
    // What a function of an interface is called is looked at where it is compiled.
    if !is_over_nats() {
        called(&module, &["count", "--strict-imports"])
            .fails(10)
            .expect_stderr_has(&["`colour` of `wasi:cli/environment@0.2.99`", "not provide"]);
    }
}

#[test]
fn a_program_may_be_for_either_wasi() {
    let dir = folder();
    let program_3 = r#"(component
      (core module $code (func (export "run") (result i32) (i32.const 0)))
      (core instance $made (instantiate $code))
      (func $run (result (result)) (canon lift (core func $made "run")))
      (instance $cli (export "run" (func $run)))
      (export "wasi:cli/run@0.3.0" (instance $cli)))"#;
    for version in ["0.3.0", "0.3.2", "0.2.6"] {
        let module = file(&dir, "program.wat", program_3.replace("0.3.0", version));
        assert_eq!(program().arg("run").arg(&module).stdin("").output(), "");
    }

    let asks_3 = r#"(component
      (import "wasi:clocks/monotonic-clock@0.3.0" (instance
        (export "wait-for" (func async (param "how-long" u64)))))
      (core module $code (func (export "seven") (result i32) (i32.const 7)))
      (core instance $made (instantiate $code))
      (func (export "seven") (result u32) (canon lift (core func $made "seven"))))"#;
    let module = file(&dir, "asks.wat", asks_3);
    assert_eq!(called(&module, &["seven"]).output(), "7\n");
}

/// As tools write the types of a world that have names.
#[test]
fn a_type_that_is_imported_by_its_name_is_nothing_to_be_offered() {
    let dir = folder();
    let wit = "package a:b; world w {
        record point { x: s32, y: s32 }
        export sum: func(of: point) -> s32;
    }";
    let code = r#"(func (export "sum") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))"#;
    let module = file(&dir, "sum.wasm", componentized(&typed(wit, code)));
    let shown = inspect(&module).output();
    assert!(shown.contains("imports    none\n"), "{shown}");
    let given = called(&module, &["sum", "{x: 40, y: 2}", "--strict-imports"]);
    assert_eq!(given.output(), "42\n");
}
