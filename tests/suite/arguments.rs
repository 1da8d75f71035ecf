//! Arguments that do not fit: on every way in, the same sentence says which parameter is meant and where in it, what was found
//! and what was wanted, and has the function with its types.

use crate::support::{call, cluster, file, folder, map, module, program, typed};
use rwasm_cluster::{Argument, Module, SubmitError, Value, arguments};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The world of a function of everything that can be wrong.
const WIT: &str = "package a:b;
    world w {
      record point { x: s32, y: s32 }
      enum color { red, green, blue }
      flags style { bold, italic }
      variant shape { empty, circle(u32), path(list<point>) }
      record drawing { title: string, color: color, shapes: list<shape>, at: option<point>, style: style }
      export draw: func(drawing: drawing, times: u8) -> u32;
      export keep: func(bytes: list<u8>) -> u32;
      export name: func(text: string) -> u32;
    }";

const CODE: &str = r#"
  (func (export "draw") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (local.get 9))
  (func (export "keep") (param i32 i32) (result i32) (local.get 1))
  (func (export "name") (param i32 i32) (result i32) (local.get 1))"#;

const SIGNATURE: &str = "`draw: func(drawing: record { title: string, color: enum { red, green, blue }, \
    shapes: list<variant { empty, circle(u32), path(list<record { x: s32, y: s32 }>) }>, \
    at: option<record { x: s32, y: s32 }>, style: flags { bold, italic } }, times: u8) -> u32`";

fn drawing(dir: &TempDir) -> PathBuf {
    file(dir, "draw.wasm", typed(WIT, CODE))
}

