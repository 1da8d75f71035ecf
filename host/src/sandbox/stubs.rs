//! What stands in for imports of components that the host does not offer: they can be bound, and
//! whoever calls one gets a failure that names it.
//!
//! wasmtime's own way would also stand in for a newer minor version of an interface of WASI that
//! is there, and hide it.

use super::imports;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};

/// The mark of a call of an import that is not there.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` of `{module}` is not offered")]
pub(super) struct NotOffered {
    pub(super) module: String,
    pub(super) name: String,
}

/// Defines every import of `component` that the host does not offer.
pub(super) fn define<T: 'static>(
    linker: &mut Linker<T>,
    component: &Component,
) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        if !imports::preview2(name) {
            stub(&engine, &mut linker.root(), "", name, &import.ty)?;
        }
    }
    Ok(())
}

fn stub<T: 'static>(
    engine: &wasmtime::Engine,
    linker: &mut LinkerInstance<'_, T>,
    module: &str,
    name: &str,
    item: &ComponentItem,
) -> wasmtime::Result<()> {
    match item {
        ComponentItem::ComponentFunc(_) => {
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
            for (export, item) in instance.exports(engine) {
                stub(engine, &mut inner, name, export, &item.ty)?;
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
