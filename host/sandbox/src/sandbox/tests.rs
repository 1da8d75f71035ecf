//! The hand-spoken canonical ABI against itself, against hostile memory, and against the
//! component model's own calls.

use super::module::has_fixed_list;
use super::*;
use crate::arbitrary::{any_typed, value_of};
use crate::cancel::Cancel;
use crate::limits::Limits;
use crate::sandbox::abi::{
    GuestMemory, Layout, LiftError, Signature, Waits, lift_result, lower_params,
};
use proptest::prelude::*;
use rwasm_value::ids::{EngineId, TenantId};
use rwasm_value::value::codec::Reader;
use rwasm_value::value::{Packed, PackedArgument, Type, Value};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use wasmtime::{Engine, Instance, Memory, Store, TypedFunc, Val};
use wit_parser::{Resolve, SizeAlign, WorldItem};

/// WIT has no records, variants and the like in place: each gets a name of its own.
#[derive(Default)]
struct Names {
    declared: String,
    known: HashMap<Type, String>,
}

impl Names {
    fn name(&mut self, ty: &Type) -> String {
        if let Some(name) = self.known.get(ty) {
            return name.clone();
        }
        let written = match ty {
            Type::List(element) => format!("list<{}>", self.name(element)),
            Type::FixedList(list) => format!("list<{}, {}>", self.name(&list.0), list.1),
            Type::Option(inner) => format!("option<{}>", self.name(inner)),
            Type::Map(entry) => format!("map<{}, {}>", self.name(&entry.0), self.name(&entry.1)),
            Type::Tuple(fields) => {
                let fields: Vec<String> = fields.iter().map(|ty| self.name(ty)).collect();
                format!("tuple<{}>", fields.join(", "))
            }
            Type::Result(sides) => {
                let mut side =
                    |ty: Option<&Type>| ty.map_or_else(|| "_".to_owned(), |ty| self.name(ty));
                let (ok, err) = (side(sides.ok.as_ref()), side(sides.err.as_ref()));
                match (ok.as_str(), err.as_str()) {
                    ("_", "_") => "result".to_owned(),
                    (_, "_") => format!("result<{ok}>"),
                    _ => format!("result<{ok}, {err}>"),
                }
            }
            Type::Record(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|f| format!("%{}: {}", f.name, self.name(&f.ty)))
                    .collect();
                self.declare(&format!("record % {{ {} }}", fields.join(", ")))
            }
            Type::Variant(cases) => {
                let cases: Vec<String> = cases
                    .iter()
                    .map(|case| match &case.ty {
                        Some(ty) => format!("%{}({})", case.name, self.name(ty)),
                        None => format!("%{}", case.name),
                    })
                    .collect();
                self.declare(&format!("variant % {{ {} }}", cases.join(", ")))
            }
            Type::Enum(names) => self.declare(&format!("enum % {{ %{} }}", names.join(", %"))),
            Type::Flags(names) => self.declare(&format!("flags % {{ %{} }}", names.join(", %"))),
            scalar => scalar.to_string(),
        };
        self.known.insert(ty.clone(), written.clone());
        written
    }

    fn declare(&mut self, declaration: &str) -> String {
        let name = format!("t{}", self.known.len());
        let named = declaration.replacen(" % ", &format!(" {name} "), 1);
        writeln!(self.declared, "{named}").expect("written to a string");
        name
    }
}

/// How a function that takes and gives a `ty` is called.
fn signature(ty: &Type) -> Signature {
    let mut names = Names::default();
    let name = names.name(ty);
    let wit = format!(
        "package a:b;\nworld w {{\n{}\nexport f: func(v: {name}) -> {name};\n}}",
        names.declared
    );
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("test.wit", &wit)
        .unwrap_or_else(|error| panic!("{wit}: {error:#}"));
    let world = resolve.select_world(&[package], None).expect("one world");
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve);
    let function = resolve.worlds[world]
        .exports
        .values()
        .find_map(|item| match item {
            WorldItem::Function(function) => Some(function),
            _ => None,
        })
        .expect("one function");
    Signature::of(&resolve, &sizes, function).expect("every type can cross")
}

/// A guest that does nothing but make room, each time behind the last.
struct Room {
    store: Store<()>,
    memory: Memory,
    realloc: TypedFunc<(u32, u32, u32, u32), u32>,
}

