//! `inspect`: what a module is, for people, as WIT or as JSON, and whether it can run. Nothing of it is run or compiled.

use crate::args::{InspectArguments, InspectFormat};
use crate::exit::CliError;
use crate::output::stdout::print;
use crate::pipeline::read_module;
use crate::text::{bytes, json_document, shell_word};
use rwasm_cluster::format::to_wave;
use rwasm_cluster::plain::{in_line, visible};
use rwasm_cluster::{
    Abi, ByteSize, Form, Function, JobSpec, Limits, LoadError, Merge, Module, Type, Value,
};
use serde_json::json;
use std::fmt::Write as _;

/// Shows a module.
pub(crate) fn inspect(arguments: &InspectArguments) -> Result<(), CliError> {
    let module = read_module(
        &arguments.module,
        &Limits::default(),
        arguments.abi.as_ref(),
    )?;
    // What stands in the way of a module that is valid.
    let hindrance = match module.check() {
        Ok(()) => None,
        Err(LoadError::Unsupported { message, .. }) => Some(message),
        Err(error) => return Err(CliError::Load(error)),
    };
    let examples = Examples {
        module: &module,
        abi: arguments.abi.as_ref(),
        cannot_run: hindrance.is_some(),
    };
    let text = match arguments.format {
        InspectFormat::Text => text(&module, hindrance.as_deref(), &examples),
        // Its comments may be any text.
        InspectFormat::Wit => visible(&module.wit().map_err(CliError::Load)?),
        InspectFormat::Json => json(&module, hindrance.as_deref(), &examples),
    };
    print(&text)
}

fn kind(module: &Module) -> &'static str {
    if module.is_component() {
        "component"
    } else {
        "core module"
    }
}

/// Command lines that use the module.
struct Examples<'a> {
    module: &'a Module,
    /// The ABI that was given on the command line, and has to be given again.
    abi: Option<&'a Abi>,
    /// There are none then.
    cannot_run: bool,
}

/// The most parts that the arguments of an example have together.
const LONGEST: u64 = 100;

/// How many parts a small value of a type has.
fn parts(ty: &Type) -> u64 {
    let side = |ty: &Option<Type>| ty.as_ref().map_or(1, parts);
    match ty {
        Type::FixedList(list) => parts(&list.0).saturating_mul(list.1.into()),
        Type::List(inner) | Type::Option(inner) => parts(inner),
        Type::Map(types) => parts(&types.0).saturating_add(parts(&types.1)),
        Type::Tuple(types) => types.iter().map(parts).fold(0, u64::saturating_add),
        Type::Record(fields) => {
            let fields = fields.iter().map(|field| parts(&field.ty));
            fields.fold(0, u64::saturating_add)
        }
        Type::Variant(cases) => cases.first().map_or(1, |case| side(&case.ty)),
        Type::Result(sides) => side(&sides.ok),
        _ => 1,
    }
}

impl Examples<'_> {
    /// How the module is run on a file, if it has what `run` needs.
    fn run(&self) -> Option<String> {
        let name = shell_word(self.module.name());
        let more = self.options();
        let run =
            |options: &str| Some(format!("rwasm-cluster run {name}{options}{more} input.txt"));
        if self.module.form() == Form::Command || JobSpec::default().merge_for(self.module).is_ok()
        {
            return run("");
        }
        let mut functions = self.module.functions().iter();
        let function = functions.find(|function| can_be_mapped(self.module, function))?;
        run(&format!(" --map {}", shell_word(&function.name)))
    }

    /// How a function is called, with arguments that are of the right types: of those that take any the one that is told in
    /// the fewest words.
    fn call(&self) -> Option<String> {
        let functions = self.module.functions().iter().filter(|function| {
            let parts = function.params.iter().map(|(_, ty)| parts(ty));
            parts.fold(0, u64::saturating_add) <= LONGEST
        });
        let function =
            functions.min_by_key(|one| (one.params.is_empty(), one.to_string().len()))?;
        let name = shell_word(&function.name);
        let module = shell_word(self.module.name());
        let mut line = format!("rwasm-cluster call {module} {name}");
        for (_, ty) in &function.params {
            let text = match sample(ty) {
                Value::String(text) => text,
                Value::Char(character) => character.to_string(),
                Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                value => to_wave(&value),
            };
            line = line + " " + &shell_word(&text);
        }
        Some(line + &self.options())
    }

    /// Those that have to be given again, and those that it needs.
    fn options(&self) -> String {
        let abi = self
            .abi
            .map(|abi| format!(" --abi {}", shell_word(&abi.to_string())));
        let limits = limits_needed(self.module)
            .into_iter()
            .map(|option| format!(" {option}"));
        abi.into_iter().chain(limits).collect()
    }

    /// Those there are, the one of `run` first.
    fn all(&self) -> Vec<String> {
        let examples: Vec<String> = [self.run(), self.call()].into_iter().flatten().collect();
        if self.cannot_run {
            return vec!["none: it cannot run".to_owned()];
        }
        if examples.is_empty() {
            let why = match self.module.functions() {
                [] => "none: it has no function",
                _ => "none: its functions take more than fits in a line",
            };
            return vec![why.to_owned()];
        }
        examples
    }
}

