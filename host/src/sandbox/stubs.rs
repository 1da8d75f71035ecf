//! What answers the imports of components that are not the host's own: the embedder's functions,
//! and for what nobody offers stand-ins, so that it can be bound, and whoever calls one gets a
//! failure that names it.
//!
//! wasmtime's own way would also stand in for a newer minor version of an interface of WASI that
//! is there, and hide it.

use super::host::HostFunctions;
use super::imports;
use super::state::State;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};

/// The mark of a call of an import that is not there.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` of `{module}` is not offered")]
pub(super) struct NotOffered {
    pub(super) module: String,
    pub(super) name: String,
}

/// Defines every import of `component` that the host does not offer itself.
///
/// # Errors
/// When an import has another type than the embedder's function for it; when `strict`, also where
/// there is no such function.
pub(super) fn define(
    linker: &mut Linker<State>,
    component: &Component,
    functions: &HostFunctions,
    strict: bool,
) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    let stubs = Stubs {
        engine: &engine,
        functions,
        strict,
    };
    for (name, import) in component.component_type().imports(&engine) {
        if !imports::preview2(name) && !imports::is_host(name) {
            stubs.define(&mut linker.root(), "", name, &import.ty)?;
        }
    }
    Ok(())
}

struct Stubs<'a> {
    engine: &'a wasmtime::Engine,
    functions: &'a HostFunctions,
    strict: bool,
}

impl Stubs<'_> {
    fn define(
        &self,
        linker: &mut LinkerInstance<'_, State>,
        module: &str,
        name: &str,
        item: &ComponentItem,
    ) -> wasmtime::Result<()> {
        match item {
            ComponentItem::ComponentFunc(ty) => {
                if self.functions.bind(linker, module, name, ty)? {
                    return Ok(());
                }
                if self.strict {
                    wasmtime::bail!(
                        "it imports `{name}` of `{module}`, which this host does not offer"
                    );
                }
                let (module, import) = (module.to_owned(), name.to_owned());
                linker.func_new(name, move |_, _, _, _| {
                    Err(NotOffered {
                        module: module.clone(),
                        name: import.clone(),
                    }
                    .into())
                })
            }
            ComponentItem::ComponentInstance(instance) => {
                let mut inner = linker.instance(name)?;
                for (export, item) in instance.exports(self.engine) {
                    self.define(&mut inner, name, export, &item.ty)?;
                }
                Ok(())
            }
            ComponentItem::Resource(_) => {
                linker.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))
            }
            // A type needs no definition; for modules and components nothing can stand in, which
            // binding the imports then says.
            _ => Ok(()),
        }
    }
}
