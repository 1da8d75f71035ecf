//! Provides the imports of components that the host does not: the embedder's functions, and stubs
//! for everything else, so that it can be bound and a call fails with an error that names it. The
//! same goes for functions that other versions of a WASI interface, or of the host's own, have in
//! addition.
//!
//! wasmtime's own stubs would replace all of such an interface and hide what the host provides.

use super::host::HostFunctions;
use super::http;
use super::logging;
use super::state::GuestState;
use crate::sandbox::module::imports;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, IoError, Network, TcpSocket, UdpSocket,
};

/// Marks a call of an import that is not provided.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` of `{module}` is not provided")]
pub(in crate::sandbox) struct NotOffered {
    pub(in crate::sandbox) module: String,
    pub(in crate::sandbox) name: String,
}

/// Defines every import of `component` that the host does not provide itself.
///
/// # Errors
///
/// Returns an error if an import has a different type than the embedder's function for it, or, when
/// `strict`, if there is no such function.
pub(in crate::sandbox) fn define(
    linker: &mut Linker<GuestState>,
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
    let is_offered = imports::is_provided;
    for (name, import) in ty.imports(&engine).filter(|(name, _)| is_offered(name)) {
        let interface = imports::preview2(name).or_else(|| imports::preview3(name));
        if let Some(interface) = interface
            && let ComponentItem::ComponentInstance(instance) = &import.ty
        {
            let is_preview3 = imports::is_preview3(name);
            stubs
                .shared
                .extend(shared(&engine, interface, is_preview3, instance));
        }
    }
    let mut seen = Vec::new();
    for (name, import) in ty.imports(&engine) {
        if let Some(here) = imports::defined_as(name)
            && let ComponentItem::ComponentInstance(instance) = &import.ty
        {
            stubs.complete(linker, &here, name, instance, &mut seen)?;
        }
    }
    for (name, import) in ty.imports(&engine).filter(|(name, _)| !is_offered(name)) {
        stubs.define(&mut linker.root(), "", name, &import.ty)?;
    }
    Ok(())
}

/// The resources of a provided interface: functions that are not provided may mention them and must
/// then mean the same ones.
fn shared(
    engine: &wasmtime::Engine,
    interface: &str,
    is_preview3: bool,
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
            ("sockets/tcp" | "sockets/types", "tcp-socket") => ResourceType::host::<TcpSocket>(),
            ("sockets/udp" | "sockets/types", "udp-socket") => ResourceType::host::<UdpSocket>(),
            ("http/types", name) => http::resource(name, is_preview3)?,
            _ => return None,
        };
        Some((in_guest, here))
    });
    resources.collect()
}

fn not_here(module: &str, name: &str) -> wasmtime::Error {
    wasmtime::format_err!(
        "it imports `{name}` of `{module}`, which this host does not provide{}",
        imports::advice(module)
    )
}

/// Returns the stub of a function.
struct Stub<'a> {
    module: &'a str,
    name: &'a str,
    is_async: bool,
}

impl<'a> Stub<'a> {
    fn new(module: &'a str, name: &'a str, ty: &ComponentFunc) -> Self {
        Self {
            module,
            name,
            is_async: ty.async_(),
        }
    }

    fn define(self, linker: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
        let (module, name) = (self.module.to_owned(), self.name.to_owned());
        let refuse = move || {
            let (module, name) = (module.clone(), name.clone());
            Err(NotOffered { module, name }.into())
        };
        if self.is_async {
            return linker.func_new_concurrent(self.name, move |_, _, _, _| {
                let refused = refuse();
                Box::pin(async { refused })
            });
        }
        linker.func_new(self.name, move |_, _, _, _| refuse())
    }
}

struct Stubs<'a> {
    engine: &'a wasmtime::Engine,
    functions: &'a HostFunctions,
    strict: bool,
    /// Resources of provided interfaces, as the component and as the host know them.
    shared: Vec<(ResourceType, ResourceType)>,
}

impl Stubs<'_> {
    /// Defines what `instance` has beyond the host's version of the interface, which the component
    /// calls `name` and the host calls `here`. A resource that was `seen` in another interface is
    /// only passed on by this one.
    fn complete(
        &self,
        linker: &mut Linker<GuestState>,
        here: &str,
        name: &str,
        instance: &ComponentInstance,
        seen: &mut Vec<ResourceType>,
    ) -> wasmtime::Result<()> {
        // A separate definition under the component's version would hide what the host provides.
        let mut here = linker.instance(here)?;
        for (export, item) in instance.exports(self.engine) {
            // Defining what exists already fails, which is how it is detected.
            let is_missing = match &item.ty {
                ComponentItem::ComponentFunc(ty) => {
                    Stub::new(name, export, ty).define(&mut here).is_ok()
                }
                ComponentItem::Resource(ty) if !seen.contains(ty) => {
                    seen.push(*ty);
                    here.resource(export, ResourceType::host::<()>(), |_, _| Ok(()))
                        .is_ok()
                }
                _ => false,
            };
            if is_missing && self.strict {
                return Err(not_here(name, export));
            }
        }
        Ok(())
    }

    fn define(
        &self,
        linker: &mut LinkerInstance<'_, GuestState>,
        module: &str,
        name: &str,
        item: &ComponentItem,
    ) -> wasmtime::Result<()> {
        match item {
            ComponentItem::ComponentFunc(ty) => {
                if self.functions.bind(linker, module, name, ty)?
                    || logging::define(linker, module, name, ty)?
                {
                    return Ok(());
                }
                if self.strict {
                    return Err(not_here(module, name));
                }
                Stub::new(module, name, ty).define(linker)
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
            // A type needs no definition. Modules and components cannot be stubbed, so binding the
            // imports fails.
            _ => Ok(()),
        }
    }
}
