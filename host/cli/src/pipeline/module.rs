//! The module of a command, and the function of it that is called.

use crate::exit::CliError;
use rwasm_cluster::{DynamicCallable, Limits, Module, Type};
use std::path::Path;

/// Reads the module, within the limit of its size.
pub(crate) fn read_module(path: &Path, limits: &Limits) -> Result<Module, CliError> {
    Module::from_file_within(path, limits).map_err(CliError::Load)
}

/// The module's function of that name, whatever its types are.
pub(crate) fn function(module: &Module, name: &str) -> Result<DynamicCallable, CliError> {
    module
        .dynamic_function(name)
        .map_err(|error| CliError::Function(Box::new(error)))
}

/// The type of what a call gives; none where it gives nothing.
pub(crate) fn result_type(function: &DynamicCallable) -> Option<Type> {
    match &function.signature().result {
        Some(Type::Result(sides)) => sides.ok.clone(),
        other => other.clone(),
    }
}