/// A small value of a type.
fn sample(ty: &Type) -> Value {
    match ty {
        Type::Bool => true.into(),
        Type::S8 => 1_i8.into(),
        Type::U8 => 1_u8.into(),
        Type::S16 => 1_i16.into(),
        Type::U16 => 1_u16.into(),
        Type::S32 => 1_i32.into(),
        Type::U32 => 1_u32.into(),
        Type::S64 => 1_i64.into(),
        Type::U64 => 1_u64.into(),
        Type::F32 => 1.5_f32.into(),
        Type::F64 => 1.5_f64.into(),
        Type::Char => 'a'.into(),
        Type::String => "some words".into(),
        Type::List(_) if ty.is_bytes() => b"some words".to_vec().into(),
        Type::List(element) => Value::List(vec![sample(element)]),
        Type::FixedList(list) => Value::List((0..list.1).map(|_| sample(&list.0)).collect()),
        Type::Tuple(types) => Value::Tuple(types.iter().map(sample).collect()),
        Type::Record(fields) => {
            let field = |field: &rwasm_cluster::Field| (field.name.clone(), sample(&field.ty));
            Value::Record(fields.iter().map(field).collect())
        }
        Type::Variant(cases) => cases.first().map_or(Value::Bool(true), |case| {
            let carried = case.ty.as_ref().map(|ty| Box::new(sample(ty)));
            Value::Variant(case.name.clone(), carried)
        }),
        Type::Enum(names) => {
            let name = names.first().cloned();
            name.map_or(Value::Bool(true), Value::Enum)
        }
        Type::Flags(names) => Value::Flags(names.first().cloned().into_iter().collect()),
        Type::Option(inner) => Value::Option(Some(Box::new(sample(inner)))),
        Type::Result(sides) => {
            let carried = sides.ok.as_ref().map(|ty| Box::new(sample(ty)));
            Value::Result(Ok(carried))
        }
        Type::Map(pair) => Value::Map(vec![(sample(&pair.0), sample(&pair.1))]),
    }
}

/// How to print its WIT, or that it has none.
fn wit_note(module: &Module) -> String {
    if module.has_wit() {
        "shown by --format wit".to_owned()
    } else {
        "none of its own; --format wit describes it".to_owned()
    }
}

/// How its plain functions take bytes, or how they may.
fn abi_note(module: &Module) -> Option<String> {
    match (module.abi(), module.likely_abi()) {
        (Some(abi), _) => Some(abi.to_string()),
        (None, Some("assemblyscript")) => Some(
            "numbers; it has the runtime of AssemblyScript, so an s32 may be a string: try --abi assemblyscript".to_owned(),
        ),
        (None, Some(likely)) => Some(format!(
            "numbers; it has an allocator, so pairs of s32 may be pointers and lengths: try --abi {likely}"
        )),
        (None, None) => None,
    }
}

