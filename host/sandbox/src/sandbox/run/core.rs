//! Calls into core modules: programs, and typed functions by a hand-written canonical ABI; plain functions are in `plain`.

use super::failure;
use super::plain::PlainCall;
use super::program::{CoreCode, CoreFunction};
use super::runner::Stop;
use super::text;
use crate::outcome::{Failure, FailureCode};
use crate::sandbox::abi::{
    Flat, GuestMemory, LiftError, LowerError, Waits, flat_argument, lift_result,
};
use crate::sandbox::abi::{Signature, lower_list_of, lower_memory, lower_params};
use crate::sandbox::module::{Binding, Callee, Function, ModuleInfo};
use crate::sandbox::world::request::{Arguments, Request};
use crate::sandbox::world::state::GuestState;
use crate::sandbox::world::stdio::unreadable;
use bytes::Bytes;
use rwasm_value::value::codec::{Reader, Writer};
use rwasm_value::value::{Packed, Type};
use wasmtime::{Func, Instance, Memory, Store, TypedFunc, Val};
use wasmtime_wasi::I32Exit;

/// An instance of a core module, with everything that a call needs.
pub(super) struct CoreInstance {
    pub(super) instance: Instance,
    pub(super) memory: Option<Memory>,
    realloc: Option<TypedFunc<(u32, u32, u32, u32), u32>>,
}

/// Calls the target of the request, in `instance` or in a fresh one.
pub(super) async fn call(
    module: &ModuleInfo,
    code: &CoreCode,
    request: &Request<'_>,
    store: &mut Store<GuestState>,
    instance: Option<CoreInstance>,
) -> Result<(Result<Packed, Failure>, Option<CoreInstance>), Stop> {
    let instance = match instance {
        Some(instance) => instance,
        None => match CoreInstance::new(code, store, request.callee).await {
            Ok(instance) => instance,
            // A program may exit before its `_start` is called.
            Err(Stop::Guest(error))
                if request.callee == Callee::Command && is_success(&error, request) =>
            {
                return Ok((Ok(program_output(store)), None));
            }
            Err(stop) => return Err(stop),
        },
    };
    request.surroundings.mark_instantiated();
    match request.callee {
        Callee::Command => {
            let value = run_program(code, store, &instance, request).await?;
            // A program runs once; its instance ends with it.
            Ok((Ok(value), None))
        }
        Callee::Function(idx) => {
            let function = &module.functions()[idx];
            let bound = &code.functions[idx];
            let value = match &function.binding {
                Binding::Typed(signature) => {
                    let typed = TypedCall {
                        code,
                        request,
                        function,
                        signature,
                        bound,
                    };
                    typed.run(store, &instance).await?
                }
                Binding::Plain
                | Binding::Bytes(_)
                | Binding::Component { .. }
                | Binding::Script(_) => {
                    let plain = PlainCall {
                        code,
                        request,
                        function,
                        bound,
                    };
                    plain.run(store, &instance).await?
                }
            };
            Ok((value, Some(instance)))
        }
    }
}

impl CoreInstance {
    async fn new(
        code: &CoreCode,
        store: &mut Store<GuestState>,
        callee: Callee,
    ) -> Result<Self, Stop> {
        let instance = match code.waits {
            Waits::Never => code.instance.instantiate(&mut *store)?,
            Waits::Maybe => code.instance.instantiate_async(&mut *store).await?,
        };
        if let Callee::Function(_) = callee
            && let Some(initialize) = &code.initialize
            && let Some(initialize) = instance
                .get_module_export(&mut *store, initialize)
                .and_then(wasmtime::Extern::into_func)
        {
            invoke(code.waits, store, initialize, &[], &mut []).await?;
        }
        let memory = code
            .memory
            .as_ref()
            .and_then(|memory| instance.get_module_export(&mut *store, memory))
            .and_then(wasmtime::Extern::into_memory);
        let realloc = code
            .realloc
            .as_ref()
            .and_then(|realloc| instance.get_module_export(&mut *store, realloc))
            .and_then(wasmtime::Extern::into_func)
            .and_then(|realloc| realloc.typed(&*store).ok());
        Ok(Self {
            instance,
            memory,
            realloc,
        })
    }

