//! Calls into components: programs, and functions called by means of the component model.
//!
//! Bulk data is passed by `bulk`, everything else as a tree of values; whatever is async by `concurrent`.

use super::bulk::Passing;
use super::failure;
use super::program::{Command, ComponentCode, Exports};
use super::runner::Stop;
use super::{concurrent, core, script, text};
use crate::input::Chunk;
use crate::outcome::{Failure, FailureCode};
use crate::sandbox::abi::val;
use crate::sandbox::module::{Callee, Function, ModuleInfo};
use crate::sandbox::world::request::{Arguments, Request};
use crate::sandbox::world::state::GuestState;
use crate::sandbox::world::stdio::{OutputLimitPassed, unreadable};
use rwasm_value::value::codec::{Reader, Writer};
use rwasm_value::value::{Packed, Type};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Func, Instance, Val};
use wasmtime_wasi::I32Exit;

/// Calls the target of the request, in `instance` or in a fresh one.
pub(super) async fn call(
    module: &ModuleInfo,
    code: &ComponentCode,
    request: &Request<'_>,
    store: &mut Store<GuestState>,
    instance: Option<Instance>,
) -> Result<(Result<Packed, Failure>, Option<Instance>), Stop> {
    match request.callee {
        Callee::Command => Ok((Ok(run_program(code, store, request).await?), None)),
        Callee::Function(idx) => {
            let instance = match instance {
                Some(instance) => instance,
                None => code.instance.instantiate_async(&mut *store).await?,
            };
            request.surroundings.mark_instantiated();
            let function = &module.functions()[idx];
            let export = match &code.functions[idx] {
                Exports::One(export) => export,
                Exports::OfSteps(exports) => {
                    let payload = script::call(store, instance, exports, function, request).await?;
                    return Ok((
                        payload.and_then(|payload| text::returned(function, payload)),
                        Some(instance),
                    ));
                }
            };
            let callee = callee(store, instance, export, &function.name)?;
            let payload = match code.bulk[idx] {
                _ if code.is_concurrent => {
                    concurrent::call(store, callee, function, request).await?
                }
                Some(bulk) => {
                    let passing = Passing {
                        store: &mut *store,
                        callee,
                        function,
                        arguments: request.arguments,
                    };
                    bulk(passing).await?
                }
                None => call_dynamic(store, callee, function, request).await?,
            };
            if payload.len() as u64 > request.setting.limits.output.bytes() {
                return Err(failure::output_limit(&request.setting.limits).into());
            }
            Ok((text::returned(function, payload), Some(instance)))
        }
    }
}

/// The function that an instance exports there.
pub(super) fn callee(
    store: &mut Store<GuestState>,
    instance: Instance,
    export: &ComponentExportIndex,
    name: &str,
) -> Result<Func, Failure> {
    instance.get_func(store, export).ok_or_else(|| {
        let message = format!("the export `{name}` is missing");
        Failure::new(FailureCode::Internal, message)
    })
}

async fn run_program(
    code: &ComponentCode,
    store: &mut Store<GuestState>,
    request: &Request<'_>,
) -> Result<Packed, Stop> {
    match &code.command {
        Some(Command::Preview2(program)) => {
            let instance = program.instantiate_async(&mut *store).await?;
            request.surroundings.mark_instantiated();
            let ran = instance.wasi_cli_run().call_run(&mut *store).await;
            exited(ran, store, request)?;
            Ok(core::program_output(store))
        }
        Some(Command::Preview3(program)) => {
            let program = program.instantiate_async(&mut *store).await?;
            request.surroundings.mark_instantiated();
            concurrent::run_program(store, &program, request).await
        }
        None => {
            let message = "the component is not a program";
            Err(Failure::new(FailureCode::Internal, message).into())
        }
    }
}

/// How a program ended: its result, or the error that ended it.
pub(super) fn exited(
    ran: wasmtime::Result<Result<(), ()>>,
    store: &Store<GuestState>,
    request: &Request<'_>,
) -> Result<(), Stop> {
    match ran {
        Ok(Ok(())) => Ok(()),
        Ok(Err(())) if core::is_ok_exit(1, request) => Ok(()),
        Ok(Err(())) => Err(failure::exited(1, store.data(), &request.setting.limits).into()),
        Err(error) if core::is_success(&error, request) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn call_dynamic(
    store: &mut Store<GuestState>,
    callee: Func,
    function: &Function,
    request: &Request<'_>,
) -> Result<Vec<u8>, Stop> {
    let arguments = arguments(function, request)?;
    call_with(store, callee, function, arguments, request).await
}

/// The arguments of the function.
pub(super) fn arguments(function: &Function, request: &Request<'_>) -> Result<Vec<Val>, Stop> {
    let damaged = |error| {
        Failure::new(
            FailureCode::BadInput,
            format!("malformed argument: {error}"),
        )
    };
    Ok(match request.arguments {
        Arguments::Chunk(chunk) => vec![whole(chunk, function)?],
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
    })
}

/// Passes a chunk as the one value that the function takes.
pub(super) fn whole(chunk: &Chunk, function: &Function) -> Result<Val, Stop> {
    let bytes = chunk.bytes().map_err(|error| unreadable(&error))?;
    let mut params = function.params.iter();
    if params.any(|(_, ty)| *ty == Type::String) {
        text::check_utf8(chunk, &bytes)?;
        return Ok(Val::String(String::from_utf8_lossy(&bytes).into_owned()));
    }
    Ok(Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect()))
}

async fn call_with(
    store: &mut Store<GuestState>,
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
        Err(error) => return Err(called(error, function)),
    }
    request.surroundings.mark_called();
    let mut out = Writer::default();
    if let Some(ty) = &function.result {
        let limit = request.setting.limits.output.as_usize();
        val::write(&mut out, &results[0], ty, limit).map_err(|error| match error {
            val::WriteError::TooLarge => failure::output_limit(&request.setting.limits),
            val::WriteError::Type => Failure::new(
                FailureCode::BadOutput,
                format!("the result of `{}` does not match its type", function.name),
            ),
        })?;
    }
    Ok(out.into_vec())
}

/// Why a call of the function has ended with an error.
pub(super) fn called(error: wasmtime::Error, function: &Function) -> Stop {
    if failure::chain_has::<OutputLimitPassed>(&error) {
        return Stop::Guest(error);
    }
    let Some(exit) = error.downcast_ref::<I32Exit>() else {
        return failure::of_call(error, function);
    };
    let message = format!(
        "`{}` exited with code {} instead of returning",
        function.name,
        failure::exit_code(exit)
    );
    Failure::new(FailureCode::ExitCode, message).into()
}
