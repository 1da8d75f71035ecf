//! The host's interface for components, and the types of their imports.

use super::super::state::GuestState;
use super::Panicked;
use crate::note::LogLevel;
use crate::sandbox::module::imports::{HOST, HOST_VERSIONS, host_functions};
use rwasm_value::value::{Case, Field, Type};
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentFunc, Type as WasmType};
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance};

/// The enum `level` as wasmtime reads it.
#[expect(dead_code, reason = "wasmtime makes them, of what guests give")]
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// Defines the host's interface, in each of its versions. wasmtime provides them to every component
/// that names a compatible version.
pub(in crate::sandbox) fn define(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    for (version, _) in HOST_VERSIONS {
        let interface = format!("{HOST}@{version}");
        let functions = host_functions(&interface).unwrap_or_default();
        define_functions(&mut linker.instance(&interface)?, functions)?;
    }
    Ok(())
}

fn define_functions(
    host: &mut LinkerInstance<'_, GuestState>,
    functions: &[&str],
) -> wasmtime::Result<()> {
    type Context<'a> = StoreContextMut<'a, GuestState>;
    if functions.contains(&"panicked") {
        host.func_wrap(
            "panicked",
            |mut context: Context<'_>, told: (String, String, u32, u32)| {
                let (message, file, line, column) = told;
                let panicked = Panicked::new(&message, &file, line, column);
                let state = context.data_mut();
                state.count_call(message.len() + file.len());
                state.desk.panicked = Some(panicked);
                Ok(())
            },
        )?;
    }
    host.func_wrap("engine-count", |context: Context<'_>, (): ()| {
        Ok((context.data().desk.engine_count,))
    })?;
    host.func_wrap("engine-id", |context: Context<'_>, (): ()| {
        Ok((context.data().desk.told_engine.0,))
    })?;
    host.func_wrap(
        "log",
        |mut context: Context<'_>, (level, message): (Level, String)| {
            let level = LogLevel::ALL[level as usize];
            let state = context.data_mut();
            state.count_call(message.len());
            state.desk.notes.log(level, &message);
            Ok(())
        },
    )?;
    host.func_wrap(
        "progress",
        |mut context: Context<'_>, (done, total): (u64, Option<u64>)| {
            let state = context.data_mut();
            state.count_call(0);
            state.desk.notes.progress(done, total);
            Ok(())
        },
    )?;
    host.func_wrap(
        "publish",
        |mut context: Context<'_>, (name, value): (String, Vec<u8>)| {
            let state = context.data_mut();
            state.count_call(name.len() + value.len());
            state.desk.notes.publish(&name, &value);
            Ok(())
        },
    )?;
    host.func_wrap("pushed", |mut context: Context<'_>, (name,): (String,)| {
        let state = context.data_mut();
        let value = state.desk.pushed(&name);
        let value = value.map(|value| value.bytes().to_vec());
        state.count_call(value.as_ref().map_or(0, Vec::len));
        Ok((value,))
    })
}

/// The types of a function's parameters by name, and of its result if it has one.
pub(super) struct FunctionTypes {
    pub(super) params: Vec<(String, Type)>,
    pub(super) result: Option<Type>,
}

/// Returns the types of the function; none if they cannot be values.
pub(super) fn types(function: &ComponentFunc) -> Option<FunctionTypes> {
    let params = function
        .params()
        .map(|(name, ty)| Some((name.to_owned(), value_type(&ty)?)))
        .collect::<Option<_>>()?;
    let mut results = function.results();
    let result = match results.next() {
        Some(ty) => Some(value_type(&ty)?),
        None => None,
    };
    Some(FunctionTypes { params, result })
}

fn value_type(ty: &WasmType) -> Option<Type> {
    Some(match ty {
        WasmType::Bool => Type::Bool,
        WasmType::S8 => Type::S8,
        WasmType::U8 => Type::U8,
        WasmType::S16 => Type::S16,
        WasmType::U16 => Type::U16,
        WasmType::S32 => Type::S32,
        WasmType::U32 => Type::U32,
        WasmType::S64 => Type::S64,
        WasmType::U64 => Type::U64,
        WasmType::Float32 => Type::F32,
        WasmType::Float64 => Type::F64,
        WasmType::Char => Type::Char,
        WasmType::String => Type::String,
        WasmType::List(list) => Type::list(value_type(&list.ty())?),
        WasmType::FixedLengthList(list) => {
            Type::FixedList(Arc::new((value_type(&list.ty())?, list.len())))
        }
        WasmType::Map(map) => Type::Map(Arc::new((
            value_type(&map.key())?,
            value_type(&map.value())?,
        ))),
        WasmType::Option(option) => Type::option(value_type(&option.ty())?),
        WasmType::Result(result) => Type::result(side(result.ok())?, side(result.err())?),
        WasmType::Tuple(tuple) => Type::Tuple(
            tuple
                .types()
                .map(|ty| value_type(&ty))
                .collect::<Option<_>>()?,
        ),
        WasmType::Record(record) => Type::Record(
            record
                .fields()
                .map(|field| {
                    let ty = value_type(&field.ty)?;
                    let name = field.name.into();
                    Some(Field { name, ty })
                })
                .collect::<Option<_>>()?,
        ),
        WasmType::Variant(variant) => Type::Variant(
            variant
                .cases()
                .map(|case| {
                    let ty = side(case.ty)?;
                    let name = case.name.into();
                    Some(Case { name, ty })
                })
                .collect::<Option<_>>()?,
        ),
        WasmType::Enum(names) => Type::Enum(names.names().map(Into::into).collect()),
        WasmType::Flags(names) => Type::Flags(names.names().map(Into::into).collect()),
        _ => return None,
    })
}

/// The type of an optional part: absent is fine, unsupported is not.
#[expect(
    clippy::option_option,
    reason = "no type, and a type that is none, are two things"
)]
fn side(ty: Option<WasmType>) -> Option<Option<Type>> {
    match ty {
        Some(ty) => value_type(&ty).map(Some),
        None => Some(None),
    }
}
