//! The section of each function says of it what its signature says, in a form that wit-component reads and merges.

use rwasm_task::rt::{self, Function, Ty};
use rwasm_task::{Lift, Lower, Type, Typed};
use std::collections::{BTreeMap, HashMap};
use wit_component::WitPrinter;
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Resolve, SizeAlign, WorldId, WorldItem};

#[derive(Type)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Type)]
enum Shape {
    Empty,
    Circle(f32),
    Polygon(Vec<Point>),
    Label(String),
}

#[derive(Type)]
#[wit(name = "color")]
enum Farbe {
    Red,
    #[wit(name = "dark-green")]
    Green,
}

#[derive(Type)]
#[wit(flags)]
struct Style {
    bold: bool,
    r#async: bool,
}

#[derive(Type)]
struct HTTPRequest {
    first_shape: Shape,
    r#type: Option<Farbe>,
    style: Style,
    #[wit(name = "list")]
    inner: (Point, Box<u8>),
}

/// A module with these sections.
fn module(sections: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    for (name, data) in sections {
        let mut section = Vec::new();
        number(&mut section, name.len());
        section.extend(name.bytes().chain(data.iter().copied()));
        module.push(0);
        number(&mut module, section.len());
        module.extend(section);
    }
    module
}

fn number(bytes: &mut Vec<u8>, mut rest: usize) {
    while rest > 0x7f {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// The section of a function, with the number of its bytes left to where it is known while running.
fn section(function: &Function) -> (String, Vec<u8>) {
    const MOST: usize = 4096;
    let len = rt::export_len(function);
    assert!(len <= MOST);
    let name = format!("component-type:rwasm-task:{}", function.name);
    (name, rt::export::<MOST>(function)[..len].to_vec())
}

fn decoded(sections: &[(String, Vec<u8>)]) -> (Resolve, WorldId) {
    let (rest, bindgen) = wit_component::metadata::decode(&module(sections)).unwrap();
    assert!(rest.is_some());
    (bindgen.resolve, bindgen.world)
}

/// What the world that is made of the sections has in it.
fn printed(sections: &[(String, Vec<u8>)]) -> String {
    let (resolve, world) = decoded(sections);
    let mut printer = WitPrinter::default();
    let package = resolve.worlds[world].package.unwrap();
    printer.print(&resolve, package, &[]).unwrap();
    let text = printer.output.to_string();
    let (_, world) = text.split_once("world root {\n").unwrap();
    let lines = world.lines().map(str::trim);
    let lines: Vec<_> = lines
        .take_while(|line| !line.starts_with("package"))
        .collect();
    lines.join("\n").trim_end_matches(['\n', '}']).to_owned()
}

/// What a function of this name, type of parameter and type of result is.
const fn function<P: Lift, R: Lower>(name: &'static str) -> Function {
    Function {
        name,
        params: &["value"],
        types: const { &[rt::argument::<P>()] },
        result: rt::given::<R>(),
    }
}

#[test]
fn simple_types_are_said_in_wit() {
    type Names = (bool, i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, char);
    let functions = [
        function::<Names, ()>("scalars"),
        function::<String, Vec<u8>>("map"),
        function::<Option<Option<String>>, Result<(), String>>("nested"),
        function::<HashMap<String, u64>, BTreeMap<u8, Vec<char>>>("maps"),
        function::<Box<u8>, Result<u8, Typed<()>>>("bare"),
        function::<(u8,), Result<(), Typed<()>>>("barest"),
        function::<u8, Result<&'static str, std::fmt::Error>>("shown"),
    ];
    let expected = "\
export scalars: func(value: tuple<bool, s8, u8, s16, u16, s32, u32, s64, u64, f32, f64, char>);
export %map: func(value: string) -> list<u8>;
export nested: func(value: option<option<string>>) -> result<_, string>;
export maps: func(value: list<tuple<string, u64>>) -> list<tuple<u8, list<char>>>;
export bare: func(value: u8) -> result<u8>;
export barest: func(value: tuple<u8>) -> result;
export shown: func(value: u8) -> result<string, string>;";
    let found = printed(&functions.each_ref().map(section)).replace("\n\n", "\n");
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found.replace('%', ""), expected.replace('%', ""));
    }
    assert_eq!(found.lines().count(), 7);
}