impl Room {
    fn new() -> Self {
        const GUEST: &str = r#"(module
            (memory (export "memory") 64)
            (global $next (mut i32) (i32.const 16))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $place i32)
                (local.set $place (i32.and
                    (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get 2))))
                (global.set $next (i32.add (local.get $place) (local.get 3)))
                (local.get $place)))"#;
        let engine = Engine::default();
        let binary = wat::parse_str(GUEST).expect("valid text");
        let module = wasmtime::Module::new(&engine, binary).expect("a module");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        let memory = instance.get_memory(&mut store, "memory").expect("a memory");
        let realloc = instance
            .get_typed_func(&mut store, "cabi_realloc")
            .expect("a function");
        Self {
            store,
            memory,
            realloc,
        }
    }

    /// Lowers a value into the guest and gives its place.
    fn lower(&mut self, layouts: &[Layout], value: &Packed) -> u32 {
        let realloc = Some(self.realloc.clone());
        let mut guest = GuestMemory::new(&mut self.store, Some(self.memory), realloc, Waits::Never);
        lower_params(
            &mut guest,
            layouts,
            [Reader::new(value.payload())].into_iter(),
        )
        .expect("a value can be lowered")
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_lowered_is_lifted_again((ty, value) in any_typed()) {
        // Only components have these.
        prop_assume!(!has_fixed_list(&ty));
        let packed = Packed::pack(&value, &ty).expect("the value is of its type");
        let signature = signature(&ty);
        let mut room = Room::new();
        let place = room.lower(&signature.params, &packed);
        let memory = room.memory.data(&room.store);
        let returned = Val::I32(place.cast_signed());
        let layout = signature.result.as_ref().expect("a result");
        let lifted = lift_result(memory, layout, true, &returned, 1 << 20).expect("lifted");
        prop_assert_eq!(&lifted[..], &packed.payload()[..]);
    }

    #[test]
    fn hostile_memory_is_refused_or_lifted_within_the_limit(
        (ty, _) in any_typed(),
        memory in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..512),
        place in prop_oneof![0_u32..600, any::<u32>()],
        limit in 0_u64..300,
    ) {
        prop_assume!(!has_fixed_list(&ty));
        let signature = signature(&ty);
        let layout = signature.result.as_ref().expect("a result");
        let returned = Val::I32(place.cast_signed());
        if let Ok(lifted) = lift_result(&memory, layout, true, &returned, limit) {
            prop_assert!(lifted.len() as u64 <= limit);
            let packed = Packed::from_payload(ty.clone(), lifted.into());
            let value = packed.unpack().expect("what is lifted is well formed");
            prop_assert_eq!(Packed::pack(&value, &ty).expect("of its type"), packed);
        }
    }
}

#[test]
fn strings_that_overlap_do_not_grow_past_the_limit() {
    // A list of 1000 strings, each the same 60 KiB: 60 MB out of 64 KiB.
    let mut memory = vec![b'x'; 64 << 10];
    for idx in 0..500 {
        memory[16 + idx * 8..][..4].copy_from_slice(&4096_u32.to_le_bytes());
        memory[16 + idx * 8 + 4..][..4].copy_from_slice(&60_000_u32.to_le_bytes());
    }
    memory[..4].copy_from_slice(&16_u32.to_le_bytes());
    memory[4..8].copy_from_slice(&500_u32.to_le_bytes());
    let signature = signature(&Type::list(Type::String));
    let layout = signature.result.as_ref().expect("a result");
    let lifted = lift_result(&memory, layout, true, &Val::I32(0), 1 << 20);
    assert_eq!(lifted, Err(LiftError::TooLarge));
}

/// Where `cargo xtask guests` puts the guests.
pub(super) fn guest(name: &str) -> Module {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")),
        PathBuf::from,
    );
    let path = target.join("guests").join(name);
    Module::from_file(&path)
        .unwrap_or_else(|error| panic!("{error}: build the guests with `cargo xtask guests`"))
}

fn echo(
    runner: &Runner,
    program: &Program,
    function: usize,
    value: &Packed,
) -> Result<Packed, String> {
    let arguments = Arguments::Values(vec![value.clone()]);
    call(runner, program, Callee::Function(function), &arguments)
}

