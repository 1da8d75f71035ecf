//! Tasks by the Rust SDK: what it says of their types, every shape of signature on the core module and on the component
//! made of it, what they ask of the host, panics, and that they keep nothing.

use crate::support::{
    call, cluster, component, file, folder, guest, inspect, module, program, scratch, typed,
};
use rwasm_cluster::{ApplyError, Cluster, FailureCode, Lowering, Module, Reuse, Value};
use std::path::PathBuf;
use tempfile::TempDir;
use wit_component::{StringEncoding, embed_component_metadata};

/// A guest's core module and its component, as files, while the folder is there.
fn both(name: &str) -> (TempDir, [PathBuf; 2]) {
    let dir = folder();
    let made = file(&dir, "component.wasm", component(name));
    (dir, [guest(name), made])
}

/// What a function gives, as JSON, in both forms of the guest.
#[track_caller]
fn gives(name: &str, function: &str, arguments: &[&str], expected: &str) {
    let (_dir, paths) = both(name);
    for path in paths {
        let call = program().arg("call").arg(&path).arg(function);
        let given = call.args(arguments).typed("--format json").output();
        assert_eq!(given.trim_end(), expected, "{}", path.display());
    }
}

#[test]
fn the_modules_have_the_types_of_their_wit_files() {
    let functions = |module: &Module| {
        let functions = module.functions().iter();
        let mut texts: Vec<_> = functions.map(ToString::to_string).collect();
        texts.sort();
        texts
    };
    for (guest, wit, names) in [
        (
            "wordcount",
            include_str!("../../wit/wordcount.wit"),
            &["mapper", "reducer"][..],
        ),
        (
            "echo",
            include_str!("../../wit/echo.wit"),
            &["echo", "checked", "greet"],
        ),
    ] {
        let exports = names
            .iter()
            .map(|name| format!("(func (export \"{name}\") (unreachable))"));
        let wanted = typed(wit, &exports.collect::<String>());
        let wanted = Module::from_bytes("wanted", wanted).expect("a module");
        assert_eq!(wanted.functions().len(), names.len());
        assert_eq!(functions(&module(guest)), functions(&wanted));
    }
}

