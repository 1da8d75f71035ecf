//! Calls into components: programs, and functions by the component model's own calls.
//!
//! A chunk of input goes in as one piece, as a string or `list<u8>`; the results that map
//! functions give most come out as one piece too. Everything else is a tree of values.

use super::failure;
use super::module::{Function, Module};
use super::program::ComponentCode;
use super::request::{Arguments, Callee, Request};
use super::runner::Stop;
use super::state::State;
use super::{core, text, val};
use crate::input::Chunk;
use crate::limits::Limits;
use crate::outcome::{Failure, FailureCode};
use crate::value::codec::{Reader, Writer};
use crate::value::{Packed, Type};
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, ComponentType, Func, Instance, Lift, Lower, Val};
use wasmtime_wasi::I32Exit;

/// Calls what the request names, in `instance` or in a fresh one.
pub(super) async fn call(
    module: &Module,
    code: &ComponentCode,
    request: &Request<'_>,
    store: &mut Store<State>,
    instance: Option<Instance>,
) -> Result<(Result<Packed, Failure>, Option<Instance>), Stop> {
    match request.callee {
        Callee::Command => Ok((
            Ok(run_program(code, store, &request.setting.limits).await?),
            None,
        )),
        Callee::Function(idx) => {
            let instance = match instance {
                Some(instance) => instance,
                None => code.instance.instantiate_async(&mut *store).await?,
            };
            let function = &module.functions()[idx];
            let callee = instance
                .get_func(&mut *store, code.functions[idx])
                .ok_or_else(|| {
                    Failure::new(
                        FailureCode::Internal,
                        format!("`{}` is gone", function.name),
                    )
                })?;
            let payload = match request.arguments {
                Arguments::Chunk(chunk) => {
                    map_chunk(store, callee, function, chunk, request).await?
                }
                _ => call_dynamic(store, callee, function, request).await?,
            };
            if payload.len() as u64 > request.setting.limits.output.bytes() {
                return Err(failure::output_limit(&request.setting.limits).into());
            }
            Ok((text::returned(function, payload), Some(instance)))
        }
    }
}

async fn run_program(
    code: &ComponentCode,
    store: &mut Store<State>,
    limits: &Limits,
) -> Result<Packed, Stop> {
    let program = code
        .command
        .as_ref()
        .ok_or_else(|| Failure::new(FailureCode::Internal, "the component is no program"))?;
    let instance = program.instantiate_async(&mut *store).await?;
    match instance.wasi_cli_run().call_run(&mut *store).await {
        Ok(Ok(())) => {}
        Ok(Err(())) => {
            return Err(failure::exited(1, store.data(), limits).into());
        }
        Err(error)
            if error
                .downcast_ref::<I32Exit>()
                .is_some_and(|exit| exit.0 == 0) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(core::program_output(store))
}

async fn map_chunk(
    store: &mut Store<State>,
    callee: Func,
    function: &Function,
    chunk: &Chunk,
    request: &Request<'_>,
) -> Result<Vec<u8>, Stop> {
    let bytes = chunk.bytes().map_err(|error| text::unreadable(&error))?;
    let is_text = function
        .params
        .first()
        .is_some_and(|(_, ty)| *ty == Type::String);
    if is_text {
        text::check_utf8(chunk, &bytes)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let payload = call_typed(store, callee, function, text).await;
        if let Some(payload) = payload.map_err(|error| failure::of_call(error, function))? {
            return Ok(payload);
        }
        let argument = Val::String(text.to_owned());
        return call_with(store, callee, function, vec![argument], request).await;
    }
    let payload = call_typed(store, callee, function, &bytes[..]).await;
    if let Some(payload) = payload.map_err(|error| failure::of_call(error, function))? {
        return Ok(payload);
    }
    let argument = Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect());
    call_with(store, callee, function, vec![argument], request).await
}

/// A result that comes out of a component in one piece.
trait Bulk: ComponentType + Lift + Send + Sync + 'static {
    fn write(&self, out: &mut Writer);
}

impl Bulk for String {
    fn write(&self, out: &mut Writer) {
        out.put_bytes(self.as_bytes());
    }
}

impl Bulk for Vec<u8> {
    fn write(&self, out: &mut Writer) {
        out.put_bytes(self);
    }
}

impl Bulk for u64 {
    fn write(&self, out: &mut Writer) {
        out.put_u64_leb(*self);
    }
}

impl Bulk for Vec<(String, u64)> {
    fn write(&self, out: &mut Writer) {
        out.put_len(self.len());
        for (key, number) in self {
            out.put_bytes(key.as_bytes());
            out.put_u64_leb(*number);
        }
    }
}