/// What it may use, with the options that grant it.
fn needs(module: &Module) -> String {
    let needs = module.needs().into_iter().map(|need| match need.option() {
        Some(option) => format!("{need} ({option})"),
        None => need.to_string(),
    });
    let needs: Vec<String> = needs.collect();
    if needs.is_empty() {
        return "nothing but its input".to_owned();
    }
    needs.join(", ")
}

/// Options that raise the limits that it exceeds before anything of it runs.
fn limits_needed(module: &Module) -> Vec<String> {
    let limits = Limits::default();
    let mut options = Vec::new();
    let memory = ByteSize::new(module.initial_memory());
    if memory > limits.memory {
        options.push(format!("--memory {memory}"));
    }
    let elements = module.initial_table_elements();
    if elements > limits.table_elements as u64 {
        options.push(format!("--limit table-elements={elements}"));
    }
    options
}

fn can_be_mapped(module: &Module, function: &Function) -> bool {
    let mut spec = JobSpec::default();
    spec.map = Some(function.name.clone());
    spec.merge = Merge::None;
    spec.merge_for(module).is_ok()
}

fn text(module: &Module, hindrance: Option<&str>, examples: &Examples<'_>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<10} {}", in_line(value));
    };
    line("module", module.name());
    line("form", &format!("{}, {}", module.form(), kind(module)));
    line("size", &bytes(module.size()));
    line("sha-256", &module.hash().to_string());
    match module.functions() {
        [] => line("functions", "none callable"),
        functions => {
            let mut name = "functions";
            for function in functions {
                line(name, &function.to_string());
                name = "";
            }
        }
    }
    let mut name = "not called";
    for function in module.uncallable() {
        line(name, &format!("{function}  ({})", function.reason));
        name = "";
    }
    match module.imports() {
        [] => line("imports", "none"),
        imports => {
            let mut name = "imports";
            for import in imports {
                let missing = if import.offered {
                    ""
                } else {
                    "  (not offered: a task that calls it fails)"
                };
                // An interface of a component has no name in it.
                let asked = format!("{} {}", import.module, import.name);
                line(name, &format!("{}{missing}", asked.trim_end()));
                name = "";
            }
        }
    }
    if let Some(why) = hindrance {
        line("cannot run", why);
    }
    line("wit", &wit_note(module));
    if let Some(abi) = abi_note(module) {
        line("abi", &abi);
    }
    line("may use", &needs(module));
    let limits = limits_needed(module);
    if !limits.is_empty() {
        line("needs", &format!("{} to begin with", limits.join(" ")));
    }
    let mut name = "example";
    for example in examples.all() {
        line(name, &example);
        name = "";
    }
    text
}

fn json(module: &Module, hindrance: Option<&str>, examples: &Examples<'_>) -> String {
    let functions: Vec<_> = module
        .functions()
        .iter()
        .map(|function| {
            json!({
                "name": function.name,
                "params": function.params.iter().map(|(name, ty)| json!({
                    "name": name,
                    "type": ty.to_string(),
                })).collect::<Vec<_>>(),
                "result": function.result.as_ref().map(ToString::to_string),
                "wit": function.to_string(),
            })
        })
        .collect();
    let imports: Vec<_> = module
        .imports()
        .iter()
        .map(|import| json!({"module": import.module, "name": import.name, "offered": import.offered}))
        .collect();
    let uncallable: Vec<_> = module
        .uncallable()
        .iter()
        .map(|function| {
            json!({
                "name": function.name,
                "wit": function.to_string(),
                "reason": function.reason,
            })
        })
        .collect();
    let document = json!({
        "module": module.name(),
        "form": module.form().name(),
        "kind": kind(module),
        "size": module.size(),
        "sha256": module.hash().to_string(),
        "functions": functions,
        "uncallable": uncallable,
        "imports": imports,
        "cannot_run": hindrance,
        // What cannot be printed as WIT may still be run.
        "wit": module.wit().ok(),
        "needs": limits_needed(module),
        "may_use": module.needs().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "abi": module.abi().map(ToString::to_string),
        "likely_abi": module.likely_abi(),
        "example": examples.all().first(),
        "example_call": examples.call().filter(|_| !examples.cannot_run),
    });
    json_document(&document)
}
