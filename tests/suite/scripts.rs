//! Scripts: several calls of one instance, by which resources are made, used and dropped within a task.

use crate::support::{Cli, cluster, file, folder, inspect, is_over_nats, module, program, wat};
use rwasm_cluster::{LoadError, Module, Reuse, Value};

fn call(words: &[&str]) -> Cli {
    program().arg("call").arg(wat("counters")).args(words)
}

#[test]
fn a_resource_is_made_and_used_in_one_task() {
    for options in [
        "",
        "--engines 2",
        "--fuel 1000000",
        "--deterministic",
        "--reuse engine",
    ] {
        for (words, result) in [
            (&["counter(40).add(2)"][..], "42\n"),
            (&["counter(40).add", "2"], "42\n"),
            (&["counter.small(7).add(0)"], "7\n"),
            (&["counters#counter(1).add(1)"], "2\n"),
            (
                &[
                    "test:counters/counters@0.1.0#[constructor]counter($start).add",
                    "5",
                    "6",
                ],
                "11\n",
            ),
            (
                &["let a = counter(1)\nlet b = counter(2)\nsum(a, b)"],
                "3\n",
            ),
            (
                &["let a = counter(1); let n = a.add(9); counter(n).add(n)"],
                "20\n",
            ),
            (
                &["let a = counter($x); a.merge(counter.small($x))", "4"],
                "",
            ),
        ] {
            let call = call(words).typed(options);
            if result.is_empty() {
                // A call is no argument.
                call.fails(10)
                    .expect_stderr_has(&["line 1", "not a variable"]);
            } else {
                assert_eq!(call.output(), result, "{words:?}");
            }
        }
    }
}

#[test]
fn what_a_script_made_is_dropped_when_it_ends() {
    let cluster = cluster(1);
    let counters = Module::from_file(wat("counters")).expect("it is a module");
    let view = cluster.load_balanced_view().reuse(Reuse::Engine).blocking();
    // One is given away, which drops it, one fails to be made, and one is left.
    let script = "let a = counter(1)
        let b = counter(2)
        a.merge(b)
        let c = counter.small($most)
        c.add(0)";
    let scripted = counters.with_script(script).expect("it fits");
    let name = scripted.script_function().expect("it has a script");
    let add = scripted.dynamic_function(name).expect("a function");
    let dropped = scripted.function::<(), u32>("dropped").expect("a function");
    let mut count = 0;
    for (most, more) in [(100_u32, 3), (101, 2), (0, 3)] {
        let result = view.apply(&add, vec![Value::U32(most).into()]);
        match result {
            Ok(value) => assert_eq!(value, Value::U32(most)),
            Err(error) => assert!(error.to_string().contains("too lrge"), "{error}"),
        }
        count += more;
        if !is_over_nats() {
            assert_eq!(view.apply(&dropped, ()).expect("a number"), count);
        }
    }
}

