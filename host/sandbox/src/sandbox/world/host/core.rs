//! The host's interface for core modules: the canonical ABI by hand, as `abi` does it for the
//! functions that a guest exports.
//!
//! Guests are not trusted: every pointer and length is checked against the guest's memory before
//! anything is read or written, and an error is a trap with a message.

use super::super::state::GuestState;
use crate::note::LogLevel;
use crate::pushed::PushedValue;
use crate::sandbox::abi::Waits;
use crate::sandbox::module::Module;
use crate::sandbox::module::imports::host_functions;
use crate::sandbox::module::load::LoadError;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use wasmtime::{Caller, Error, Linker, Memory, ModuleExport, Result, TypedFunc, bail};

/// The parameters of a function as core types. Most have no result: a result of more than one
/// number is written to where the last parameter points.
const TYPES: [(&str, &[&str], &[&str]); 7] = [
    ("engine-count", &[], &["i32"]),
    ("engine-id", &[], &["i32"]),
    ("log", &["i32", "i32", "i32"], &[]),
    ("panicked", &["i32", "i32", "i32", "i32", "i32", "i32"], &[]),
    ("progress", &["i64", "i32", "i64"], &[]),
    ("publish", &["i32", "i32", "i32", "i32"], &[]),
    ("pushed", &["i32", "i32", "i32"], &[]),
];

/// The layout of an `option<list<u8>>`, and its size.
const LIST_POINTER: usize = 4;
const LIST_LENGTH: usize = 8;
const OPTION_SIZE: u32 = 12;
const OPTION_ALIGN: u32 = 4;

/// How the guest's memory is found.
#[derive(Clone, Copy)]
struct Exports {
    memory: Option<ModuleExport>,
    realloc: Option<ModuleExport>,
}

/// Defines the functions of the host's interface that `code` imports. Functions that the interface
/// lacks are left to the stubs.
///
/// # Errors
///
/// Returns an error if it imports one with a different type.
pub(in crate::sandbox) fn define(
    linker: &mut Linker<GuestState>,
    module: &Module,
    code: &wasmtime::Module,
    waits: Waits,
) -> Result<(), LoadError> {
    let exports = Exports {
        memory: code.get_export_index("memory"),
        realloc: code.get_export_index("cabi_realloc"),
    };
    let mut defined = BTreeSet::new();
    for import in code.imports() {
        let (interface, name) = (import.module(), import.name());
        let Some(known) = host_functions(interface) else {
            continue;
        };
        let mut types = TYPES.iter().filter(|(one, _, _)| known.contains(one));
        let Some((_, params, results)) = types.find(|(one, _, _)| *one == name) else {
            continue;
        };
        check_type(&import, params, results)
            .map_err(|message| LoadError::invalid(module, message))?;
        if defined.insert((interface, name)) {
            define_one(linker, interface, name, exports, waits)
                .map_err(|error| LoadError::invalid(module, format!("{error:#}")))?;
        }
    }
    Ok(())
}

fn check_type(
    import: &wasmtime::ImportType<'_>,
    params: &[&str],
    results: &[&str],
) -> std::result::Result<(), String> {
    let (interface, name, found) = (import.module(), import.name(), import.ty());
    let fits = found.func().is_some_and(|ty| {
        ty.params()
            .map(|ty| ty.to_string())
            .eq(params.iter().copied())
            && ty
                .results()
                .map(|ty| ty.to_string())
                .eq(results.iter().copied())
    });
    if fits {
        return Ok(());
    }
    let found = match found.func() {
        Some(ty) => ty.to_string(),
        None => "no function".to_owned(),
    };
    Err(format!(
        "its import `{name}` of `{interface}` does not fit: expected ({}) -> ({}), found {found}",
        params.join(", "),
        results.join(", ")
    ))
}