fn call(
    runner: &Runner,
    program: &Program,
    callee: Callee,
    arguments: &Arguments,
) -> Result<Packed, String> {
    let setting = Setting::under(Limits::default());
    let cancel = Cancel::default();
    let surroundings = Surroundings::of(EngineId(0));
    let request = Request {
        callee,
        arguments,
        setting: &setting,
        cancel: &cancel,
        surroundings: &surroundings,
    };
    runner
        .run(program, &request, &mut None)
        .result
        .map_err(|failure| failure.to_string())
}

#[test]
fn both_lowerings_give_what_was_sent() {
    let module = guest("faulty.wasm");
    let function = module
        .functions()
        .iter()
        .position(|function| function.name == "everything")
        .expect("the echo of every type");
    let ty = module.functions()[function].params[0].1.clone();
    let programs: Vec<(Sandbox, Program)> = [Lowering::Core, Lowering::Component]
        .into_iter()
        .map(|lowering| {
            let sandbox = Sandbox::new(
                1,
                VariantKey::of(&Limits::default(), false),
                CodeSource::default(),
                lowering,
                false,
                HostFunctions::new(),
            )
            .expect("a sandbox");
            let program = sandbox
                .program(
                    &module,
                    VariantKey::of(&Limits::default(), false),
                    &Limits::default(),
                    TenantId(0),
                )
                .expect("a program");
            (sandbox, program)
        })
        .collect();
    let runner = Runner::new().expect("a runner");
    let config = ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut values = proptest::test_runner::TestRunner::new(config);
    let check = |value: Value| {
        let packed = Packed::pack(&value, &ty).expect("the value is of its type");
        for (_, program) in &programs {
            let came_back = echo(&runner, program, function, &packed);
            prop_assert_eq!(came_back.as_ref(), Ok(&packed));
        }
        Ok(())
    };
    values
        .run(&value_of(&ty), check)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Calls a function whose types were checked.
fn call_typed<P: rwasm_value::value::Params, R: rwasm_value::value::FromWit>(
    callable: &Callable<P, R>,
    params: P::At<'_>,
) -> Result<Packed, String> {
    let sandbox = Sandbox::new(
        1,
        VariantKey::of(&Limits::default(), false),
        CodeSource::default(),
        Lowering::Core,
        false,
        HostFunctions::new(),
    )
    .expect("a sandbox");
    let program = sandbox
        .program(
            callable.module(),
            VariantKey::of(&Limits::default(), false),
            &Limits::default(),
            TenantId(0),
        )
        .expect("a program");
    let packed = callable.pack(params).map_err(|error| error.to_string())?;
    let value = |argument| match argument {
        PackedArgument::Value(packed) => packed,
        PackedArgument::Reference { name, .. } => panic!("nothing was pushed as {name}"),
    };
    let arguments = Arguments::Values(packed.into_iter().map(value).collect());
    let runner = Runner::new().expect("a runner");
    call(&runner, &program, callable.callee(), &arguments)
}

#[test]
fn typed_word_counts_are_what_values_are() {
    let module = guest("wordcount.wasm");
    let mapper = module
        .function::<(&str,), Vec<(String, u64)>>("mapper")
        .expect("the types are those of the word count");
    let text = "rain river rain\nsea river rain\n".to_owned();
    let packed = call_typed(&mapper, (&text,)).expect("the words are counted");
    assert_eq!(packed.ty(), &mapper.value_type());

    let counts = packed
        .unpack_as::<Vec<(String, u64)>>()
        .expect("the type fits");
    assert!(counts.contains(&("rain".to_owned(), 3)), "{counts:?}");
    let values = counts.into_iter().map(Value::from).collect();
    assert_eq!(packed.unpack(), Ok(Value::List(values)));

    let dynamic = module.dynamic_function("mapper").expect("it is there");
    let again = call_typed(&dynamic, rwasm_value::arguments![text]).expect("the words are counted");
    assert_eq!(again, packed);
}

#[test]
fn an_error_that_a_typed_function_returns_is_the_failure_of_its_task() {
    let module = guest("faulty.wasm");
    let mapper = module
        .function::<&str, u64>("mapper")
        .expect("of result<u64, string>");
    let packed = call_typed(&mapper, "one\ntwo\n").expect("two lines");
    assert_eq!(packed.unpack_as::<u64>(), Ok(2));
    let error = call_typed(&mapper, "one\nrefuse\n").expect_err("the guest returns an error");
    assert!(error.contains("refused: line 2"), "{error}");
}
