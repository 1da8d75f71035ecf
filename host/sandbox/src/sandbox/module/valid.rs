//! Checks whether a module can run, as far as possible without compiling it, for programs with
//! remote engines, which compile it. An engine may still refuse a module that passes.

use super::Module;
use super::foreign::contained;
use super::imports;
use super::load::LoadError;
use wasmparser::types::EntityType;
use wasmparser::{Validator, WasmFeatures};

/// Validates all its code.
pub(in crate::sandbox) fn check(module: &Module) -> Result<(), LoadError> {
    contained(|| validate(module)).map_err(|message| LoadError::invalid(module, message))
}

/// The features that engines accept.
fn features() -> WasmFeatures {
    let beyond = WasmFeatures::MEMORY64 | WasmFeatures::THREADS | WasmFeatures::CM_ASYNC;
    (WasmFeatures::default() | WasmFeatures::CM_MAP) - beyond
}

fn validate(module: &Module) -> Result<(), String> {
    let mut validator = Validator::new_with_features(features());
    let types = validator
        .validate_all(&module.bytes)
        .map_err(|error| format!("failed to parse WebAssembly module: {error}"))?;
    let types = types.as_ref();
    // A module that imports interfaces is turned into a component, which is checked elsewhere.
    let mut interfaces = module.imports().iter();
    if interfaces.any(|import| imports::is_wit(&import.module)) {
        return Ok(());
    }
    // Functions that are not provided are stubbed; nothing else can be.
    let mut wanted = types.core_imports().into_iter().flatten();
    let is_function = |ty| matches!(ty, EntityType::Func(_) | EntityType::FuncExact(_));
    if let Some((from, name, _)) = wanted.find(|(_, _, ty)| !is_function(*ty)) {
        return Err(format!(
            "unknown import: `{from}::{name}` has not been defined"
        ));
    }
    for (name, ty) in types.core_exports().into_iter().flatten() {
        let begins = ["_start", "_initialize"].contains(&name);
        let fits = match ty {
            EntityType::Func(id) | EntityType::FuncExact(id) => {
                let ty = types[id].unwrap_func();
                ty.params().is_empty() && ty.results().is_empty()
            }
            _ => false,
        };
        if begins && !fits {
            return Err(format!(
                "its `{name}` is not a function without parameters and results"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        // Some of it is seen when it is loaded.
        let module = Module::from_bytes("text", text.as_bytes().to_vec());
        let checked = module.and_then(|module| check(&module));
        checked.map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn what_engines_would_refuse_is_refused_without_them() {
        let start = "(func (export \"_start\"))";
        for (text, part) in [
            (format!("(module {start})"), "fine"),
            (
                format!("(module (import \"a\" \"f\" (func)) {start})"),
                "fine",
            ),
            (format!("(module (memory i64 1) {start})"), "memory64"),
            (format!("(module (memory 1 1 shared) {start})"), "threads"),
            (
                format!("(module (memory (import \"env\" \"m\") 1) {start})"),
                "`env::m`",
            ),
            (
                "(module (func (export \"_start\") (result i32) (i32.const 1)))".to_owned(),
                "`_start`",
            ),
            (
                format!("(module (func (result i32)) {start})"),
                "type mismatch",
            ),
        ] {
            assert!(told(&text).contains(part), "{text}: {}", told(&text));
        }
    }
}