#[test]
fn the_echo_gives_back_what_it_is_given() {
    let drawing = |title: &str, last: &str| {
        format!(
            r#"{{"title":"{title}","color":"green","style":["bold","underlined"],"scale":-0.5,"mark":"漢","origin":{{"x":-1,"y":2147483647}},"shapes":["empty",{{"circle":7}},{{"label":"a\tb"}},{{"polygon":[{{"x":0,"y":1}}]}}],"layers":[[],[4294967295,0]],"size":[18446744073709551615,-9223372036854775808],"last":{last},"raw":"AP8="}}"#
        )
    };
    let whole = drawing("día", r#"{"err":"none"}"#);
    gives("echo", "echo", &[&whole], &whole);
    gives(
        "echo",
        "checked",
        &[&drawing("x", r#"{"ok":1}"#)],
        &drawing("x", r#"{"ok":1}"#),
    );
    gives(
        "echo",
        "greet",
        &["Ada", "3"],
        r#""hello, Ada! hello, Ada! hello, Ada!""#,
    );
    call("echo")
        .arg("checked")
        .arg(drawing("", r#"{"ok":1}"#))
        .fails(11)
        .expect_stderr_has(&["the drawing has no title"]);
}

#[test]
fn signatures_of_every_shape_are_called_both_ways() {
    for (function, arguments, expected) in [
        ("mirrored", &[r#"{"x":1,"y":-2}"#][..], r#"{"x":-2,"y":1}"#),
        ("type", &["true", "[true,true]"], "true"),
        (
            "many",
            &[
                "255",
                "-9223372036854775808",
                "0.5",
                "-0.25",
                "text",
                r#"[{"x":1,"y":2}]"#,
                r#"{"err":"no"}"#,
                r#"{"x":3,"y":-4}"#,
                r#"["é",true,-128]"#,
            ],
            r#"["255 -9223372036854775808 0.5 Some(-0.25) text","[(1, 2)] Err(\"no\") 3 -4 ('é', true, -128)"]"#,
        ),
        (
            "joined",
            &[r#"{"ok":1.5}"#, r#"{"err":4294967295}"#],
            r#""Ok(1.5) Some(Err(4294967295))""#,
        ),
        (
            "joined",
            &[r#"{"err":[18446744073709551615,-2.5]}"#, "null"],
            r#""Err((18446744073709551615, -2.5)) None""#,
        ),
        (
            "joined",
            &[r#"{"ok":-1}"#, r#"{"ok":0.25}"#],
            r#""Ok(-1.0) Some(Ok(0.25))""#,
        ),
        ("difference", &["-128", "127"], "-255"),
        ("below", &["[1,3,2]", "5"], "3"),
        ("is-even", &["-4"], ""),
        ("texts", &["2", "3"], r#"[["xxx",[0,0,0]],["xxx",[1,1,1]]]"#),
        ("texts", &["0", "3"], "[]"),
        ("count-up", &[], "1"),
        ("tell", &["2"], ""),
    ] {
        gives("asks", function, arguments, expected);
    }
}

#[test]
fn errors_cross_as_what_they_are() {
    let (_dir, paths) = both("asks");
    for path in paths {
        for (function, arguments, text) in [
            ("below", &["[]", "5"][..], "empty"),
            ("below", &["[7]", "5"], "above(7)"),
            ("is-even", &["3"], "guest"),
        ] {
            let call = program().arg("call").arg(&path).arg(function);
            call.args(arguments).fails(11).expect_stderr_has(&[text]);
        }
    }
}

#[test]
fn a_panic_comes_with_its_message_and_place() {
    let (_dir, paths) = both("asks");
    for path in paths {
        let call = |arguments: &[&str]| {
            let call = program().arg("call").arg(&path).arg("fail");
            call.args(arguments).fails(11)
        };
        call(&[r#"some("so it goes: 7")"#]).expect_stderr_has(&[
            "trap",
            "the guest panicked at asks/src/lib.rs:",
            ": so it goes: 7",
        ]);
        call(&["none"]).expect_stderr_has(&[
            "the guest panicked at asks/src/lib.rs:",
            "index out of bounds: the len is 3 but the index is 7",
        ]);
        // Other traps say what they are.
        let deep = program().arg("call").arg(&path).typed("deep 10000000");
        deep.fails(11).expect_stderr_has(&["stack-overflow"]);
    }
}

#[test]
fn a_panic_is_cut_and_keeps_the_backtrace() {
    let cluster = cluster(1);
    let view = cluster.blocking().load_balanced_view();
    let fail = module("asks")
        .function::<(Option<String>,), u64>("fail")
        .expect("it is there");
    let error = view
        .apply(&fail, (Some("é".repeat(100_000)),))
        .expect_err("it panics");
    let ApplyError::Failed(error) = error else {
        panic!("it was refused: {error}");
    };
    let failure = &error.failure().expect("a failure").failure;
    assert_eq!(failure.code, FailureCode::Trap);
    assert!(failure.message.len() < 6000, "{}", failure.message.len());
    assert!(
        failure
            .message
            .starts_with("the guest panicked at asks/src/lib.rs:")
    );
    let backtrace = failure.backtrace.as_ref().expect("a backtrace");
    assert!(backtrace.contains("panicking"), "{backtrace}");
}

/// By wit-bindgen, where nobody tells the host of a panic.
#[test]
fn panics_that_are_not_told_are_traps_as_ever() {
    let ended = program().arg("run").arg(guest("faulty")).stdin("trap\n");
    ended
        .fails(11)
        .expect_stderr_has(&["the program panicked or aborted"]);
}

fn lowered(lowering: Lowering) -> Cluster {
    Cluster::builder()
        .engines(1)
        .lowering(lowering)
        .cache_dir(scratch().join("compiled"))
        .start()
        .expect("a cluster starts")
}

#[test]
fn what_is_pushed_is_read_as_its_type() {
    for lowering in [Lowering::Core, Lowering::Component] {
        let cluster = lowered(lowering);
        let view = cluster.direct_view(0).expect("an engine");
        let asks = module("asks");
        let total = asks
            .function::<&'static str, Option<f64>>("total-pushed")
            .expect("it is there");
        let text = asks
            .function::<&'static str, Option<String>>("text-pushed")
            .expect("it is there");
        let place = asks
            .function::<(), (u32, u32)>("where-am-i")
            .expect("it is there");
        let pairs = [("a", 0.5), ("b", 2.0)]
            .map(|(name, number)| Value::Tuple(vec![name.into(), number.into()]));
        view.push("pairs", Value::List(pairs.to_vec()))
            .expect("it is pushed");
        view.push("text", "día").expect("it is pushed");
        let view = view.blocking();
        assert_eq!(view.apply(&total, "pairs").expect("a sum"), [Some(2.5)]);
        assert_eq!(view.apply(&total, "nothing").expect("none"), [None]);
        assert_eq!(
            view.apply(&text, "text").expect("a text"),
            [Some("día".to_owned())]
        );
        assert_eq!(view.apply(&place, ()).expect("a place"), [(0, 1)]);
        let error = view
            .apply(&total, "text")
            .expect_err("it is no list")
            .to_string();
        assert!(error.contains("pushed value `text`"), "{error}");
    }
}

#[test]
fn a_kept_instance_frees_what_it_gave() {
    for lowering in [Lowering::Core, Lowering::Component] {
        let cluster = lowered(lowering);
        let view = cluster
            .direct_view(0)
            .expect("an engine")
            .reuse(Reuse::Engine);
        let asks = module("asks");
        let texts = asks
            .function::<(u32, u32), Vec<(String, Vec<u64>)>>("texts")
            .expect("it is there");
        let count = asks.function::<(), u64>("count-up").expect("it is there");
        let peak = || {
            let tasks = view.try_submit(&texts, (100, 10_000)).expect("it runs");
            let given = tasks.get().expect("texts");
            assert_eq!(given[0].len(), 100);
            let info = tasks.info();
            info[0].as_ref().expect("it has run").usage.peak_memory
        };
        peak();
        let first = peak();
        let last = (0..200).map(|_| peak()).max().expect("there are some");
        assert!(last <= first + (1 << 16), "{first} bytes, then {last}");
        let calls = view.clone().blocking().apply(&count, ()).expect("a number");
        assert_eq!(calls, [1], "the instance was kept");
        let calls = view.blocking().apply(&count, ()).expect("a number");
        assert_eq!(calls, [2], "the instance was kept");
    }
}

/// Each is a function of its own section, as the SDK makes them.
#[test]
fn types_of_one_name_that_differ_are_refused() {
    let one = "package a:one; world w { record point { x: s32 } export one: func() -> point; }";
    let mut module = typed(one, r#"(func (export "one") (result i32) (unreachable))"#);
    let mut resolve = wit_parser::Resolve::default();
    let other =
        "package a:other; world w { record point { x: s64 } export other: func() -> point; }";
    let package = resolve.push_str("other.wit", other).expect("valid WIT");
    let world = resolve.select_world(&[package], None).expect("one world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("it can be embedded");
    let error = Module::from_bytes("two.wasm", module).expect_err("it is refused");
    let text = error.to_string();
    assert!(
        text.contains("the name `point` has two meanings: in `one` record { x: s32 }"),
        "{text}"
    );
}

#[test]
fn another_version_of_the_hosts_interface_is_named() {
    let dir = folder();
    let text = r#"(module
        (import "rwasm:task/host@0.3.0" "engine-id" (func $id (result i32)))
        (func (export "id") (result i32) (call $id)))"#;
    let later = file(&dir, "later.wat", text);
    let versions = "(it has the versions 0.1.0 and 0.2.0 of that interface)";
    let call = program().arg("call").arg(&later).arg("id");
    call.fails(11)
        .expect_stderr_has(&["does not provide", versions]);
    let strict = program()
        .arg("call")
        .arg(&later)
        .typed("id --strict-imports");
    strict.fails(10).expect_stderr_has(&[versions]);
}

/// What the interface has not in that version is stood in for, as an interface is that the host has not.
#[test]
fn functions_that_came_later_are_named_when_they_are_called() {
    let dir = folder();
    let core = r#"(module
        (import "rwasm:task/host@0.1.0" "panicked" (func (param i32 i32 i32 i32 i32 i32)))
        (import "rwasm:task/host@0.2.0" "engine-name" (func $name (result i32)))
        (import "rwasm:task/host@0.2.0" "engine-count" (func $count (result i32)))
        (func (export "name") (result i32) (call $name))
        (func (export "count") (result i32) (call $count)))"#;
    let component = r#"(component
        (import "rwasm:task/host@0.1.0" (instance $host
            (export "engine-count" (func (result u32)))
            (export "engine-name" (func (result u32)))))
        (core func $count (canon lower (func $host "engine-count")))
        (core func $name (canon lower (func $host "engine-name")))
        (core module $code
            (import "" "count" (func $count (result i32)))
            (import "" "name" (func $name (result i32)))
            (func (export "name") (result i32) (call $name))
            (func (export "count") (result i32) (call $count)))
        (core instance $made (instantiate $code (with "" (instance
            (export "count" (func $count)) (export "name" (func $name))))))
        (func (export "name") (result u32) (canon lift (core func $made "name")))
        (func (export "count") (result u32) (canon lift (core func $made "count"))))"#;
    for (name, text) in [("core.wat", core), ("component.wat", component)] {
        let module = file(&dir, name, text);
        let call = |function: &str| program().arg("call").arg(&module).arg(function);
        let count = call("count").args(["-j", "1"]).output();
        assert_eq!(count, "1\n", "{name}");
        let ended = call("name").fails(11);
        ended.expect_stderr_has(&[
            "import-denied",
            "`engine-name`",
            "engine-count, engine-id, log",
        ]);
        let strict = call("count").arg("--strict-imports").fails(10);
        strict.expect_stderr_has(&["rwasm:task/host@0.", "not provide"]);
        let shown = inspect(&module).output();
        let line = shown.lines().find(|line| line.contains("engine-name"));
        let line = line.expect("it is listed");
        assert!(line.contains("not offered"), "{shown}");
    }
}

/// What was built against 0.1 has no `panicked`, and runs on.
#[test]
fn modules_of_the_first_version_run_on() {
    let dir = folder();
    let core = r#"(module
        (import "rwasm:task/host@0.1.0" "engine-id" (func $id (result i32)))
        (func (export "id") (result i32) (call $id)))"#;
    let component = r#"(component
        (import "rwasm:task/host@0.1.0" (instance $host (export "engine-id" (func (result u32)))))
        (core module $m
            (import "host" "id" (func $id (result i32)))
            (func (export "id") (result i32) (call $id)))
        (core func $id (canon lower (func $host "engine-id")))
        (core instance $i (instantiate $m (with "host" (instance (export "id" (func $id))))))
        (func (export "id") (result u32) (canon lift (core func $i "id"))))"#;
    for (name, text) in [("core.wat", core), ("component.wat", component)] {
        let call = program().arg("call").arg(file(&dir, name, text)).arg("id");
        assert_eq!(call.typed("--engines 1").output(), "0\n", "{name}");
    }
    let later = core
        .replace("engine-id", "panicked")
        .replace("(result i32)", "");
    let later = later.replace("(func $id )", "(func $id (param i32 i32 i32 i32 i32 i32))");
    let later = later.replace("(call $id)", "");
    let call = program()
        .arg("call")
        .arg(file(&dir, "later.wat", later))
        .arg("id");
    // What came later may be imported, so long as it is not called.
    call.end().expect_code(0).expect_stderr_is_empty();
}
