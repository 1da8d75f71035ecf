//! Core functions without WIT: those that only use numbers are called as they are, others are
//! reported with the reason why no task can call them.

use super::{Binding, Function, Uncallable};
use rwasm_value::value::Type;
use wasmparser::{FuncType, ValType};

/// A core function of numbers; its parameters have no names.
///
/// # Errors
///
/// Returns an error if it takes or returns anything else.
pub(super) fn function(name: &str, ty: &FuncType) -> Result<Function, Uncallable> {
    let uncallable = |place: String, found: ValType| Uncallable {
        name: name.to_owned(),
        wit: signature(ty),
        reason: format!(
            "{place} has the core type {found}, but plain functions only take and return i32, i64, f32 and f64"
        ),
    };
    let mut params = Vec::new();
    for (idx, ty) in ty.params().iter().enumerate() {
        let refused = || uncallable(format!("its parameter `p{idx}`"), *ty);
        params.push((format!("p{idx}"), number(*ty).ok_or_else(refused)?));
    }
    let mut results = Vec::new();
    for ty in ty.results() {
        let refused = || uncallable("its result".to_owned(), *ty);
        results.push(number(*ty).ok_or_else(refused)?);
    }
    let result = match results.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        _ => Some(Type::tuple(results)),
    };
    Ok(Function {
        name: name.to_owned(),
        params,
        result,
        binding: Binding::Plain,
        declared: None,
        is_fed: false,
        elements: None,
    })
}

/// Writes a function as WIT as far as possible: with core types for those that are not numbers.
fn signature(ty: &FuncType) -> String {
    let written = |ty: &ValType| number(*ty).map_or_else(|| ty.to_string(), |ty| ty.to_string());
    let params = ty.params().iter().map(written).enumerate();
    let params: Vec<String> = params.map(|(idx, ty)| format!("p{idx}: {ty}")).collect();
    let results: Vec<String> = ty.results().iter().map(written).collect();
    let result = match results.as_slice() {
        [] => String::new(),
        [one] => format!(" -> {one}"),
        all => format!(" -> tuple<{}>", all.join(", ")),
    };
    format!("func({}){result}", params.join(", "))
}

fn number(ty: ValType) -> Option<Type> {
    match ty {
        ValType::I32 => Some(Type::S32),
        ValType::I64 => Some(Type::S64),
        ValType::F32 => Some(Type::F32),
        ValType::F64 => Some(Type::F64),
        ValType::V128 | ValType::Ref(_) => None,
    }
}
