//! Calls into components that use the component model's async features: functions that are async, streams and futures,
//! and programs of WASI 0.3.
//!
//! What a call leaves running after it has returned belongs to the task and is run to its end, within its limits.

use super::component::{called, exited};
use super::live::Live;
use super::streams::{Allowance, Feed, Returned, Unpackable, future_of, stream_of};
use super::{core, failure};
use crate::outcome::{Failure, FailureCode};
use crate::sandbox::abi::val::{self, WriteError};
use crate::sandbox::module::Function;
use crate::sandbox::run::runner::Stop;
use crate::sandbox::world::request::{Arguments, Request};
use crate::sandbox::world::state::GuestState;
use crate::sandbox::world::stdio::{Stdin, unreadable};
use bytes::Bytes;
use rwasm_value::value::codec::{Malformed, Reader, Writer};
use rwasm_value::value::{Packed, Type};
use std::borrow::Cow;
use std::future::poll_fn;
use wasmtime::component::types::Type as WasmType;
use wasmtime::component::{Accessor, Func, StreamReader, Val};
use wasmtime::{AsContextMut as _, Store};
use wasmtime_wasi::p3::bindings::Command;

/// Calls the function, and returns its packed result.
pub(super) async fn call(
    store: &mut Store<GuestState>,
    callee: Func,
    function: &Function,
    request: &Request<'_>,
) -> Result<Vec<u8>, Stop> {
    let arguments = arguments(store, callee, function, request)?;
    let allowance = Allowance::new(request.setting.limits.output.as_usize());
    let live = Live::of(function, request);
    let result = function.result.as_ref();
    let returned = store
        .run_concurrent(async |accessor| {
            let mut results = [Val::Bool(false)];
            let results = &mut results[..usize::from(result.is_some())];
            callee
                .call_concurrent(accessor, &arguments, results)
                .await?;
            let returned = match (result, results) {
                (Some(ty), [val]) => {
                    let val = std::mem::replace(val, Val::Bool(false));
                    accessor.with(|mut access| {
                        let store = &mut access.as_context_mut();
                        Returned::begin(store, val, ty, (&allowance, live)).map(Some)
                    })?
                }
                _ => None,
            };
            if let Some(returned) = &returned {
                returned.all().await;
            }
            all_ended(accessor).await;
            wasmtime::error::Ok(returned)
        })
        .await;
    let returned = returned
        .and_then(|returned| returned)
        .map_err(|error| called(error, function))?;
    expect_arrived(store, request)?;
    let mut out = Writer::default();
    if let (Some(returned), Some(ty)) = (returned, result) {
        let limits = &request.setting.limits;
        let packed = returned.pack(&mut out, ty, limits.output.as_usize());
        packed.map_err(|error| match error {
            Unpackable::Value(WriteError::TooLarge) => failure::output_limit(limits),
            Unpackable::Value(WriteError::Type) => bad(function, "does not match its type"),
            Unpackable::NoValue => bad(function, "is a future that was closed without a value"),
        })?;
    }
    Ok(out.into_vec())
}

fn bad(function: &Function, what: &str) -> Failure {
    let message = format!("the result of `{}` {what}", function.name);
    Failure::new(FailureCode::BadOutput, message)
}

/// Runs a program of WASI 0.3, and returns what it printed.
pub(super) async fn run_program(
    store: &mut Store<GuestState>,
    program: &Command,
    request: &Request<'_>,
) -> Result<Packed, Stop> {
    let ran = store
        .run_concurrent(async |accessor| {
            let ran = program.wasi_cli_run().call_run(accessor).await?;
            all_ended(accessor).await;
            wasmtime::error::Ok(ran)
        })
        .await;
    // The guest was told so when it printed, and may have ended for that or have gone on.
    if store.data().stdio.stdout.is_overfull() {
        return Err(failure::output_limit(&request.setting.limits).into());
    }
    exited(ran.and_then(|ran| ran), store, request)?;
    expect_arrived(store, request)?;
    Ok(core::program_output(store))
}

/// A task whose output is cut does not succeed.
fn expect_arrived(store: &Store<GuestState>, request: &Request<'_>) -> Result<(), Failure> {
    failure::lost(store.data(), &request.setting.limits).map_or(Ok(()), Err)
}

/// Waits until the guest has nothing running any more, and until what it connected has arrived.
async fn all_ended(accessor: &Accessor<GuestState>) {
    poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
    let (flows, calls) = accessor.with(|mut access| {
        let state = access.get();
        (state.stdio.flows.clone(), state.pending.count())
    });
    flows.all_arrived(calls).await;
}

fn arguments(
    store: &mut Store<GuestState>,
    callee: Func,
    function: &Function,
    request: &Request<'_>,
) -> Result<Vec<Val>, Stop> {
    let types: Vec<WasmType> = callee.ty(&*store).params().map(|(_, ty)| ty).collect();
    let params = types.iter().zip(function.params.iter().map(|(_, ty)| ty));
    match request.arguments {
        Arguments::Chunk(chunk) if function.is_fed => {
            let input = Stdin::chunk(chunk).map_err(|error| unreadable(&error))?;
            store.data_mut().feed(input.clone());
            let end = store.data().stdio.flows.source();
            let stream = StreamReader::new(&mut *store, Feed::new(input, end))?;
            Ok(vec![Val::Stream(stream.try_into_stream_any(store)?)])
        }
        Arguments::Chunk(chunk) => Ok(vec![super::component::whole(chunk, function)?]),
        Arguments::Values(values) => params
            .zip(values)
            .map(|((passed, ty), value)| argument(store, passed, ty, value.payload()))
            .collect(),
        Arguments::Parts(parts) => params
            .map(|(passed, ty)| argument(store, passed, ty, &list_of(parts)))
            .collect(),
    }
}

/// A list of these values, in packed form.
fn list_of(parts: &[Packed]) -> Cow<'static, [u8]> {
    let mut list = Writer::default();
    list.put_len(parts.len());
    for part in parts {
        list.put_raw(part.payload());
    }
    list.into_vec().into()
}

/// Makes an argument of a value in packed form.
fn argument(
    store: &mut Store<GuestState>,
    passed: &WasmType,
    ty: &Type,
    payload: &[u8],
) -> Result<Val, Stop> {
    let malformed = |error: Malformed| {
        let message = format!("malformed argument: {error}");
        Stop::from(Failure::new(FailureCode::BadInput, message))
    };
    let mut reader = Reader::new(payload);
    match (passed, ty) {
        (WasmType::Stream(_), Type::List(element)) if **element == Type::U8 => {
            let bytes = reader.byte_string().map_err(malformed)?;
            let stream = StreamReader::new(&mut *store, Bytes::copy_from_slice(bytes))?;
            Ok(Val::Stream(stream.try_into_stream_any(store)?))
        }
        (WasmType::Stream(_), Type::List(element)) => {
            stream_of(store, &mut reader, element)?.map_err(malformed)
        }
        (WasmType::Future(_), ty) => future_of(store, &mut reader, ty)?.map_err(malformed),
        (_, ty) => val::read(&mut reader, ty).map_err(malformed),
    }
}