    pub(super) fn function(
        &self,
        store: &mut Store<GuestState>,
        function: &CoreFunction,
    ) -> Result<Func, Stop> {
        self.instance
            .get_module_export(&mut *store, &function.export)
            .and_then(wasmtime::Extern::into_func)
            .ok_or_else(|| {
                Stop::Failure(Failure::new(FailureCode::Internal, "an export is missing"))
            })
    }
}

pub(super) async fn invoke(
    waits: Waits,
    store: &mut Store<GuestState>,
    function: Func,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    match waits {
        Waits::Never => function.call(&mut *store, params, results),
        Waits::Maybe => function.call_async(&mut *store, params, results).await,
    }
}

async fn run_program(
    code: &CoreCode,
    store: &mut Store<GuestState>,
    instance: &CoreInstance,
    request: &Request<'_>,
) -> Result<Packed, Stop> {
    let start = code
        .start
        .as_ref()
        .and_then(|start| instance.instance.get_module_export(&mut *store, start))
        .and_then(wasmtime::Extern::into_func)
        .ok_or_else(|| Failure::new(FailureCode::Internal, "the program has no _start"))?;
    match invoke(code.waits, store, start, &[], &mut []).await {
        Ok(()) => {}
        Err(error) if is_success(&error, request) => {}
        Err(error) => return Err(error.into()),
    }
    request.surroundings.mark_called();
    Ok(program_output(store))
}

/// Whether a guest exited the whole program successfully.
pub(super) fn is_success(error: &wasmtime::Error, request: &Request<'_>) -> bool {
    error
        .downcast_ref::<I32Exit>()
        .is_some_and(|exit| is_ok_exit(failure::exit_code(exit), request))
}

/// Whether a program that exits with this code has a result.
pub(super) fn is_ok_exit(code: u32, request: &Request<'_>) -> bool {
    code == 0 || request.setting.command.ok_exit.contains(&code)
}

/// Returns what a program printed, as its value.
pub(super) fn program_output(store: &Store<GuestState>) -> Packed {
    let printed = store.data().stdio.stdout.take().kept;
    let mut writer = Writer::with_capacity(printed.len() + 10);
    writer.put_bytes(&printed);
    Packed::from_payload(Type::bytes(), Bytes::from(writer.into_vec()))
}

/// One call of a typed function.
struct TypedCall<'a> {
    code: &'a CoreCode,
    request: &'a Request<'a>,
    function: &'a Function,
    signature: &'a Signature,
    bound: &'a CoreFunction,
}

