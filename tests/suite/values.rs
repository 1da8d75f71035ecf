//! Values of every shape through a guest and back, on the core module as it is and on the component made of it; bulk data
//! among them.

use crate::support::{cluster, component, componentized, file, folder, module, program, typed};
use rwasm_cluster::{Cluster, Form, Lowering, Module, Value};
use std::collections::BTreeMap;

/// The world that echoes in every language implement.
const ECHO: &str = include_str!("../../wit/echo.wit");

/// A drawing travels by a pointer to it, which an echo gives back.
const CODE: &str = r#"
  (func (export "echo") (param i32) (result i32) (local.get 0))
  (func (export "checked") (param i32) (result i32) (unreachable))
  (func (export "greet") (param i32 i32 i32) (result i32) (unreachable))"#;

const WAVE: &str = r#"{title: "día \"x\"", color: green, style: {bold, underlined}, scale: -0.5, mark: '漢', origin: some({x: -1, y: 2147483647}), shapes: [empty, circle(7), label("a\tb"), polygon([{x: 0, y: 1}])], layers: [[], [4294967295, 0]], size: (18446744073709551615, -9223372036854775808), last: err("none"), raw: [0, 255]}"#;

const JSON: &str = r#"{"title":"día \"x\"","color":"green","style":["bold","underlined"],"scale":-0.5,"mark":"漢","origin":{"x":-1,"y":2147483647},"shapes":["empty",{"circle":7},{"label":"a\tb"},{"polygon":[{"x":0,"y":1}]}],"layers":[[],[4294967295,0]],"size":[18446744073709551615,-9223372036854775808],"last":{"err":"none"},"raw":"AP8="}"#;

/// A core module and its component, each under a name for messages.
fn both(wit: &str, code: &str) -> [(&'static str, Vec<u8>); 2] {
    let core = typed(wit, code);
    [("component", componentized(&core)), ("core module", core)]
}

#[test]
fn a_value_of_every_shape_comes_back_in_json_and_in_wave() {
    let dir = folder();
    for (name, bytes) in both(ECHO, CODE) {
        let echo = file(&dir, "echo.wasm", bytes);
        for given in [WAVE, JSON] {
            let call = |format: &str| {
                let call = program().arg("call").arg(&echo).arg("echo").arg(given);
                call.arg("--format").arg(format).output()
            };
            assert_eq!(call("json").trim_end(), JSON, "{name}");
            assert_eq!(call("wave").trim_end(), WAVE, "{name}");
        }
        // As a call in WAVE, and as a line of a map.
        let call = program().arg("call").arg(&echo);
        let given = call.arg(format!("echo({WAVE})")).typed("--format json");
        assert_eq!(given.output().trim_end(), JSON, "{name}");
        let map = program().arg("map").arg(&echo).arg("echo");
        let lines = map.stdin(format!("{JSON}\n{WAVE}\n")).output();
        assert_eq!(lines, format!("{JSON}\n{JSON}\n"), "{name}");
    }
}

/// What has no finite number, and options in options.
#[test]
fn odd_values_have_a_form_of_their_own() {
    let wit = "package a:b; world w {
        export echo: func(value: list<tuple<f64, f32, option<option<bool>>, result<_, u8>, char>>)
          -> list<tuple<f64, f32, option<option<bool>>, result<_, u8>, char>>;
    }";
    let code = r#"(func (export "echo") (param i32 i32) (result i32)
        (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))"#;
    let json = r#"[["NaN","Infinity",null,{"ok":null},"a"],["-Infinity",-0.0,{"some":null},{"err":7},"\n"],[5e-324,3.4028235e38,{"some":true},{"ok":null},"漢"]]"#;
    let wave = r"[(nan, inf, none, ok, 'a'), (-inf, -0, some(none), err(7), '\n'), (5e-324, 3.4028235e38, some(some(true)), ok, '漢')]";
    let dir = folder();
    for (name, bytes) in both(wit, code) {
        let echo = file(&dir, "echo.wasm", bytes);
        let call = |given: &str, format: &str| {
            let call = program().arg("call").arg(&echo).arg("echo").arg(given);
            let text = call.arg("--format").arg(format).output();
            text.trim_end().to_owned()
        };
        let printed = call(json, "json");
        assert_eq!(call(wave, "json"), printed, "{name}");
        assert_eq!(call(&printed, "json"), printed, "{name}");
        let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let wanted: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(printed, wanted, "{name}");
        let waved = call(json, "wave");
        assert_eq!(call(&waved, "wave"), waved, "{name}");
    }
}

