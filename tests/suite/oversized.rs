//! Modules of a few bytes that stand for far more: what they come to is counted before it is made.

use rwasm_cluster::{LoadError, Module};
use std::fmt::Write as _;

/// A number as modules have it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn name(name: &str) -> Vec<u8> {
    [leb(name.len()), name.as_bytes().to_vec()].concat()
}

fn many(count: usize, item: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = leb(count);
    (0..count).for_each(|index| bytes.extend(item(index)));
    bytes
}

fn module(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    for (id, body) in sections {
        module.push(*id);
        module.extend(leb(body.len()));
        module.extend(body);
    }
    module
}

#[track_caller]
fn refused(module: Vec<u8>, wanted: &str) {
    match Module::from_bytes("large", module) {
        Err(LoadError::Invalid { message, .. }) => {
            assert!(message.contains(wanted), "{message}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is loaded"),
    }
}

const TOO_MUCH: &str = "take more than 64MiB";

#[test]
fn one_long_name_for_many_imports() {
    // The compact form has the name of the module once: 18 GB from 700 KB.
    let function = || [name(""), vec![0, 0]].concat();
    let group = [name(&"x".repeat(90_000)), name(""), vec![0x7f]].concat();
    let imports = [leb(1), group, many(200_000, |_| function())].concat();
    let types = many(1, |_| vec![0x60, 0, 0]);
    refused(module(&[(1, types), (2, imports)]), TOO_MUCH);
}

#[test]
fn one_type_of_a_thousand_parameters_for_many_functions() {
    let numbers = || many(1000, |_| vec![0x7f]);
    let types = many(1, |_| [vec![0x60], numbers(), numbers()].concat());
    let exports = many(20_000, |index| {
        [name(&format!("f{index}")), vec![0, 0]].concat()
    });
    let sections = [
        (1, types),
        (3, many(1, |_| vec![0])),
        (7, exports),
        (10, many(1, |_| vec![3, 0, 0, 0x0b])),
    ];
    refused(module(&sections), TOO_MUCH);
}

/// A component whose function gives pairs of pairs of pairs, so deep, of an enum with this case.
fn pairs(deep: usize, case: &str) -> Vec<u8> {
    let mut text =
        format!("(component (type $enum (enum \"{case}\")) (import \"e\" (type $t0 (eq $enum)))");
    for inner in 0..deep {
        let _ = write!(text, "(type $t{} (tuple $t{inner} $t{inner}))", inner + 1);
    }
    let _ = write!(
        text,
        "(import \"f\" (func $f (result $t{deep}))) (export \"e1\" (func $f)))"
    );
    text.into_bytes()
}

#[test]
fn types_that_hold_others_twice() {
    assert!(Module::from_bytes("pairs", pairs(12, "x")).is_ok());
    refused(pairs(12, &"x".repeat(50_000)), TOO_MUCH);
    // Far more, and refused by the validation of the binary.
    refused(pairs(60, "x"), "type size");
}

#[test]
fn types_that_are_nested_deep() {
    let mut text = "(component (type $t0 (list u32))".to_owned();
    for inner in 0..20_000 {
        let _ = write!(text, "(type $t{} (list $t{inner}))", inner + 1);
    }
    text.push_str("(import \"f\" (func (result $t20000))))");
    refused(text.into_bytes(), "nesting is too deep");
}

#[test]
fn many_exports_are_found_by_name() {
    // Each is looked for once: where that takes a walk through all, it takes minutes.
    let mut text = "(module (func $f (param i32))".to_owned();
    for export in 0..100_000 {
        let _ = write!(text, "(export \"e{export}\" (func $f))");
    }
    text.push(')');
    let module = Module::from_bytes("many", text.into_bytes()).expect("it is a module");
    assert_eq!(module.functions().len(), 100_000);
    for function in module.functions() {
        let found = module.signature(&function.name).expect("it is there");
        assert!(std::ptr::eq(found, function));
    }
}

#[test]
fn parsers_that_panic_refuse() {
    let seeds: [&[u8]; 2] = [
        include_bytes!("../fuzz/seeds/loader/worlds-that-do-not-merge.bin"),
        include_bytes!("../fuzz/seeds/loader/types-of-an-instance.bin"),
    ];
    for seed in seeds {
        let error = Module::from_bytes("odd", seed.to_vec()).expect_err("it is refused");
        assert!(
            error.to_string().starts_with("module `odd` is not valid: "),
            "{error}"
        );
    }
}

#[test]
fn an_error_repeats_the_beginning_of_a_long_line() {
    let text = format!(
        "(module (func (export \"{}\") (result i3)))",
        "é\0".repeat(100_000)
    );
    let error = Module::from_bytes("line", text.into_bytes()).expect_err("it is refused");
    let message = error.to_string();
    assert!(message.contains("line:1:"), "{message}");
    assert!(message.len() < 2000, "{} bytes", message.len());
}

#[test]
fn more_items_than_anybody_needs_are_not_walked() {
    // Each section says how many it has: 40 million types took 11 s and more than 1 GB.
    for section in [1, 2, 3, 7] {
        refused(
            module(&[(section, leb(40_000_000))]),
            "more than 2000000 items",
        );
    }
    // Those of modules in a component count together.
    let inner = |types| module(&[(1, many(types, |_| vec![0x60, 0, 0]))]);
    let of = |count| {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        for _ in 0..count {
            let inner = inner(700_000);
            component.push(1);
            component.extend(leb(inner.len()));
            component.extend(inner);
        }
        component
    };
    refused(of(3), "more than 2000000 items");
    // What is kept of types is bounded too.
    let types = many(100_000, |_| {
        [vec![0x60, 0xe8, 0x07], vec![0x7f; 1000], vec![0]].concat()
    });
    refused(module(&[(1, types)]), TOO_MUCH);
}