impl<T: Bulk> Bulk for Result<T, String> {
    fn write(&self, out: &mut Writer) {
        match self {
            Ok(value) => {
                out.put_u8(0);
                value.write(out);
            }
            Err(text) => {
                out.put_u8(1);
                out.put_bytes(text.as_bytes());
            }
        }
    }
}

/// Calls a function of one argument by its static type, where its result has one of ours.
async fn call_typed<'a, P>(
    store: &mut Store<State>,
    callee: Func,
    function: &Function,
    argument: &'a P,
) -> wasmtime::Result<Option<Vec<u8>>>
where
    P: ?Sized + Sync,
    &'a P: ComponentType + Lower,
    (&'a P,): ComponentNamedList + Lower,
{
    async fn bulk<'a, P, R>(
        store: &mut Store<State>,
        callee: Func,
        argument: &'a P,
    ) -> wasmtime::Result<Option<Vec<u8>>>
    where
        P: ?Sized + Sync,
        (&'a P,): ComponentNamedList + Lower,
        R: Bulk,
    {
        let (result,) = callee
            .typed::<(&'a P,), (R,)>(&*store)?
            .call_async(store, (argument,))
            .await?;
        let mut out = Writer::default();
        result.write(&mut out);
        Ok(Some(out.into_vec()))
    }

    let counts = || Type::list(Type::tuple([Type::String, Type::U64]));
    let (ty, fallible) = match &function.result {
        Some(Type::Result(sides)) if sides.err == Some(Type::String) => (sides.ok.clone(), true),
        other => (other.clone(), false),
    };
    match (ty, fallible) {
        (Some(Type::String), false) => bulk::<P, String>(store, callee, argument).await,
        (Some(Type::String), true) => {
            bulk::<P, Result<String, String>>(store, callee, argument).await
        }
        (Some(Type::U64), false) => bulk::<P, u64>(store, callee, argument).await,
        (Some(Type::U64), true) => bulk::<P, Result<u64, String>>(store, callee, argument).await,
        (Some(ty), false) if ty.is_bytes() => bulk::<P, Vec<u8>>(store, callee, argument).await,
        (Some(ty), true) if ty.is_bytes() => {
            bulk::<P, Result<Vec<u8>, String>>(store, callee, argument).await
        }
        (Some(ty), false) if ty == counts() => {
            bulk::<P, Vec<(String, u64)>>(store, callee, argument).await
        }
        (Some(ty), true) if ty == counts() => {
            bulk::<P, Result<Vec<(String, u64)>, String>>(store, callee, argument).await
        }
        _ => Ok(None),
    }
}

async fn call_dynamic(
    store: &mut Store<State>,
    callee: Func,
    function: &Function,
    request: &Request<'_>,
) -> Result<Vec<u8>, Stop> {
    let damaged = |error| {
        Failure::new(
            FailureCode::BadInput,
            format!("an argument is damaged: {error}"),
        )
    };
    let arguments = match request.arguments {
        Arguments::Chunk(_) => Vec::new(),
        Arguments::Values(values) => values
            .iter()
            .map(|value| val::read(&mut Reader::new(value.payload()), value.ty()).map_err(damaged))
            .collect::<Result<_, _>>()?,
        Arguments::Parts(parts) => {
            let parts = parts
                .iter()
                .map(|part| val::read(&mut Reader::new(part.payload()), part.ty()).map_err(damaged))
                .collect::<Result<_, _>>()?;
            vec![Val::List(parts)]
        }
    };
    call_with(store, callee, function, arguments, request).await
}

async fn call_with(
    store: &mut Store<State>,
    callee: Func,
    function: &Function,
    arguments: Vec<Val>,
    request: &Request<'_>,
) -> Result<Vec<u8>, Stop> {
    let mut results = [Val::Bool(false)];
    let count = usize::from(function.result.is_some());
    match callee
        .call_async(&mut *store, &arguments, &mut results[..count])
        .await
    {
        Ok(()) => {}
        Err(error) if error.is::<I32Exit>() => {
            let code = error
                .downcast_ref::<I32Exit>()
                .map_or(0, failure::exit_code);
            return Err(Failure::new(
                FailureCode::ExitCode,
                format!(
                    "`{}` exited with code {code} instead of returning",
                    function.name
                ),
            )
            .into());
        }
        Err(error) => return Err(failure::of_call(error, function)),
    }
    let mut out = Writer::default();
    if let Some(ty) = &function.result {
        let limit = request.setting.limits.output.as_usize();
        val::write(&mut out, &results[0], ty, limit).map_err(|error| match error {
            val::WriteError::TooLarge => failure::output_limit(&request.setting.limits),
            val::WriteError::Type => Failure::new(
                FailureCode::BadOutput,
                format!("what `{}` returned is not of its type", function.name),
            ),
        })?;
    }
    Ok(out.into_vec())
}