/// A drawing in JSON and in WAVE, with its parts as they are given.
fn drawings(json: [&str; 3], wave: [&str; 3]) -> [String; 2] {
    let [color, shapes, more] = json;
    let json = format!(r#"{{"title": "t", "color": {color}, "shapes": {shapes}{more}}}"#);
    let [color, shapes, more] = wave;
    let wave = format!(r#"{{title: "t", color: {color}, shapes: {shapes}{more}}}"#);
    [json, wave]
}

/// The world of numbers.
const NUMBERS: &str = "package a:b;
    world w {
      export floats: func(a: f32, b: f64) -> f64;
      export wholes: func(a: u64, b: u8) -> u64;
    }";

const NUMBERS_CODE: &str = r#"
  (func (export "floats") (param f32 f64) (result f64) (local.get 1))
  (func (export "wholes") (param i64 i32) (result i64) (local.get 0))"#;

#[test]
fn a_number_that_does_not_fit_is_refused_as_it_is_written() {
    let dir = folder();
    let module = file(&dir, "numbers.wasm", typed(NUMBERS, NUMBERS_CODE));
    for (function, a, b, wanted) in [
        (
            "floats",
            "1e39",
            "0",
            "argument 1 (`a`): expected f32, found `1e39`",
        ),
        (
            "floats",
            "0",
            "1e309",
            "argument 2 (`b`): expected f64, found `1e309`",
        ),
        (
            "floats",
            "0",
            "-1e400",
            "argument 2 (`b`): expected f64, found `-1e400`",
        ),
        (
            "wholes",
            "18446744073709551616",
            "0",
            "argument 1 (`a`): expected u64, found `18446744073709551616`",
        ),
        (
            "wholes",
            "1",
            "1e1",
            "argument 2 (`b`): expected u8, found `1e1`",
        ),
        (
            "wholes",
            "1",
            "-0",
            "argument 2 (`b`): expected u8, found `-0`",
        ),
    ] {
        let call = || program().arg("call").arg(&module);
        call()
            .args([function, "--", a, b])
            .fails(2)
            .expect_stderr_has(&[wanted]);
        call()
            .arg(format!("{function}({a}, {b})"))
            .fails(2)
            .expect_stderr_has(&[wanted]);
        for line in [
            format!("[{a}, {b}]"),
            format!("({a}, {b})"),
            format!("{a}, {b}"),
        ] {
            let map = program().arg("map").arg(&module).arg(function);
            map.stdin(line).fails(11).expect_stderr_has(&[wanted]);
        }
    }
    let call = program().arg("call").arg(&module);
    assert_eq!(
        call.args(["floats", "--", "inf", "-inf"]).output(),
        "-inf\n"
    );
}

/// The parts of a drawing that fits, in JSON and in WAVE.
const GOOD: [&str; 3] = [r#""red""#, r#"["empty"]"#, r#", "style": []"#];
const FITS: [&str; 3] = ["red", "[empty]", ", style: {}"];

/// Parts of drawings that do not fit, in JSON and in WAVE, and what is said of them.
const MISFITS: [([&str; 3], [&str; 3], &str); 7] = [
    (
        [r#""pink""#, "[]", r#", "style": []"#],
        ["pink", "[]", ", style: {}"],
        ".color: expected enum { red, green, blue }, found `PINK`",
    ),
    (
        [GOOD[0], r#"["empty", {"circle": -1}]"#, GOOD[2]],
        [FITS[0], "[empty, circle(-1)]", FITS[2]],
        ".shapes[1].circle: expected u32, found `-1`",
    ),
    (
        [
            GOOD[0],
            r#"[{"path": [{"x": 1, "y": 2}, {"x": 1, "y": 3000000000}]}]"#,
            GOOD[2],
        ],
        [
            FITS[0],
            "[path([{x: 1, y: 2}, {x: 1, y: 3000000000}])]",
            FITS[2],
        ],
        ".shapes[0].path[1].y: expected s32, found `3000000000`",
    ),
    (
        [GOOD[0], r#"[{"path": [{"x": 1}]}]"#, GOOD[2]],
        [FITS[0], "[path([{x: 1}])]", FITS[2]],
        ".shapes[0].path[0].y: expected s32, found nothing",
    ),
    (
        [GOOD[0], GOOD[1], r#", "style": [], "size": 5"#],
        [FITS[0], FITS[1], ", style: {}, size: 5"],
        ", found field `size`",
    ),
    (
        [
            GOOD[0],
            GOOD[1],
            r#", "at": {"x": "far", "y": 1}, "style": []"#,
        ],
        [
            FITS[0],
            FITS[1],
            r#", at: some({x: "far", y: 1}), style: {}"#,
        ],
        r#".x: expected s32, found `"far"`"#,
    ),
    (
        [GOOD[0], r#"["square"]"#, GOOD[2]],
        [FITS[0], "[square]", FITS[2]],
        ".shapes[0]: expected variant { empty, circle(u32), path(list<record { x: s32, y: s32 }>) }, found `SQUARE`",
    ),
];

#[test]
fn what_does_not_fit_is_said_in_one_way_in_json_and_wave() {
    let dir = folder();
    let module = drawing(&dir);
    for text in drawings(GOOD, FITS) {
        let call = program().arg("call").arg(&module).arg("draw");
        assert_eq!(call.arg(&text).arg("3").output(), "3\n", "{text}");
    }
    for (json, wave, wanted) in MISFITS {
        let [json, wave] = drawings(json, wave);
        for (text, is_json) in [(json, true), (wave, false)] {
            assert_refused(&module, &text, is_json, wanted);
        }
    }
}

/// Asserts that the drawing is refused in the same way as an argument and in a line.
fn assert_refused(module: &Path, text: &str, is_json: bool, wanted: &str) {
    // Text is shown in its own spelling.
    let quote = if is_json { "\"" } else { "" };
    let wanted = wanted
        .replace("PINK", &format!("{quote}pink{quote}"))
        .replace("SQUARE", &format!("{quote}square{quote}"));
    let parts = [SIGNATURE, "argument 1 (`drawing`): ", wanted.as_str()];
    let call = program().arg("call").arg(module).arg("draw");
    call.arg(text).arg("1").fails(2).expect_stderr_has(&parts);
    let map = program().arg("map").arg(module).arg("draw");
    let line = if is_json {
        format!("[{text}, 1]\n")
    } else {
        format!("({text}, 1)\n")
    };
    map.stdin(line)
        .fails(11)
        .expect_stderr_has(&["(bad-input) on <stdin>, line 1"])
        .expect_stderr_has(&parts);
}

#[test]
fn too_many_too_few_and_too_large_say_what_was_wanted() {
    let dir = folder();
    let module = drawing(&dir);
    let cases: [(&[&str], &str); 6] = [
        (
            &["name"],
            "`name: func(text: string) -> u32`: expected 1 argument (text: string), found 0",
        ),
        (
            &["name", "a", "b"],
            "`name: func(text: string) -> u32`: expected 1 argument (text: string), found 2",
        ),
        (
            &["name()"],
            "`name: func(text: string) -> u32`: expected 1 argument (text: string), found 0",
        ),
        (
            &["name(5)"],
            "`name: func(text: string) -> u32`: argument 1 (`text`): expected string, found `5`",
        ),
        (
            &["draw", "{}", "256"],
            "argument 1 (`drawing`): .title: expected string, found nothing",
        ),
        (
            &["draw"],
            "expected 2 arguments (drawing: record { title: string",
        ),
    ];
    for (given, wanted) in cases {
        let call = program().arg("call").arg(&module).args(given);
        call.fails(2)
            .expect_stderr_has(&[wanted, "as they are, anything else as JSON or WAVE"]);
    }
    call("numbers")
        .typed("fib 4294967296")
        .fails(2)
        .expect_stderr_has(&[
            "`fib: func(n: u32) -> u64`: argument 1 (`n`): expected u32, found `4294967296`",
        ]);
    let lines = map("numbers").arg("add").stdin("[1]\n");
    lines.fails(11).expect_stderr_has(&[
        "`add: func(a: u64, b: u64) -> u64`: expected 2 arguments (a: u64, b: u64), found 1",
    ]);
}

#[test]
fn lines_that_are_no_text_say_so() {
    let dir = folder();
    let module = drawing(&dir);
    let map = |function: &str| program().arg("map").arg(&module).arg(function);
    map("name").stdin(*b"\xff\n").fails(11).expect_stderr_has(&[
        "line 1",
        "`name: func(text: string) -> u32`: the line is not UTF-8",
    ]);
    // Bytes may be anything.
    assert_eq!(map("keep").stdin(*b"\xff\xfe\n").output(), "2\n");
}

#[test]
fn the_library_says_it_likewise() {
    let cluster = cluster(1);
    let view = cluster.blocking().load_balanced_view();
    let refused = |module: &Module, name: &str, arguments: Vec<Argument>| {
        let function = module.dynamic_function(name).unwrap();
        match view.try_submit(&function, arguments) {
            Err(error @ SubmitError::Arguments { .. }) => error.to_string(),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it should be refused"),
        }
    };
    let numbers = module("numbers");
    assert_eq!(
        refused(&numbers, "greet", arguments!["you"]),
        "`greet: func(name: string, times: u32) -> string`: expected 2 arguments (name: string, times: u32), found 1"
    );
    assert_eq!(
        refused(&numbers, "greet", arguments!["you", 5_u64]),
        "`greet: func(name: string, times: u32) -> string`: argument 2 (`times`): expected u32, found u64"
    );
    let draw = Module::from_bytes("draw", typed(WIT, CODE)).unwrap();
    let point = |y: Value| Value::Record(vec![("x".into(), 1_i32.into()), ("y".into(), y)]);
    let path = Value::Variant(
        "path".into(),
        Some(Box::new(Value::List(vec![
            point(2_i32.into()),
            point("far".into()),
        ]))),
    );
    let drawing = Value::Record(vec![
        ("title".into(), "t".into()),
        ("color".into(), Value::Enum("red".into())),
        ("shapes".into(), Value::List(vec![path])),
        ("at".into(), Value::Option(None)),
        ("style".into(), Value::Flags(Vec::new())),
    ]);
    assert_eq!(
        refused(&draw, "draw", arguments![drawing, 1_u8]),
        format!(
            "{SIGNATURE}: argument 1 (`drawing`): .shapes[0].path[1].y: expected s32, found string"
        )
    );
    // By Rust's types it is said before there are any arguments.
    let typed = numbers.function::<(String, u64), String>("greet");
    assert_eq!(
        typed.unwrap_err().to_string().split(" of ").next(),
        Some("`greet: func(name: string, times: u32) -> string`")
    );
}

/// A library whose functions read the command line: it sums up how many arguments there are and returns letters of them.
const READING: &str = r#"(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $letter (param $argument i32) (result i32)
    (i32.load8_u (i32.load (i32.add (i32.const 64) (i32.mul (i32.const 4) (local.get $argument))))))
  (func (export "count") (result i32)
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (i32.load (i32.const 0)))
  (func (export "letters") (result i32 i32)
    (drop (call $get (i32.const 64) (i32.const 1024)))
    (call $letter (i32.const 0)) (call $letter (i32.const 1)))
  (func (export "same") (param i32) (result i32) (local.get 0)))"#;

#[test]
fn functions_read_the_command_line_that_they_are_called_with() {
    let dir = folder();
    let module = file(&dir, "reading.wat", READING);
    let call = |arguments: &[&str]| {
        let call = program().arg("call").arg(&module);
        call.args(arguments).output()
    };
    assert_eq!(call(&["count"]), "0\n");
    assert_eq!(call(&["count", "--", "a", "-b", "c"]), "4\n");
    assert_eq!(call(&["count", "--argv0", "name"]), "1\n");
    // `r` of `reading.wat`, and `x`.
    assert_eq!(call(&["letters", "--", "x"]), "114\t120\n");
    assert_eq!(
        call(&["letters", "--argv0", "name", "--", "x"]),
        "110\t120\n"
    );
    // A function with parameters has them for itself.
    assert_eq!(call(&["same", "--", "-7"]), "-7\n");
    let none = program().arg("call").arg(crate::support::guest("numbers"));
    none.args(["fib", "--", "1", "2"]).fails(2);
}
