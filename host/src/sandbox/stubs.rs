//! What answers the imports of components that are not the host's own: the embedder's functions,
//! and for what nobody offers stand-ins, so that it can be bound, and whoever calls one gets a
//! failure that names it.
//!
//! wasmtime's own way would also stand in for a newer minor version of an interface of WASI that
//! is there, and hide it.

use super::host::HostFunctions;
use super::imports;
use super::state::State;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, IoError, Network, TcpSocket, UdpSocket,
};

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
    let mut stubs = Stubs {
        engine: &engine,
        functions,
        strict,
        shared: Vec::new(),
    };
    let ty = component.component_type();
    let is_offered = |name| imports::preview2(name).is_some() || imports::is_host(name);
    for (name, import) in ty.imports(&engine).filter(|(name, _)| is_offered(name)) {
        if let Some(interface) = imports::preview2(name)
            && let ComponentItem::ComponentInstance(instance) = &import.ty
        {
            stubs.shared.extend(shared(&engine, interface, instance));
        }
    }
    for (name, import) in ty.imports(&engine).filter(|(name, _)| !is_offered(name)) {
        stubs.define(&mut linker.root(), "", name, &import.ty)?;
    }
    Ok(())
}

/// The resources of an interface that is offered: what is not offered may pass them on, and then must mean the
/// same ones.
fn shared(
    engine: &wasmtime::Engine,
    interface: &str,
    instance: &ComponentInstance,
) -> Vec<(ResourceType, ResourceType)> {
    let resources = instance.exports(engine).filter_map(|(name, item)| {
        let ComponentItem::Resource(in_guest) = item.ty else {
            return None;
        };
        let here = match (interface, name) {
            ("io/error", "error") => ResourceType::host::<IoError>(),
            ("io/poll", "pollable") => ResourceType::host::<DynPollable>(),
            ("io/streams", "input-stream") => ResourceType::host::<DynInputStream>(),
            ("io/streams", "output-stream") => ResourceType::host::<DynOutputStream>(),
            ("filesystem/types", "descriptor") => ResourceType::host::<Descriptor>(),
            ("sockets/network", "network") => ResourceType::host::<Network>(),
            ("sockets/tcp", "tcp-socket") => ResourceType::host::<TcpSocket>(),
            ("sockets/udp", "udp-socket") => ResourceType::host::<UdpSocket>(),
            _ => return None,
        };
        Some((in_guest, here))
    });
    resources.collect()
}

struct Stubs<'a> {
    engine: &'a wasmtime::Engine,
    functions: &'a HostFunctions,
    strict: bool,
    /// Resources of interfaces that are offered, as the component and as the host know them.
    shared: Vec<(ResourceType, ResourceType)>,
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
                        "it imports `{name}` of `{module}`, which this host does not offer{}",
                        imports::advice(module)
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
            ComponentItem::Resource(ty) => {
                let shared = self.shared.iter().find(|(in_guest, _)| in_guest == ty);
                let here = shared.map_or_else(ResourceType::host::<()>, |(_, here)| *here);
                linker.resource(name, here, |_, _| Ok(()))
            }
            // A type needs no definition; for modules and components nothing can stand in, which
            // binding the imports then says.
            _ => Ok(()),
        }
    }
}