fn define_one(
    linker: &mut Linker<GuestState>,
    interface: &str,
    name: &str,
    exports: Exports,
    waits: Waits,
) -> Result<()> {
    type Call<'a> = Caller<'a, GuestState>;
    match name {
        "engine-count" => linker.func_wrap(interface, name, |caller: Call<'_>| {
            caller.data().desk.engine_count
        }),
        "engine-id" => linker.func_wrap(interface, name, |caller: Call<'_>| {
            caller.data().desk.told_engine.0
        }),
        "log" => linker.func_wrap(
            interface,
            name,
            move |mut caller: Call<'_>, level: u32, text: u32, length: u32| {
                let level = LogLevel::ALL.get(level as usize).copied();
                let level =
                    level.ok_or_else(|| Error::msg("`log` was called with an unknown level"))?;
                let memory = exports.memory(&mut caller, "log")?;
                let (memory, state) = memory.data_and_store_mut(&mut caller);
                let text = string(memory, text, length, "the message of `log`")?;
                state.count_call(text.len());
                state.desk.notes.log(level, text);
                Ok(())
            },
        ),
        "panicked" => return define_panicked(linker, interface, name, exports),
        "progress" => linker.func_wrap(
            interface,
            name,
            |mut caller: Call<'_>, done: u64, has_total: u32, total: u64| {
                let total = match has_total {
                    0 => None,
                    1 => Some(total),
                    _ => {
                        bail!("`progress` was called with an option that is neither none nor some")
                    }
                };
                let state = caller.data_mut();
                state.count_call(0);
                state.desk.notes.progress(done, total);
                Ok(())
            },
        ),
        "publish" => linker.func_wrap(
            interface,
            name,
            move |mut caller: Call<'_>, name: u32, name_length: u32, value: u32, length: u32| {
                let memory = exports.memory(&mut caller, "publish")?;
                let (memory, state) = memory.data_and_store_mut(&mut caller);
                let name = string(memory, name, name_length, "the name for `publish`")?;
                let value = slice(memory, value, length, "the value for `publish`")?;
                state.count_call(name.len() + value.len());
                state.desk.notes.publish(name, value);
                Ok(())
            },
        ),
        _ => return define_pushed(linker, interface, name, exports, waits),
    }
    .map(drop)
}

fn define_panicked(
    linker: &mut Linker<GuestState>,
    interface: &str,
    name: &str,
    exports: Exports,
) -> Result<()> {
    type Call<'a> = Caller<'a, GuestState>;
    linker
        .func_wrap(
            interface,
            name,
            move |mut caller: Call<'_>,
                  message: u32,
                  message_length: u32,
                  file: u32,
                  file_length: u32,
                  line: u32,
                  column: u32| {
                let memory = exports.memory(&mut caller, "panicked")?;
                let (memory, state) = memory.data_and_store_mut(&mut caller);
                let message = string(memory, message, message_length, "the message of `panicked`")?;
                let file = string(memory, file, file_length, "the file of `panicked`")?;
                state.count_call(message.len() + file.len());
                state.desk.note_panic(message, file, line, column);
                Ok(())
            },
        )
        .map(drop)
}

fn define_pushed(
    linker: &mut Linker<GuestState>,
    interface: &str,
    name: &str,
    exports: Exports,
    waits: Waits,
) -> Result<()> {
    type Call<'a> = Caller<'a, GuestState>;
    match waits {
        Waits::Never => linker.func_wrap(
            interface,
            name,
            move |caller: Call<'_>, name: u32, length: u32, place: u32| {
                let answer = pin!(pushed(caller, exports, waits, (name, length, place)));
                match answer.poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(answered) => answered,
                    Poll::Pending => bail!("allocating memory for a pushed value blocked"),
                }
            },
        ),
        Waits::Maybe => linker.func_wrap_async(
            interface,
            name,
            move |caller: Call<'_>, arguments: (u32, u32, u32)| {
                Box::new(pushed(caller, exports, waits, arguments))
            },
        ),
    }
    .map(drop)
}

