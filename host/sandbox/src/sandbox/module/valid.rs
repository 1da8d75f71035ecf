//! Checks whether a module can run, as far as possible without compiling it, for programs with
//! remote engines, which compile it. An engine may still refuse a module that passes.

use super::Module;
use super::foreign::contained;
use super::imports;
use super::load::LoadError;
use rwasm_value::plain::{in_line, plain};
use wasmparser::types::{EntityType, TypesRef};
use wasmparser::{Validator, WasmFeatures};

/// Validates all its code, and looks at its imports.
///
/// # Errors
///
/// `Invalid` if it breaks the rules of every proposal, `Unsupported` if it is valid and cannot run
/// here all the same.
pub(in crate::sandbox) fn check(module: &Module) -> Result<(), LoadError> {
    let invalid = |message| LoadError::invalid(module, message);
    if let Some(why) = contained(|| validate(module)).map_err(invalid)? {
        return Err(LoadError::Unsupported {
            name: module.name().to_owned(),
            message: in_line(&plain(why)),
        });
    }
    Ok(())
}

/// The same for a module that could not be made ready for this reason: a valid one is never called
/// anything else.
pub(in crate::sandbox) fn explained(module: &Module, error: LoadError) -> LoadError {
    let LoadError::Invalid { name, message } = error else {
        return error;
    };
    match check(module) {
        Err(why) => why,
        Ok(()) => LoadError::Unsupported { name, message },
    }
}

/// Validates what is about to be compiled, so that an error at its end takes no time of a compiler.
///
/// # Errors
///
/// Returns an error if no engine compiles it. [`explained`] says why.
pub(in crate::sandbox) fn expect_compilable(bytes: &[u8]) -> wasmtime::Result<()> {
    let mut validator = Validator::new_with_features(features());
    validator.validate_all(bytes)?;
    Ok(())
}

/// The features that engines accept. Memories that are shared are refused when a module is read.
fn features() -> WasmFeatures {
    let more = WasmFeatures::CM_MAP
        | WasmFeatures::CM_FIXED_LENGTH_LISTS
        | WasmFeatures::CM_ASYNC
        | WasmFeatures::CM_MORE_ASYNC_BUILTINS
        | WasmFeatures::CM_ASYNC_STACKFUL
        | WasmFeatures::CM_ERROR_CONTEXT;
    (WasmFeatures::default() | more) - WasmFeatures::MEMORY64
}

/// Whose choice it is that a feature is not accepted.
#[derive(Clone, Copy)]
enum Decided {
    Here,
    ByWasmtime,
    Nowhere,
}

/// The features that engines do not accept: what they are called, who decided it, and what to do.
const BEYOND: [(WasmFeatures, &str, Decided, &str); 10] = [
    (
        WasmFeatures::MEMORY64,
        "64-bit memories or tables (memory64)",
        Decided::Here,
        "; build it for wasm32",
    ),
    (
        WasmFeatures::LEGACY_EXCEPTIONS,
        "legacy exception handling",
        Decided::ByWasmtime,
        "; build it with `-sWASM_LEGACY_EXCEPTIONS=0` (Emscripten) or `-mllvm -wasm-use-legacy-eh=false` (clang), or \
        translate it with `wasm-opt --translate-to-exnref`",
    ),
    (
        WasmFeatures::CUSTOM_PAGE_SIZES,
        "pages of another size (custom-page-sizes)",
        Decided::Here,
        "",
    ),
    (
        WasmFeatures::WIDE_ARITHMETIC,
        "128-bit arithmetic (wide-arithmetic)",
        Decided::Here,
        "",
    ),
    (
        WasmFeatures::STACK_SWITCHING,
        "stack switching",
        Decided::ByWasmtime,
        "",
    ),
    (
        WasmFeatures::CM_THREADING,
        "threads of components",
        Decided::ByWasmtime,
        "",
    ),
    (
        WasmFeatures::SHARED_EVERYTHING_THREADS,
        "shared-everything threads",
        Decided::Nowhere,
        "",
    ),
    (
        WasmFeatures::CM_GC,
        "components with garbage collection",
        Decided::Nowhere,
        "",
    ),
    (
        WasmFeatures::CM_VALUES,
        "values of components",
        Decided::Nowhere,
        "",
    ),
    (
        WasmFeatures::MEMORY_CONTROL,
        "memory control",
        Decided::Nowhere,
        "",
    ),
];

/// Returns what stands in the way of a module that is valid.
///
/// # Errors
///
/// Returns an error if it is not valid, whatever is accepted.
fn validate(module: &Module) -> Result<Option<String>, String> {
    let valid_with = |features| {
        let mut validator = Validator::new_with_features(features);
        validator.validate_all(&module.bytes)
    };
    let error = match valid_with(features()) {
        Ok(types) => {
            check_starts(types.as_ref())?;
            return Ok(unlinkable(module, types.as_ref()));
        }
        Err(error) => error,
    };
    let all = BEYOND.iter().fold(features(), |all, (one, ..)| all | *one);
    if valid_with(all).is_err() {
        return Err(error.to_string());
    }
    // Of several, the first without which it is not valid.
    let needed = BEYOND
        .iter()
        .find(|(one, ..)| valid_with(all - *one).is_err());
    Ok(Some(match needed {
        Some((_, name, Decided::Here, advice)) => {
            format!("it uses {name}, which this program does not accept{advice}")
        }
        Some((_, name, Decided::ByWasmtime, advice)) => {
            format!("it uses {name}, which wasmtime does not run{advice}")
        }
        Some((_, name, Decided::Nowhere, advice)) => {
            format!("it uses {name}, a proposal that no runtime supports yet{advice}")
        }
        None => error.to_string(),
    }))
}

/// Returns which import nobody can provide: only functions that are missing are replaced, by ones
/// that fail when they are called.
fn unlinkable(module: &Module, types: TypesRef<'_>) -> Option<String> {
    // A module that imports interfaces is turned into a component, which is checked elsewhere.
    let mut interfaces = module.imports().iter();
    if !module.is_component() && interfaces.any(|import| imports::is_wit(&import.module)) {
        return None;
    }
    for (from, name, ty) in types.core_imports().into_iter().flatten() {
        let kind = match ty {
            EntityType::Func(_) | EntityType::FuncExact(_) => continue,
            EntityType::Table(_) => "table",
            EntityType::Memory(_) => "memory",
            EntityType::Global(_) => "global",
            EntityType::Tag(_) => "tag",
        };
        return Some(format!(
            "it imports the {kind} `{name}` of `{from}`, but this program provides only functions"
        ));
    }
    module.info.0.unlinkable.clone()
}

/// What the host calls first neither takes nor returns values.
fn check_starts(types: TypesRef<'_>) -> Result<(), String> {
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