#[test]
fn a_script_may_be_a_file_and_map_lines() {
    let dir = folder();
    let script = "# Adds to a counter.\n\nlet it = counter($from)\n  it.add(\n    1)\nit.add\n";
    let path = file(&dir, "add.txt", script);
    let call = |words: &[&str]| call(words).arg("--script").arg(&path);
    assert_eq!(call(&["10", "5"]).output(), "16\n");
    call(&["10"])
        .fails(2)
        .expect_stderr_has(&["(script)", "2 arguments"]);
    for option in ["-o", "--report"] {
        let replacing = call(&["10", "5"]).arg(option).arg(&path);
        replacing
            .fails(2)
            .expect_stderr_has(&["which the job reads"]);
    }
    let mapped = program()
        .arg("map")
        .arg(wat("counters"))
        .arg("counter(1).add");
    assert_eq!(mapped.stdin("1\n2\n3\n").output(), "2\n3\n4\n");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_runs() {
    for (script, parts) in [
        ("counter(1)", &["gives a resource", "counter"][..]),
        (
            "counter(1).grow(2)",
            &["no method `grow`", "`add`, `merge`"],
        ),
        ("counter(1).add(\"x\")", &["line 1", "`n` of `add`"]),
        ("counter(1, 2).add(1)", &["takes 1 arguments, but has 2"]),
        (
            "counters(1).add(1)",
            &["no function `counters`", "`counter.small`"],
        ),
        ("counter.add(1).x()", &["is a method"]),
        (
            "let a = counter(1)\nlet b = a.add(1)\nsum(a, b)",
            &["line 3", "`b` is not a `counter`"],
        ),
        (
            "let a = counter(1)\nlet b = counter(2)\na.merge(b)\nb.add(1)",
            &["line 4", "passed on for good in line 3"],
        ),
        (
            "let a = counter(1)\na.add($1)",
            &["line 2", "not the name of a parameter"],
        ),
        ("let a = counter\na.add(1)", &["line 1", "no arguments"]),
        ("counter(1).add(1", &["not closed"]),
        (
            "let a = counter(1)\na.merge(a)",
            &["line 2", "used in the same call"],
        ),
    ] {
        call(&[script])
            .fails(10)
            .expect_empty_stdout()
            .expect_stderr_has(parts)
            .expect_stderr_has(&["the script does not fit"]);
    }
    let error = module("numbers").with_script("fib(1)");
    assert!(matches!(error, Err(LoadError::Script { .. })), "{error:?}");
    let shown = inspect(wat("counters")).output();
    assert!(
        shown.contains("a resource, which only a script can keep"),
        "{shown}"
    );
}

#[test]
fn what_a_script_keeps_counts_as_its_output() {
    let dir = folder();
    // Of a megabyte each.
    let text = r#"(component
        (core module $m
            (memory (export "memory") 32)
            (func (export "text") (result i32)
                (i32.store (i32.const 0) (i32.const 8))
                (i32.store (i32.const 4) (i32.const 1000000))
                (i32.const 0)))
        (core instance $m (instantiate $m))
        (func (export "text") (result string) (canon lift (core func $m "text") (memory $m "memory"))))"#;
    let component = file(&dir, "text.wat", text);
    let script = "let t = text()\n".repeat(3) + "text()";
    let call = || program().arg("call").arg(&component).arg(&script);
    call()
        .typed("--limit output=3MB")
        .fails(11)
        .expect_stderr_has(&["output-limit"]);
    assert_eq!(call().typed("--limit output=5MB").output().len(), 1_000_000);
}

#[test]
fn what_a_script_passes_several_times_counts_as_often() {
    let dir = folder();
    let text = r#"(component
        (core module $m
            (memory (export "memory") 32)
            (global $free (mut i32) (i32.const 64))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $free)
                (global.set $free (i32.add (global.get $free) (local.get 3))))
            (func (export "sizes") (param i32 i32 i32 i32) (result i32)
                (i32.add (local.get 1) (local.get 3))))
        (core instance $m (instantiate $m))
        (func (export "sizes") (param "a" string) (param "b" string) (result u32)
            (canon lift (core func $m "sizes") (memory $m "memory") (realloc (func $m "cabi_realloc")))))"#;
    let component = file(&dir, "sizes.wat", text);
    let call = || {
        let call = program().arg("call").arg(&component).arg("sizes($x, $x)");
        call.arg("a".repeat(600))
    };
    assert_eq!(call().output(), "1200\n");
    call()
        .typed("--limit input=1000B")
        .fails(11)
        .expect_stderr_has(&["input-limit"]);
}

#[test]
fn a_script_in_a_file_that_does_not_fit_leaves_its_component_usable() {
    let dir = folder();
    let counters = Module::from_file(wat("counters")).expect("it is a module");
    let fits = counters.with_script("counter(1).add(1)").expect("it fits");
    let bytes = fits.bytes().to_vec();
    let at = bytes
        .windows(7)
        .rposition(|part| part == b"counter")
        .expect("its text");
    let mut wrong = bytes.clone();
    wrong[at] = b'k';
    let path = file(&dir, "wrong.wasm", wrong);
    let shown = inspect(&path).output();
    assert!(shown.contains("(script): func()"), "{shown}");
    assert_eq!(
        program().arg("call").arg(&path).arg("dropped").output(),
        "0\n"
    );
    let scripted = program().arg("call").arg(&path).arg("counter(1).add(1)");
    assert_eq!(scripted.output(), "2\n");
}
