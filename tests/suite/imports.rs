//! What a module imports: it loads without what this host does not have, a call of that names it, `--strict-imports`
//! refuses it, and `inspect` says what there is and what a module may use.

use crate::support::{Cli, component, file, folder, guest, inspect, program, wat};
use serde_json::json;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A component that asks for a store, which passes on streams that this host does have, and for an interface that newer
/// hosts have beside the clocks.
const ASKING: &str = r#"(component
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "input-stream" (type (sub resource)))))
  (alias export $streams "input-stream" (type $stream))
  (import "wasi:blobstore/types@0.2.0" (instance $store
    (alias outer 1 $stream (type $outer))
    (export "input-stream" (type $body (eq $outer)))
    (export "values" (type $values (sub resource)))
    (export "[constructor]values" (func (result (own $values))))
    (export "body" (func (result (own $body))))))
  (import "wasi:clocks/timezone@0.2.0" (instance $zone
    (export "offset" (func (result s32)))))
  (core func $new (canon lower (func $store "[constructor]values")))
  (core func $body (canon lower (func $store "body")))
  (core func $offset (canon lower (func $zone "offset")))
  (core module $code
    (import "" "new" (func $new (result i32)))
    (import "" "body" (func $body (result i32)))
    (import "" "offset" (func $offset (result i32)))
    (func (export "values") (result i32) (call $new))
    (func (export "body") (result i32) (call $body))
    (func (export "offset") (result i32) (call $offset))
    (func (export "seven") (result i32) (i32.const 7)))
  (core instance $made (instantiate $code (with "" (instance
    (export "new" (func $new)) (export "body" (func $body)) (export "offset" (func $offset))))))
  (func (export "values") (result u32) (canon lift (core func $made "values")))
  (func (export "body") (result u32) (canon lift (core func $made "body")))
  (func (export "offset") (result s32) (canon lift (core func $made "offset")))
  (func (export "seven") (result u32) (canon lift (core func $made "seven"))))"#;

fn asking(dir: &TempDir) -> PathBuf {
    file(dir, "asking.wat", ASKING)
}

fn call(module: &Path, function: &str) -> Cli {
    program().arg("call").arg(module).arg(function)
}

#[test]
fn a_call_of_what_is_not_there_names_it() {
    let dir = folder();
    let asking = asking(&dir);
    assert_eq!(call(&asking, "seven").output(), "7\n");
    for (function, parts) in [
        (
            "values",
            ["`[constructor]values`", "`wasi:blobstore/types@0.2.0`"],
        ),
        ("body", ["`body`", "`wasi:blobstore/types@0.2.0`"]),
        ("offset", ["`offset`", "`wasi:clocks/timezone@0.2.0`"]),
    ] {
        let ended = call(&asking, function).fails(11);
        ended
            .expect_stderr_has(&["import-denied"])
            .expect_stderr_has(&parts);
    }
    call(&asking, "seven")
        .arg("--strict-imports")
        .fails(10)
        .expect_stderr_has(&["wasi:blobstore/types@0.2.0", "not provide"]);
}

#[test]
fn what_there_is_is_offered_to_strict_hosts_too() {
    let dir = folder();
    let made = file(&dir, "component.wasm", component("numbers"));
    for module in [guest("numbers"), made] {
        let call = program().arg("call").arg(module).typed("fib 10");
        assert_eq!(call.arg("--strict-imports").output(), "55\n");
    }
    // A core module that becomes a component for what it imports.
    let dial = program().arg("call").arg(guest("dial"));
    let found = dial.typed("look-up 192.0.2.1 --strict-imports").output();
    assert_eq!(found, "192.0.2.1\n");
}

#[test]
fn inspect_says_what_is_offered() {
    let dir = folder();
    let ended = inspect(asking(&dir)).typed("--format json").end();
    let imports = ended.expect_code(0).json()["imports"].take();
    let import =
        |module: &str, offered: bool| json!({"module": module, "name": "", "offered": offered});
    assert_eq!(
        imports,
        json!([
            import("wasi:io/streams@0.2.0", true),
            import("wasi:blobstore/types@0.2.0", false),
            import("wasi:clocks/timezone@0.2.0", false),
        ])
    );
    let dial = inspect(guest("dial")).output();
    assert!(dial.contains("wasi:sockets/tcp@0.2"), "{dial}");
    assert!(!dial.contains("not offered"), "{dial}");
}

#[test]
fn inspect_says_what_a_module_may_use() {
    let dir = folder();
    let may_use = |module: &Path| {
        let ended = inspect(module).typed("--format json").end();
        ended.expect_code(0).json()["may_use"].take()
    };
    assert_eq!(may_use(&wat("numeric")), json!([]));
    assert_eq!(may_use(&asking(&dir)), json!([]));
    assert_eq!(may_use(&guest("dial")), json!(["network", "environment"]));
    let upper = may_use(&guest("upper"));
    let upper: Vec<&str> = upper
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(serde_json::Value::as_str)
        .collect();
    assert!(
        upper.contains(&"stdin") && !upper.contains(&"network"),
        "{upper:?}"
    );

    let line = |module: &Path| {
        let text = inspect(module).output();
        let line = text.lines().find_map(|line| line.strip_prefix("may use"));
        line.expect("there is such a line").trim().to_owned()
    };
    assert_eq!(line(&wat("numeric")), "nothing but its input");
    assert_eq!(line(&guest("dial")), "network (--net), environment (--env)");
}