#[test]
fn maps_cross_both_ways() {
    let wit = "package a:b; world w {
        export echo: func(counts: map<string, u64>) -> map<string, u64>;
    }";
    let code = r#"(func (export "echo") (param i32 i32) (result i32)
        (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))"#;
    let dir = folder();
    let counts = BTreeMap::from([("a".to_owned(), 1_u64), ("ü".to_owned(), u64::MAX)]);
    for (name, bytes) in both(wit, code) {
        let cluster = cluster(1);
        let echo = Module::from_bytes(name, bytes.clone()).unwrap();
        let echo = echo
            .function::<(BTreeMap<String, u64>,), BTreeMap<String, u64>>("echo")
            .unwrap();
        let view = cluster.blocking().load_balanced_view();
        assert_eq!(view.apply(&echo, (counts.clone(),)).unwrap(), counts);
        let path = file(&dir, "map.wasm", bytes);
        for given in [r#"[["b", 2], ["a", 1]]"#, r#"[("b", 2), ("a", 1)]"#] {
            let call = program().arg("call").arg(&path).arg("echo").arg(given);
            let given = call.typed("--format json").output();
            assert_eq!(given, "[[\"b\",2],[\"a\",1]]\n", "{name}");
        }
    }
}

/// Every list of scalars, and of words with a scalar, has a way of its own through a component.
#[test]
fn bulk_data_of_every_scalar_comes_back_whole() {
    let scalars = [
        ("bool", "true", "false"),
        ("u8", "0", "255"),
        ("s8", "-128", "127"),
        ("u16", "0", "65535"),
        ("s16", "-32768", "32767"),
        ("u32", "0", "4294967295"),
        ("s32", "-2147483648", "2147483647"),
        ("u64", "0", "18446744073709551615"),
        ("s64", "-9223372036854775808", "9223372036854775807"),
        ("f32", "-0.5", "3.4028235e38"),
        ("f64", "-0.5", "1.7976931348623157e308"),
        ("char", "'a'", "'漢'"),
        ("string", "\"\"", "\"día\""),
    ];
    let mut wit = "package a:b; world w {\n".to_owned();
    let mut code = String::new();
    let mut cases = Vec::new();
    for (ty, least, most) in scalars {
        for (kind, list, value) in [
            ("list", format!("list<{ty}>"), format!("[{least}, {most}]")),
            (
                "pairs",
                format!("list<tuple<string, {ty}>>"),
                format!("[(\"\", {least}), (\"ü\", {most})]"),
            ),
        ] {
            let name = format!("{kind}-{ty}");
            wit += &format!("export {name}: func(value: {list}) -> {list};\n");
            wit +=
                &format!("export fallible-{name}: func(text: string) -> result<{list}, string>;\n");
            code += &format!(
                r#"(func (export "{name}") (param i32 i32) (result i32)
                  (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
                (func (export "fallible-{name}") (param i32 i32) (result i32)
                  (i32.store8 (i32.const 32) (i32.const 1))
                  (i32.store (i32.const 36) (local.get 0)) (i32.store (i32.const 40) (local.get 1)) (i32.const 32))"#
            );
            cases.push((name, value));
        }
    }
    wit += "}";
    for (kind, bytes) in both(&wit, &code) {
        let cluster = cluster(1);
        let view = cluster.blocking().load_balanced_view();
        let echoes = Module::from_bytes(kind, bytes).unwrap();
        for (name, wave) in &cases {
            let echo = echoes.dynamic_function(name).unwrap();
            let ty = &echo.signature().params[0].1;
            for text in [wave.as_str(), "[]"] {
                let value = rwasm_cluster::format::from_wave(text, ty).unwrap();
                let given = view.apply(&echo, vec![value.clone().into()]).unwrap();
                assert_eq!(given, value, "{kind}, {name}");
            }
            let fails = echoes
                .dynamic_function(&format!("fallible-{name}"))
                .unwrap();
            let error = view.apply(&fails, vec![Value::from("no").into()]);
            let error = error.unwrap_err().to_string();
            assert!(
                error.ends_with("guest-error: no"),
                "{kind}, {name}: {error}"
            );
        }
    }
}

#[test]
fn bulk_data_is_the_same_by_both_ways_and_large() {
    const COUNT: u32 = 30_000;
    let values = |lowering: Lowering, module: &Module| {
        let cluster = Cluster::builder()
            .engines(1)
            .lowering(lowering)
            .start()
            .unwrap();
        let view = cluster.blocking().load_balanced_view();
        let pairs = module
            .function::<(u32,), Vec<(String, u64)>>("pairs")
            .unwrap();
        let pairs = view.apply(&pairs, (COUNT,)).unwrap();
        let numbers = module.function::<(u32,), Vec<u64>>("numbers").unwrap();
        let numbers = view.apply(&numbers, (COUNT,)).unwrap();
        let sum = module
            .function::<(&Vec<(String, u64)>,), u64>("take-pairs")
            .unwrap();
        let sum = view.apply(&sum, (&pairs,)).unwrap();
        let total = module
            .function::<(&Vec<u64>,), u64>("take-numbers")
            .unwrap();
        let total = view.apply(&total, (&numbers,)).unwrap();
        assert_eq!(pairs.len(), COUNT as usize);
        (pairs, numbers, sum, total)
    };
    let pairs = module("pairs");
    let core = values(Lowering::Core, &pairs);
    assert!(core == values(Lowering::Component, &pairs));
    let made = Module::from_bytes("pairs", component("pairs")).unwrap();
    assert_eq!(made.form(), Form::Component);
    assert!(core == values(Lowering::Core, &made));
}

#[test]
fn lists_of_fixed_length_cross_in_every_form() {
    let dir = folder();
    let text = r#"(component
      (core module $m (memory (export "memory") 1)
        (func (export "sum") (param i32 i32 i32) (result i32)
          (i32.add (local.get 0) (i32.add (local.get 1) (local.get 2))))
        (func (export "next") (param i32) (result i32)
          (i32.store (i32.const 0) (local.get 0))
          (i32.store (i32.const 4) (i32.add (local.get 0) (i32.const 1)))
          (i32.store (i32.const 8) (i32.add (local.get 0) (i32.const 2)))
          (i32.const 0)))
      (core instance $i (instantiate $m))
      (type $three (list u32 3))
      (func (export "sum") (param "numbers" $three) (result u32) (canon lift (core func $i "sum")))
      (func (export "next") (param "first" u32) (result $three)
        (canon lift (core func $i "next") (memory $i "memory"))))"#;
    let path = file(&dir, "fixed.wat", text);
    let call = |words: &str| program().arg("call").arg(&path).typed(words);
    assert_eq!(call("sum [1,2,3]").output(), "6\n");
    assert_eq!(call("next 7").output(), "7\n8\n9\n");
    assert_eq!(call("next 7 --format json").output(), "[7,8,9]\n");
    assert_eq!(call("next 7 --format wave").output(), "[7, 8, 9]\n");
    for wrong in ["[1,2]", "[1,2,3,4]", "7"] {
        call(&format!("sum {wrong}"))
            .fails(2)
            .expect_stderr_has(&["expected list<u32, 3>"]);
    }
    let module = Module::from_file(&path).expect("it is a module");
    let next = module.dynamic_function("next").expect("a function");
    let cluster = cluster(1);
    let view = cluster.load_balanced_view().blocking();
    let three = view.apply(&next, rwasm_cluster::arguments![1_u32]);
    let three = three.expect("a value");
    let wanted = [1_u32, 2, 3].map(Value::from).to_vec();
    assert_eq!(three, Value::List(wanted));
}
