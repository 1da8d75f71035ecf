//! `inspect`: what a module is, for people or as JSON. Nothing of it is run or compiled.

use super::args::{InspectArguments, InspectFormat};
use super::exit::{CliError, visible};
use rwasm_cluster::{ByteSize, Form, Function, JobSpec, Merge, Module};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;

/// Shows a module.
pub(crate) fn inspect(arguments: &InspectArguments) -> Result<(), CliError> {
    let module = Module::from_file(&arguments.module).map_err(CliError::Load)?;
    let text = match arguments.format {
        InspectFormat::Text => text(&module),
        InspectFormat::Json => json(&module),
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(CliError::OutputClosed),
        Err(source) => Err(CliError::Output {
            what: "stdout".to_owned(),
            source,
        }),
    }
}

fn kind(module: &Module) -> &'static str {
    if module.is_component() {
        "component"
    } else {
        "core module"
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "_-./+,:@%=".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// How the module is used, on its own file.
fn example(module: &Module) -> String {
    let name = quoted(module.name());
    let run = |options: &str| format!("rwasm-cluster run {name}{options} input.txt");
    if module.form() == Form::Command {
        return run("");
    }
    match JobSpec::default().merge_for(module) {
        Ok(_) => run(""),
        Err(_) => match module
            .functions()
            .iter()
            .find(|function| can_be_mapped(module, function))
        {
            Some(function) => run(&format!(" --map {}", function.name)),
            None => "none: no function takes one string or list<u8>, as `run` needs".to_owned(),
        },
    }
}

fn can_be_mapped(module: &Module, function: &Function) -> bool {
    let mut spec = JobSpec::default();
    spec.map = Some(function.name.clone());
    spec.merge = Merge::None;
    spec.merge_for(module).is_ok()
}

fn text(module: &Module) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<10} {}", visible(value));
    };
    line("module", module.name());
    line("form", &format!("{}, {}", module.form(), kind(module)));
    line(
        "size",
        &format!("{} bytes ({})", module.size(), ByteSize::new(module.size())),
    );
    line("sha-256", &module.hash().to_string());
    match module.functions() {
        [] => line("functions", "none that could be called"),
        functions => {
            let mut name = "functions";
            for function in functions {
                line(name, &function.to_string());
                name = "";
            }
        }
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
                line(name, &format!("{} {}{missing}", import.module, import.name));
                name = "";
            }
        }
    }
    line("example", &example(module));
    text
}

fn json(module: &Module) -> String {
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
    let document = json!({
        "module": module.name(),
        "form": module.form().name(),
        "kind": kind(module),
        "size": module.size(),
        "sha256": module.hash().to_string(),
        "functions": functions,
        "imports": imports,
        "example": example(module),
    });
    format!("{document:#}\n")
}
