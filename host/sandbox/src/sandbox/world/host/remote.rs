//! The embedder's functions behind a boundary: a worker passes calls on, and its parent has the functions.
//!
//! In the worker they are the same functions by name, which ask a `HostCarrier`. In the parent, a program knows the functions
//! that its component imports, with the types by which it reads what a worker sends.

use super::bind::contained;
use super::component::{FunctionTypes, types};
use super::functions::{Call, CallError, HostCall, HostError, HostFunction, HostFunctions};
use crate::sandbox::world::request::Caller;
use rwasm_value::ids::EngineId;
use rwasm_value::value::{Packed, Type};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentItem};

/// A function of the embedder's that a component imports.
#[doc(hidden)]
#[derive(Clone)]
pub struct HostImport {
    pub interface: Arc<str>,
    pub name: Arc<str>,
    pub params: Vec<Type>,
    pub result: Option<Type>,
    call: Call,
}

impl fmt::Debug for HostImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.interface, self.name)
    }
}

/// How a call failed that was passed on.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostFailure {
    /// The function returned this error.
    Failed(String),
    /// What it was given or returned has another type.
    Unfit(String),
    /// It panicked.
    Panicked(String),
}

/// A call that was passed on: its result, if the function has one.
#[doc(hidden)]
pub type Carried = Pin<Box<dyn Future<Output = Result<Option<Packed>, HostFailure>> + Send>>;

/// Passes calls on to whoever has the functions.
#[doc(hidden)]
pub trait HostCarrier: Send + Sync {
    /// Calls the function at this place among those that the component imports, for a task.
    fn call(
        &self,
        function: usize,
        task: u64,
        arguments: Vec<Packed>,
        result: Option<Type>,
    ) -> Carried;
}

impl HostImport {
    /// Calls it for a task. What it does counts towards the time of whoever waits.
    pub async fn call(
        &self,
        engine: EngineId,
        task: u64,
        caller: Option<Arc<Caller>>,
        arguments: Vec<Packed>,
    ) -> Result<Option<Packed>, HostFailure> {
        let call = HostCall {
            engine,
            task,
            caller,
        };
        let answer = contained(|| (self.call)(call, arguments, self.result.clone())).await;
        match answer {
            Ok(Ok(given)) => Ok(given),
            Ok(Err(CallError::Failed(error))) => Err(HostFailure::Failed(error.to_string())),
            Ok(Err(CallError::Unfit(error))) => Err(HostFailure::Unfit(error)),
            Ok(Err(CallError::Panicked(panic))) | Err(panic) => Err(HostFailure::Panicked(panic)),
        }
    }
}

impl HostFunctions {
    /// The functions that a worker offers: those of these interfaces and names, all by this carrier.
    #[doc(hidden)]
    #[must_use]
    pub fn carried(imports: &[(String, String)], carrier: &Arc<dyn HostCarrier>) -> Self {
        let mut functions = Self::new();
        for (place, (interface, name)) in imports.iter().enumerate() {
            let carrier = Arc::clone(carrier);
            let call: Call = Arc::new(move |call, arguments, wanted| {
                let answer = carrier.call(place, call.task, arguments, wanted);
                Box::pin(async move {
                    answer.await.map_err(|failure| match failure {
                        HostFailure::Failed(error) => CallError::Failed(HostError::new(error)),
                        HostFailure::Unfit(error) => CallError::Unfit(error),
                        HostFailure::Panicked(panic) => CallError::Panicked(panic),
                    })
                })
            });
            // Whoever has the functions has checked their types.
            functions = functions.with(interface, name, |_, _| Ok(()), call);
        }
        functions
    }

    /// The functions that a component imports from here.
    pub(in crate::sandbox) fn imported_by(&self, component: &Component) -> Vec<HostImport> {
        if self.is_empty() {
            return Vec::new();
        }
        let engine = component.engine();
        let ty = component.component_type();
        let mut found = Vec::new();
        for (interface, item) in ty.imports(engine) {
            let ComponentItem::ComponentInstance(instance) = item.ty else {
                continue;
            };
            for (name, item) in instance.exports(engine) {
                if let ComponentItem::ComponentFunc(ty) = item.ty
                    && let Some(function) = self.find(interface, name)
                {
                    found.extend(import(interface, name, &ty, function));
                }
            }
        }
        found
    }
}

fn import(
    interface: &str,
    name: &str,
    ty: &ComponentFunc,
    function: &HostFunction,
) -> Option<HostImport> {
    let FunctionTypes { params, result } = types(ty)?;
    Some(HostImport {
        interface: interface.into(),
        name: name.into(),
        params: params.into_iter().map(|(_, ty)| ty).collect(),
        result,
        call: Arc::clone(&function.call),
    })
}