/// Answers `pushed`: the place of the option is given; the guest allocates memory for the value.
async fn pushed(
    mut caller: Caller<'_, GuestState>,
    exports: Exports,
    waits: Waits,
    (name, length, place): (u32, u32, u32),
) -> Result<()> {
    if caller.data().desk.is_making_room {
        bail!("`pushed` was called while memory for a pushed value was being allocated");
    }
    let memory = exports.memory(&mut caller, "pushed")?;
    let value = {
        let (memory, state) = memory.data_and_store_mut(&mut caller);
        let name = string(memory, name, length, "the name for `pushed`")?;
        slice(memory, place, OPTION_SIZE, "the return area of `pushed`")?;
        if !place.is_multiple_of(OPTION_ALIGN) {
            bail!(
                "the return area of `pushed` is at address {place}, which is not a multiple of 4"
            );
        }
        let value = state.desk.pushed(name).cloned();
        let bytes = value.as_ref().map_or(0, |value| value.bytes().len());
        state.count_call(bytes);
        value
    };
    let place = place as usize;
    let Some(value) = value else {
        memory.data_mut(&mut caller)[place] = 0;
        return Ok(());
    };
    let (start, length) = copied(&mut caller, exports, waits, memory, &value).await?;
    let option = &mut memory.data_mut(&mut caller)[place..][..OPTION_SIZE as usize];
    option[0] = 1;
    option[LIST_POINTER..LIST_LENGTH].copy_from_slice(&start.to_le_bytes());
    option[LIST_LENGTH..].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Copies the value into memory that the guest allocates, and returns its place and length.
async fn copied(
    caller: &mut Caller<'_, GuestState>,
    exports: Exports,
    waits: Waits,
    memory: Memory,
    value: &Arc<PushedValue>,
) -> Result<(u32, u32)> {
    let bytes = value.bytes();
    let Ok(length) = u32::try_from(bytes.len()) else {
        bail!(
            "the pushed value of {} bytes does not fit into a guest's memory",
            bytes.len()
        );
    };
    if length == 0 {
        return Ok((1, 0));
    }
    let realloc: TypedFunc<(u32, u32, u32, u32), u32> = exports
        .realloc
        .and_then(|realloc| caller.get_module_export(&realloc))
        .and_then(wasmtime::Extern::into_func)
        .and_then(|realloc| realloc.typed(&*caller).ok())
        .ok_or_else(|| {
            Error::msg(
                "the module exports no cabi_realloc, which the host needs to pass values to it",
            )
        })?;
    caller.data_mut().desk.is_making_room = true;
    let start = match waits {
        Waits::Never => realloc.call(&mut *caller, (0, 0, 1, length)),
        Waits::Maybe => realloc.call_async(&mut *caller, (0, 0, 1, length)).await,
    }?;
    caller.data_mut().desk.is_making_room = false;
    let memory = memory.data_mut(caller);
    let size = memory.len();
    let end = (start as usize).checked_add(bytes.len());
    let room = end.and_then(|end| memory.get_mut(start as usize..end));
    let Some(room) = room else {
        bail!("cabi_realloc returned {start} for {length} bytes, in a memory of {size} bytes");
    };
    room.copy_from_slice(bytes);
    Ok((start, length))
}

impl Exports {
    fn memory(self, caller: &mut Caller<'_, GuestState>, asked: &str) -> Result<Memory> {
        self.memory
            .and_then(|memory| caller.get_module_export(&memory))
            .and_then(wasmtime::Extern::into_memory)
            .ok_or_else(|| {
                Error::msg(format!(
                    "`{asked}` was called by a module that exports no memory"
                ))
            })
    }
}

fn slice<'a>(memory: &'a [u8], place: u32, length: u32, what: &str) -> Result<&'a [u8]> {
    let start = place as usize;
    start
        .checked_add(length as usize)
        .and_then(|end| memory.get(start..end))
        .ok_or_else(|| {
            Error::msg(format!(
                "{what} has {length} bytes at address {place}, beyond the end of a memory of {} bytes",
                memory.len()
            ))
        })
}

fn string<'a>(memory: &'a [u8], place: u32, length: u32, what: &str) -> Result<&'a str> {
    let bytes = slice(memory, place, length, what)?;
    std::str::from_utf8(bytes).map_err(|_| Error::msg(format!("{what} is not UTF-8")))
}