#[test]
fn named_types_are_shared_by_functions() {
    let functions = [
        function::<HTTPRequest, Vec<Shape>>("request"),
        function::<Point, Farbe>("of-point"),
        function::<Style, (Style, Style)>("style"),
    ];
    let expected = "\
record point {
x: s32,
y: s32,
}
variant shape {
empty,
circle(f32),
polygon(list<point>),
label(string),
}
enum color {
red,
dark-green,
}
flags style {
bold,
%async,
}
record http-request {
first-shape: shape,
%type: option<color>,
style: style,
%list: tuple<point, u8>,
}

export request: func(value: http-request) -> list<shape>;
export of-point: func(value: point) -> color;
export style: func(value: style) -> tuple<style, style>;";
    let found = printed(&functions.each_ref().map(section));
    let plain = |text: &str| text.replace('%', "").replace("\n\n", "\n");
    assert_eq!(plain(&found), plain(expected));
}

#[test]
fn sections_of_others_are_merged_with_ours() {
    let mut resolve = Resolve::default();
    let wit = "package other:one; world w { record point { x: s32, y: s32 } export theirs: func(p: point); }";
    let package = resolve.push_str("other.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    let theirs = wit_component::metadata::encode(&resolve, world, encoding, None).unwrap();
    let sections = [
        section(&function::<Point, ()>("ours")),
        ("component-type:wit-bindgen".to_owned(), theirs),
    ];
    for sections in [sections.clone(), [sections[1].clone(), sections[0].clone()]] {
        let found = printed(&sections);
        assert_eq!(found.matches("record point").count(), 1, "{found}");
        assert!(
            found.contains("export ours: func(value: point);"),
            "{found}"
        );
        assert!(found.contains("export theirs: func(p: point);"), "{found}");
    }
}

/// Checks sizes, and how core values are passed, against wit-parser.
#[track_caller]
fn check_layout<P: Lift, R: Lower>() {
    let function = function::<P, R>("f");
    let (resolve, world) = decoded(&[section(&function)]);
    let Some(WorldItem::Function(found)) = resolve.worlds[world].exports.values().next() else {
        panic!("a function")
    };
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve);
    let ty = &found.params[0].ty;
    assert_eq!(P::TY.size(4), sizes.size(ty).size_wasm32(), "size");
    assert_eq!(P::TY.align(4), sizes.align(ty).align_wasm32(), "alignment");
    let signature = resolve.wasm_signature(AbiVariant::GuestExport, found);
    let flat = Ty::Tuple(function.types).flat_of(4);
    let kinds: Vec<u8> = signature
        .params
        .iter()
        .map(|ty| match ty {
            WasmType::I32 | WasmType::Pointer | WasmType::Length => 1,
            WasmType::I64 | WasmType::PointerOrI64 => 2,
            WasmType::F32 => 3,
            WasmType::F64 => 4,
        })
        .collect();
    assert_eq!(flat.len > 16, signature.indirect_params);
    if !signature.indirect_params {
        assert_eq!(flat.kinds[..flat.len], kinds);
    }
    let result = function.result.flat_of(4);
    assert_eq!(result.len > 1, signature.retptr);
}

#[test]
fn layouts_are_those_of_the_canonical_abi() {
    type Eight = (u64, f32, String, Vec<u8>, Option<f64>, char, bool);
    check_layout::<u8, u8>();
    check_layout::<(u8, u64, u16), (f32,)>();
    check_layout::<Shape, Option<Shape>>();
    check_layout::<Option<Shape>, Farbe>();
    check_layout::<HTTPRequest, Style>();
    check_layout::<Point, Point>();
    check_layout::<Eight, Vec<Eight>>();
    check_layout::<(Eight, Eight), ()>();
    check_layout::<Result<f32, String>, Result<(), Typed<()>>>();
    check_layout::<Result<f32, Typed<f64>>, Result<u8, String>>();
    check_layout::<Result<(f32, f64), Typed<(f32, f32, u8)>>, u64>();
    check_layout::<Option<Option<Option<u64>>>, f64>();
    check_layout::<Vec<Vec<HTTPRequest>>, String>();
}