impl TypedCall<'_> {
    async fn run(
        &self,
        store: &mut Store<GuestState>,
        instance: &CoreInstance,
    ) -> Result<Result<Packed, Failure>, Stop> {
        let memory = instance.memory;
        let mut flat = Vec::with_capacity(4);
        {
            let mut guest =
                GuestMemory::new(store, memory, instance.realloc.clone(), self.code.waits);
            self.lower(&mut guest, &mut flat)?;
        }
        let params: Vec<Val> = flat.into_iter().map(Val::from).collect();
        let callee = instance.function(store, self.bound)?;
        let mut results = [Val::I32(0)];
        let count = usize::from(self.signature.result.is_some());
        match invoke(
            self.code.waits,
            store,
            callee,
            &params,
            &mut results[..count],
        )
        .await
        {
            Ok(()) => {}
            Err(error) if error.is::<I32Exit>() => return Err(self.exited(&error)),
            Err(error) => return Err(error.into()),
        }
        self.request.surroundings.mark_called();
        let limits = &self.request.setting.limits;
        let payload = match &self.signature.result {
            None => Vec::new(),
            Some(layout) => {
                let indirect = self.signature.indirect_result;
                lift_result(
                    memory.map_or(&[], |memory| memory.data(&*store)),
                    layout,
                    indirect,
                    &results[0],
                    limits.output.bytes(),
                )
                .map_err(|error| match error {
                    LiftError::TooLarge => failure::output_limit(limits),
                    LiftError::Abi(text) => Failure::new(
                        FailureCode::BadOutput,
                        format!(
                            "the result of `{}` violates the canonical ABI: {text}",
                            self.function.name
                        ),
                    ),
                })?
            }
        };
        if self.request.setting.keep_instance
            && let Some(post_return) = &self.bound.post_return
            && let Some(post_return) = instance
                .instance
                .get_module_export(&mut *store, post_return)
                .and_then(wasmtime::Extern::into_func)
        {
            invoke(
                self.code.waits,
                store,
                post_return,
                &results[..count],
                &mut [],
            )
            .await?;
        }
        Ok(text::returned(self.function, payload))
    }

    /// A function that exits the whole program has no result, whatever the exit code.
    fn exited(&self, error: &wasmtime::Error) -> Stop {
        let code = error
            .downcast_ref::<I32Exit>()
            .map_or(0, failure::exit_code);
        Stop::Failure(Failure::new(
            FailureCode::ExitCode,
            format!(
                "`{}` exited with code {code} instead of returning",
                self.function.name
            ),
        ))
    }

    fn lower(
        &self,
        guest: &mut GuestMemory<'_, GuestState>,
        flat: &mut Vec<Flat>,
    ) -> Result<(), Stop> {
        let layouts = &self.signature.params;
        match self.request.arguments {
            Arguments::Chunk(chunk) => {
                let length = chunk.len().and_then(|length| u32::try_from(length).ok());
                let length = length.ok_or_else(|| {
                    failure::input_limit(
                        chunk.len().unwrap_or(u64::MAX),
                        &self.request.setting.limits,
                    )
                })?;
                let is_text = self
                    .function
                    .params
                    .first()
                    .is_some_and(|(_, ty)| *ty == Type::String);
                let place = lower_memory(guest, length, |slot| {
                    chunk.read_into(slot).map_err(|error| unreadable(&error))?;
                    if is_text {
                        text::check_utf8(chunk, slot)
                    } else {
                        Ok(())
                    }
                })
                .map_err(|error| self.lowering(error))??;
                flat.extend([Flat::I32(place), Flat::I32(length)]);
            }
            Arguments::Parts(parts) => {
                let [layout] = layouts.as_slice() else {
                    return Err(self.wrong_arguments());
                };
                let payloads = parts.iter().map(|part| &part.payload()[..]);
                let (place, length) =
                    lower_list_of(guest, layout, payloads).map_err(|error| self.lowering(error))?;
                flat.extend([Flat::I32(place), Flat::I32(length)]);
            }
            Arguments::Values(values) => {
                if values.len() != layouts.len() {
                    return Err(self.wrong_arguments());
                }
                if self.signature.indirect_params {
                    let readers = values.iter().map(|value| Reader::new(value.payload()));
                    let place = lower_params(guest, layouts, readers)
                        .map_err(|error| self.lowering(error))?;
                    flat.push(Flat::I32(place));
                } else {
                    for (layout, value) in layouts.iter().zip(values) {
                        flat_argument(guest, layout, &mut Reader::new(value.payload()), flat)
                            .map_err(|error| self.lowering(error))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn wrong_arguments(&self) -> Stop {
        Stop::Failure(Failure::new(
            FailureCode::BadInput,
            format!(
                "the arguments do not match the parameters of `{}`",
                self.function
            ),
        ))
    }

    fn lowering(&self, error: LowerError) -> Stop {
        let failure = match error {
            LowerError::Call(error) => return Stop::Guest(error),
            LowerError::Abi(text) => Failure::new(
                FailureCode::BadOutput,
                format!("the guest violates the canonical ABI: {text}"),
            ),
            LowerError::TooLarge(size) => failure::input_limit(size, &self.request.setting.limits),
            LowerError::Packed(error) => Failure::new(
                FailureCode::BadInput,
                format!("malformed value for `{}`: {error}", self.function.name),
            ),
            LowerError::NoRealloc => Failure::new(
                FailureCode::BadOutput,
                "the module exports no cabi_realloc, which the host needs to pass values to it",
            ),
        };
        Stop::Failure(failure)
    }
}
