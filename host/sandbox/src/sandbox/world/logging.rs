//! `wasi:logging/logging`, which toolchains import without a version or as a draft: what a guest logs by it is a note of its
//! task, as by the host's own interface.

use super::state::GuestState;
use crate::note::LogLevel;
use crate::sandbox::module::imports::is_logging;
use wasmtime::component::types::{ComponentFunc, Type};
use wasmtime::component::{LinkerInstance, Val};

/// Defines the function if it is one of the interface, with the types that it has had in all drafts.
pub(super) fn define(
    linker: &mut LinkerInstance<'_, GuestState>,
    interface: &str,
    name: &str,
    ty: &ComponentFunc,
) -> wasmtime::Result<bool> {
    let params: Vec<Type> = ty.params().map(|(_, ty)| ty).collect();
    let fits = matches!(&*params, [Type::Enum(_), Type::String, Type::String]);
    if !is_logging(interface) || name != "log" || !fits || ty.results().len() > 0 || ty.async_() {
        return Ok(false);
    }
    linker.func_new(name, |mut store, _, arguments, _| {
        if let [Val::Enum(level), Val::String(context), Val::String(message)] = arguments {
            let state = store.data_mut();
            state.count_call(context.len() + message.len());
            if context.is_empty() {
                state.desk.notes.log(level_of(level), message);
            } else {
                let line = format!("{context}: {message}");
                state.desk.notes.log(level_of(level), &line);
            }
        }
        Ok(())
    })?;
    Ok(true)
}

/// The level that is called so; `critical`, which only this interface has, is an error.
fn level_of(name: &str) -> LogLevel {
    let levels = LogLevel::ALL.into_iter();
    let mut found = levels.filter(|level| level.name() == name);
    found.next().unwrap_or(LogLevel::Error)
}
