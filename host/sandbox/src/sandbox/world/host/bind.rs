//! Binds a component's imports to the embedder's functions.

use super::super::state::GuestState;
use super::super::stdio::OutputLimitPassed;
use super::component::{FunctionTypes, types};
use super::functions::{Answer, CallError, HostCall, HostFunction, HostFunctions};
use crate::sandbox::abi::val::{self, WriteError};
use bytes::Bytes;
use rwasm_value::plain::panic_text;
use rwasm_value::units::ByteSize;
use rwasm_value::value::codec::{Reader, Writer};
use rwasm_value::value::{Packed, Type};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{LinkerInstance, Val};
use wasmtime::{Result, StoreContextMut, bail};

/// Marks a call in which the embedder's function failed.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` of `{interface}` {what}")]
pub(in crate::sandbox) struct HostFunctionFailed {
    interface: Arc<str>,
    name: Arc<str>,
    what: String,
}

impl HostFunctions {
    /// Binds the import to the embedder's function, if there is one; returns whether there is.
    ///
    /// # Errors
    ///
    /// Returns an error if the import has different types than the function.
    pub(in crate::sandbox) fn bind(
        &self,
        linker: &mut LinkerInstance<'_, GuestState>,
        interface: &str,
        name: &str,
        ty: &ComponentFunc,
    ) -> Result<bool> {
        let Some(function) = self.find(interface, name) else {
            return Ok(false);
        };
        let Some(FunctionTypes { params, result }) = types(ty).filter(|_| !ty.async_()) else {
            bail!(
                "its import `{name}` of `{interface}` is asynchronous or passes resources, streams or futures, which a host function does not support"
            );
        };
        if let Err(found) = (function.check)(&params, result.as_ref()) {
            let wanted = described(&params, result.as_ref());
            bail!(
                "its import `{name}` of `{interface}` is {wanted}, but the host's function is {found}"
            );
        }
        let bound = Arc::new(Bound {
            interface: interface.into(),
            name: name.into(),
            params: params.into_iter().map(|(_, ty)| ty).collect(),
            result,
            function: function.clone(),
        });
        linker.func_new_async(name, move |context, _, arguments, results| {
            let bound = Arc::clone(&bound);
            Box::new(async move { bound.call(context, arguments, results).await })
        })?;
        Ok(true)
    }
}

/// The function's type as WIT writes it.
pub(super) fn described(params: &[(String, Type)], result: Option<&Type>) -> String {
    let params: Vec<String> = params
        .iter()
        .map(|(name, ty)| format!("{name}: {ty}"))
        .collect();
    let result = result.map(|ty| format!(" -> {ty}")).unwrap_or_default();
    format!("func({}){result}", params.join(", "))
}

/// An import with its function.
struct Bound {
    interface: Arc<str>,
    name: Arc<str>,
    params: Vec<Type>,
    result: Option<Type>,
    function: HostFunction,
}

impl Bound {
    async fn call(
        &self,
        mut context: StoreContextMut<'_, GuestState>,
        arguments: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        context.data_mut().count_call(0);
        let desk = &context.data().desk;
        let limit = desk.exchange_limit;
        let call = HostCall {
            engine: desk.engine,
            task: desk.task,
            caller: desk.caller.clone(),
        };
        let arguments = arguments
            .iter()
            .zip(&self.params)
            .map(|(argument, ty)| self.packed(argument, ty, limit))
            .collect::<Result<Vec<_>>>()?;
        let answer = contained(|| (self.function.call)(call, arguments, self.result.clone()));
        let given = match answer.await {
            Ok(Ok(given)) => given,
            Ok(Err(CallError::Failed(error))) => return self.failed(format!("failed: {error}")),
            Ok(Err(CallError::Unfit(error))) => {
                return self.failed(format!(
                    "returned a value that does not match its type: {error}"
                ));
            }
            Ok(Err(CallError::Panicked(panic))) | Err(panic) => {
                return self.failed(format!("panicked: {panic}"));
            }
        };
        let (Some(slot), Some(given)) = (results.first_mut(), given) else {
            return Ok(());
        };
        if given.len() > limit {
            let size = ByteSize::new(given.len() as u64);
            let limit = ByteSize::new(limit as u64);
            return self.failed(format!(
                "returned {size}, more than the task's output limit of {limit} (raise `Limits::output`)"
            ));
        }
        match val::read(&mut Reader::new(given.payload()), given.ty()) {
            Ok(value) => *slot = value,
            Err(error) => return self.failed(format!("returned a malformed value: {error}")),
        }
        Ok(())
    }

    fn packed(&self, argument: &Val, ty: &Type, limit: usize) -> Result<Packed> {
        let mut out = Writer::default();
        match val::write(&mut out, argument, ty, limit) {
            Ok(()) => Ok(Packed::from_payload(
                ty.clone(),
                Bytes::from(out.into_vec()),
            )),
            Err(WriteError::TooLarge) => Err(OutputLimitPassed.into()),
            Err(WriteError::Type) => {
                self.failed("was called with an argument of another type".to_owned())
            }
        }
    }

    fn failed<T>(&self, what: String) -> Result<T> {
        let failed = HostFunctionFailed {
            interface: Arc::clone(&self.interface),
            name: Arc::clone(&self.name),
            what,
        };
        Err(failed.into())
    }
}

/// Returns the embedder's result, or the message of its panic.
pub(super) async fn contained(
    call: impl FnOnce() -> Answer,
) -> std::result::Result<<Answer as Future>::Output, String> {
    let mut answer =
        catch_unwind(AssertUnwindSafe(call)).map_err(|panic| panic_text(&*panic).to_owned())?;
    poll_fn(move |context| {
        let poll = || answer.as_mut().poll(context);
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic_text(&*panic).to_owned())),
        }
    })
    .await
}
