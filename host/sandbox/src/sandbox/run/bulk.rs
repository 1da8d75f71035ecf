//! Calls into components that pass bulk data: text, bytes, lists of scalars or strings, and lists
//! of words with a scalar. They use static types, so that no element becomes a dynamic value on the
//! way.
//!
//! wasmtime generates code for each pair of parameters and result, so only some pairs are covered:
//! those of mappers, reducers, and functions that produce or sum up a list. Any other list is
//! passed as a tree of values (see `val`).

use super::failure;
use super::runner::Stop;
use super::text;
use crate::outcome::{Failure, FailureCode};
use crate::sandbox::module::Function;
use crate::sandbox::world::request::Arguments;
use crate::sandbox::world::state::GuestState;
use crate::sandbox::world::stdio::unreadable;
use rwasm_value::value::codec::Reader;
use rwasm_value::value::{FromWit, Packed, PackedError, Stands as _, ToWit, Type};
use std::future::Future;
use std::pin::Pin;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, ComponentType, Func, Lift, Lower};

/// One call, with everything it needs.
pub(super) struct Passing<'c> {
    pub(super) store: &'c mut Store<GuestState>,
    pub(super) callee: Func,
    pub(super) function: &'c Function,
    pub(super) arguments: &'c Arguments,
}

type Passed<'c> = Pin<Box<dyn Future<Output = Result<Vec<u8>, Stop>> + 'c>>;

/// Calls a function of the types it was chosen for, and returns its result in packed form.
pub(super) type Bulk = for<'c> fn(Passing<'c>) -> Passed<'c>;

/// Returns how to call `function` if it passes bulk data of types that are covered.
pub(super) fn choose(function: &Function) -> Option<Bulk> {
    // A mapper's input may be large where its result is not.
    let counting = number::<u64>(function)
        .or_else(|| number::<i64>(function))
        .or_else(|| number::<f64>(function));
    if counting.is_some() {
        return counting;
    }
    macro_rules! each {
        ($($bulk:ty),+ $(,)?) => {
            None$(.or_else(|| of::<$bulk>(function)))+
        };
    }
    macro_rules! with_lists {
        ($($scalar:ty),+; $($other:ty),+ $(,)?) => {
            each!($($other),+, $(Vec<$scalar>, Vec<(String, $scalar)>),+)
        };
    }
    with_lists!(
        u64, i64, u32, i32, f64, f32, bool, char, u16, i16, i8, u8;
        String, Vec<String>
    )
}

/// Types that are passed in one piece, or element by element without a value for each.
trait Piece: FromWit + ToWit + ComponentType + Lift + Lower + Send + Sync + 'static {}

impl<T: FromWit + ToWit + ComponentType + Lift + Lower + Send + Sync + 'static> Piece for T {}

/// How to call a function that takes text or bytes and returns a number.
fn number<T: Piece>(function: &Function) -> Option<Bulk> {
    let [(_, param)] = function.params.as_slice() else {
        return None;
    };
    let result = function.result.as_ref()?;
    let is_fallible = <Result<T, String>>::fits(result);
    match param {
        _ if !is_fallible && !T::fits(result) => None,
        Type::String if is_fallible => Some(|call| Box::pin(text::<Result<T, String>>(call))),
        Type::String => Some(|call| Box::pin(text::<T>(call))),
        ty if !ty.is_bytes() => None,
        _ if is_fallible => Some(|call| Box::pin(bytes::<Result<T, String>>(call))),
        _ => Some(|call| Box::pin(bytes::<T>(call))),
    }
}

/// How to call a function that returns a `T`, or that takes one and returns a scalar.
fn of<T: Piece>(function: &Function) -> Option<Bulk> {
    let params: Vec<&Type> = function.params.iter().map(|(_, ty)| ty).collect();
    let result = function.result.as_ref()?;
    if <Result<T, String>>::fits(result) {
        return match params[..] {
            [Type::String] => Some(|call| Box::pin(text::<Result<T, String>>(call))),
            [ty] if ty.is_bytes() => Some(|call| Box::pin(bytes::<Result<T, String>>(call))),
            _ => None,
        };
    }
    if T::fits(result) {
        return match params[..] {
            [] => Some(|call| Box::pin(values::<(), T>(call))),
            [Type::U32] => Some(|call| Box::pin(values::<(u32,), T>(call))),
            [Type::U64] => Some(|call| Box::pin(values::<(u64,), T>(call))),
            [Type::String] => Some(|call| Box::pin(text::<T>(call))),
            [ty] if ty.is_bytes() => Some(|call| Box::pin(bytes::<T>(call))),
            [ty] if T::fits(ty) => Some(|call| Box::pin(values::<(T,), T>(call))),
            [ty] if <Vec<T>>::fits(ty) => Some(|call| Box::pin(parts::<T>(call))),
            [one, other] if T::fits(one) && T::fits(other) => {
                Some(|call| Box::pin(values::<(T, T), T>(call)))
            }
            _ => None,
        };
    }
    match (&params[..], result) {
        ([ty], Type::U64) if T::fits(ty) => Some(|call| Box::pin(values::<(T,), u64>(call))),
        ([ty], Type::S64) if T::fits(ty) => Some(|call| Box::pin(values::<(T,), i64>(call))),
        ([ty], Type::F64) if T::fits(ty) => Some(|call| Box::pin(values::<(T,), f64>(call))),
        _ => None,
    }
}

