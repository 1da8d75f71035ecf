//! `lowering`: a value of any type goes into a guest and comes out again, the same on the core module and through a
//! component.
//!
//! The guest is made for the type, and has functions for every way a value can cross. In `echo` the parameters are so
//! many that they lie in memory, in the layout of the result: it gives back the place it was given. `flat` writes down
//! the core values it was called with, where none of them is a place in memory; `same` returns the only one.

use crate::tasks::cluster;
use crate::types::{Wit, any_type, value_of};
use crate::{Fuzz, Target, bytes};
use arbitrary::Unstructured;
use fastrand::Rng;
use rwasm_cluster::{
    ApplyError, Argument, Cluster, LoadError, Lowering, Module, SubmitError, Type, Value,
};
use std::fmt::Write as _;
use wit_parser::Resolve;
use wit_parser::abi::{AbiVariant, WasmType};

pub(crate) const TARGET: Target = Target {
    name: "lowering",
    about: "values of all types into a guest and back, on the core module and through a component",
    runs: 700,
    start: || {
        Box::new(Lowered {
            clusters: [Lowering::Core, Lowering::Component].map(cluster),
        })
    },
};

/// Values of each type.
const VALUES: usize = 6;

/// More core values than are passed as such.
const MANY: usize = 17;

struct Lowered {
    clusters: [Cluster; 2],
}

impl Fuzz for Lowered {
    fn input(&mut self, random: &mut Rng) -> Vec<u8> {
        bytes::random(random, 1024)
    }

    fn run(&mut self, input: &[u8]) {
        let mut bytes = Unstructured::new(input);
        let ty = any_type(&mut bytes).expect("bytes that are used up are zeros");
        let module =
            Module::from_bytes("echo", guest(&ty)).unwrap_or_else(|error| panic!("{ty}: {error}"));
        for _ in 0..VALUES {
            let value = value_of(&mut bytes, &ty).expect("bytes that are used up are zeros");
            for function in module.functions() {
                let argument = match &*function.name {
                    "echo" => filled(value.clone()),
                    _ => value.clone(),
                };
                let results = self
                    .clusters
                    .each_ref()
                    .map(|cluster| call(cluster, &module, &function.name, &argument));
                let [Some(core), Some(component)] = results else {
                    // Refused both ways, or neither.
                    return;
                };
                assert_eq!(core, component, "{} of {ty}", function.name);
                if function.name != "flat" {
                    assert_eq!(core, argument, "{} of {ty}", function.name);
                }
            }
        }
    }
}

/// The result; none where the module is refused.
fn call(cluster: &Cluster, module: &Module, function: &str, argument: &Value) -> Option<Value> {
    let view = cluster.load_balanced_view().blocking();
    let function = module.dynamic_function(function).expect("it is there");
    match view.apply(&function, vec![Argument::Value(argument.clone())]) {
        Ok(value) => Some(value),
        // The component model has types that this wasmtime does not.
        Err(ApplyError::Refused(SubmitError::Load(LoadError::Invalid { message, .. })))
            if message.contains("map") =>
        {
            None
        }
        Err(error) => panic!("{}: {error}", function.signature()),
    }
}

/// The value with as many others beside it as `echo` wants.
fn filled(value: Value) -> Value {
    let others = (0..).map(Value::U64).take(MANY);
    Value::Tuple(std::iter::once(value).chain(others).collect())
}

/// A guest for values of this type.
pub(crate) fn guest(ty: &Type) -> Vec<u8> {
    let mut wit = Wit::default();
    let name = wit.name(ty);
    let many = format!("tuple<{name}{}>", ", u64".repeat(MANY));
    let wit = format!(
        "package a:b;\nworld w {{\n{}\n\
         export echo: func(v: {many}) -> {many};\n\
         export flat: func(v: {name}) -> list<u64>;\n\
         export same: func(v: {name}) -> {name};\n}}",
        wit.declared
    );
    typed(&wit, |resolve, function| {
        let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
        let params = &signature.params;
        Some(match &*function.name {
            "echo" => "(param i32) (result i32) local.get 0".to_owned(),
            // What is in memory may lie anywhere.
            "flat"
                if signature.indirect_params
                    || params.contains(&WasmType::Pointer)
                    || params.contains(&WasmType::PointerOrI64) =>
            {
                return None;
            }
            "flat" => flat(params),
            // A result counts as what is in it.
            _ if matches!(ty, Type::Result(_)) => return None,
            _ if signature.retptr || signature.indirect_params => return None,
            _ => format!("(param {0}) (result {0}) local.get 0", core(params[0])),
        })
    })
}

/// Writes what it is called with to memory, and gives a list of it.
fn flat(params: &[WasmType]) -> String {
    let mut body = String::new();
    if !params.is_empty() {
        body += "(param";
        for ty in params {
            let _ = write!(body, " {}", core(*ty));
        }
        body += ")";
    }
    body += "(result i32)";
    for (index, ty) in params.iter().enumerate() {
        let widened = match core(*ty) {
            "i32" => "i64.extend_i32_u",
            "f32" => "i64.extend_i32_u (i32.reinterpret_f32",
            "f64" => "i64.reinterpret_f64",
            _ => "",
        };
        let close = if widened.contains('(') { ")" } else { "" };
        let got = if widened.is_empty() {
            format!("(local.get {index})")
        } else {
            format!("({widened} (local.get {index})){close}")
        };
        let _ = write!(
            body,
            "(i64.store offset={} (i32.const 0) {got})",
            64 + 8 * index
        );
    }
    let _ = write!(
        body,
        "(i32.store (i32.const 16) (i32.const 64)) (i32.store (i32.const 20) (i32.const {})) (i32.const 16)",
        params.len()
    );
    body
}

fn core(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}

/// A typed core module: the functions that `wit` exports, each with the type and the body that are given for it, but
/// for those that are given none.
pub(crate) fn typed(
    wit: &str,
    body: impl Fn(&Resolve, &wit_parser::Function) -> Option<String>,
) -> Vec<u8> {
    let parse = |wit: &str| {
        let mut resolve = Resolve::default();
        let package = resolve
            .push_str("guest.wit", wit)
            .unwrap_or_else(|error| panic!("{wit}: {error:#}"));
        let world = resolve.select_world(&[package], None).expect("one world");
        (resolve, world)
    };
    let (mut resolve, world) = parse(wit);
    let mut functions = String::new();
    let mut left_out = Vec::new();
    for (key, item) in &resolve.worlds[world].exports {
        let wit_parser::WorldItem::Function(function) = item else {
            continue;
        };
        match body(&resolve, function) {
            Some(body) => {
                let _ = writeln!(functions, "(func (export \"{}\") {body})", function.name);
            }
            None => left_out.push(key.clone()),
        }
    }
    for key in left_out {
        resolve.worlds[world].exports.shift_remove(&key);
    }
    let text = format!(
        "(module
            (memory (export \"memory\") 64)
            (global $next (mut i32) (i32.const 4096))
            (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                (local $place i32)
                (local.set $place (i32.and
                    (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get 2))))
                (global.set $next (i32.add (local.get $place) (local.get 3)))
                (local.get $place))
            {functions})"
    );
    let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        wit_component::StringEncoding::UTF8,
    )
    .expect("the world can be embedded");
    module
}