/// A function of one string, which is the chunk or is borrowed from the argument.
async fn text<R: Piece>(call: Passing<'_>) -> Result<Vec<u8>, Stop> {
    let chunk;
    let given = match call.arguments {
        Arguments::Chunk(from) => {
            chunk = from.bytes().map_err(|error| unreadable(&error))?;
            text::check_utf8(from, &chunk)?;
            std::str::from_utf8(&chunk).unwrap_or_default()
        }
        arguments => Reader::new(one(arguments)?.payload())
            .str()
            .map_err(|error| damaged(&error))?,
    };
    call_typed::<_, R>(call.store, call.callee, call.function, (given,)).await
}

/// A function of one `list<u8>`, likewise.
async fn bytes<R: Piece>(call: Passing<'_>) -> Result<Vec<u8>, Stop> {
    let chunk;
    let given = match call.arguments {
        Arguments::Chunk(from) => {
            chunk = from.bytes().map_err(|error| unreadable(&error))?;
            &chunk[..]
        }
        arguments => Reader::new(one(arguments)?.payload())
            .byte_string()
            .map_err(|error| damaged(&error))?,
    };
    call_typed::<_, R>(call.store, call.callee, call.function, (given,)).await
}

/// A reducer: its one list is in parts, or whole.
async fn parts<T: Piece>(call: Passing<'_>) -> Result<Vec<u8>, Stop> {
    let given: Vec<T> = match call.arguments {
        Arguments::Parts(parts) => parts.iter().map(read).collect::<Result<_, _>>()?,
        arguments => read(one(arguments)?)?,
    };
    call_typed::<_, T>(call.store, call.callee, call.function, (given,)).await
}

/// A function whose parameters are read as they are packed.
async fn values<P: Given, R: Piece>(call: Passing<'_>) -> Result<Vec<u8>, Stop> {
    let given = match call.arguments {
        Arguments::Values(values) => P::read(values)?,
        Arguments::Parts(parts) => P::of_parts(parts)?,
        Arguments::Chunk(_) => return Err(miscounted().into()),
    };
    call_typed::<_, R>(call.store, call.callee, call.function, given).await
}

/// Parameters that can be read from their packed forms.
trait Given: ComponentNamedList + Lower + Send + Sync + Sized + 'static {
    fn read(values: &[Packed]) -> Result<Self, Failure>;

    /// The one list that a reducer takes, of its parts.
    fn of_parts(_: &[Packed]) -> Result<Self, Failure> {
        Err(miscounted())
    }
}

impl Given for () {
    fn read(_: &[Packed]) -> Result<Self, Failure> {
        Ok(())
    }
}

impl<A: Piece> Given for (A,) {
    fn read(values: &[Packed]) -> Result<Self, Failure> {
        match values {
            [one] => Ok((read(one)?,)),
            _ => Err(miscounted()),
        }
    }

    fn of_parts(parts: &[Packed]) -> Result<Self, Failure> {
        // A list whose elements are not bulk data is packed as a whole.
        let mut whole = rwasm_value::value::codec::Writer::default();
        whole.put_len(parts.len());
        for part in parts {
            whole.put_raw(part.payload());
        }
        let ty = parts.first().map_or(Type::Bool, |part| part.ty().clone());
        let whole = Packed::from_payload(Type::list(ty), whole.into_vec().into());
        Ok((read(&whole)?,))
    }
}

impl<A: Piece, B: Piece> Given for (A, B) {
    fn read(values: &[Packed]) -> Result<Self, Failure> {
        match values {
            [one, other] => Ok((read(one)?, read(other)?)),
            _ => Err(miscounted()),
        }
    }
}

async fn call_typed<P, R>(
    store: &mut Store<GuestState>,
    callee: Func,
    function: &Function,
    given: P,
) -> Result<Vec<u8>, Stop>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: Piece,
{
    let typed = callee.typed::<P, (R,)>(&*store)?;
    let called = typed.call_async(store, given).await;
    let (result,) = called.map_err(|error| failure::of_call(error, function))?;
    let Some(ty) = &function.result else {
        return Ok(Vec::new());
    };
    let packed = Packed::pack_from(&result, ty);
    let packed = packed.map_err(|error| Failure::new(FailureCode::BadOutput, error.to_string()))?;
    Ok(packed.payload().to_vec())
}

fn one(arguments: &Arguments) -> Result<&Packed, Failure> {
    match arguments {
        Arguments::Values(values) if values.len() == 1 => Ok(&values[0]),
        _ => Err(miscounted()),
    }
}

fn read<T: FromWit>(value: &Packed) -> Result<T, Failure> {
    value
        .unpack_as()
        .map_err(|error: PackedError| damaged(&error))
}

fn damaged(error: &dyn std::error::Error) -> Failure {
    Failure::new(
        FailureCode::BadInput,
        format!("malformed argument: {error}"),
    )
}

/// Arguments are counted before a call.
fn miscounted() -> Failure {
    Failure::new(
        FailureCode::Internal,
        "the number of arguments differs from the number of parameters",
    )
}
