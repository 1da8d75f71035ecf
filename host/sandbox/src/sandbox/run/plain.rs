//! Calls of plain functions: numbers as they are, and bytes as pointers and lengths by the module's ABI.
//!
//! Each pointer and length that a guest gives is checked against its memory before anything is read, and a result against
//! the output limit before it is copied.

use super::core::{CoreInstance, invoke};
use super::failure;
use super::program::{CoreCode, CoreFunction};
use super::runner::Stop;
use super::text;
use crate::input::Chunk;
use crate::outcome::{Failure, FailureCode};
use crate::sandbox::module::bytes_abi::{
    Allocator, AllocatorFunction, BytesCall, PlainParam, PlainResult,
};
use crate::sandbox::module::{Binding, Function};
use crate::sandbox::world::request::{Arguments, Request};
use crate::sandbox::world::state::GuestState;
use crate::sandbox::world::stdio::unreadable;
use rwasm_value::plain::in_line;
use rwasm_value::value::codec::{Malformed, Reader, Writer};
use rwasm_value::value::{Packed, Type};
use std::borrow::Cow;
use wasmtime::{Func, Store, Val};

/// One call of a plain function.
pub(super) struct PlainCall<'a> {
    pub(super) code: &'a CoreCode,
    pub(super) request: &'a Request<'a>,
    pub(super) function: &'a Function,
    pub(super) bound: &'a CoreFunction,
}

/// Memory that was allocated for an argument.
#[derive(Clone, Copy, PartialEq)]
struct Range {
    place: u32,
    length: u32,
}

impl Range {
    /// As core values.
    fn words(self) -> [Val; 2] {
        [self.place, self.length].map(|word| Val::I32(word.cast_signed()))
    }
}

impl PlainCall<'_> {
    pub(super) async fn run(
        &self,
        store: &mut Store<GuestState>,
        instance: &CoreInstance,
    ) -> Result<Result<Packed, Failure>, Stop> {
        match &self.function.binding {
            Binding::Bytes(bytes) => self.with_bytes(store, instance, bytes).await,
            _ => self.with_numbers(store, instance).await,
        }
    }

    async fn with_numbers(
        &self,
        store: &mut Store<GuestState>,
        instance: &CoreInstance,
    ) -> Result<Result<Packed, Failure>, Stop> {
        let Arguments::Values(values) = self.request.arguments else {
            return Err(Stop::Failure(Failure::new(
                FailureCode::BadInput,
                format!("`{}` takes numbers, not input", self.function),
            )));
        };
        let mut params = Vec::with_capacity(values.len());
        for value in values {
            params.push(number(value)?);
        }
        let mut results = vec![Val::I32(0); self.result_count()];
        self.call(store, instance, &params, &mut results).await?;
        Ok(self.numbers(&results))
    }

    async fn with_bytes(
        &self,
        store: &mut Store<GuestState>,
        instance: &CoreInstance,
        bytes: &BytesCall,
    ) -> Result<Result<Packed, Failure>, Stop> {
        let guest = Guest {
            call: self,
            instance,
            allocator: &bytes.allocator,
        };
        let (params, arguments) = guest.arguments(store, &bytes.params).await?;
        let count = match bytes.result {
            PlainResult::Numbers => self.result_count(),
            PlainResult::Two => 2,
            PlainResult::Packed | PlainResult::Pair | PlainResult::CStr | PlainResult::Utf16 => 1,
        };
        let mut results = vec![Val::I32(0); count];
        self.call(store, instance, &params, &mut results).await?;
        let (value, returned) = if bytes.result == PlainResult::Numbers {
            (self.numbers(&results), None)
        } else {
            let memory = guest.memory(store)?;
            let (content, range) = match (bytes.result, results.as_slice()) {
                (PlainResult::Utf16, [Val::I32(place)]) => {
                    self.returned_utf16(memory, place.cast_unsigned())?
                }
                (form, results) => {
                    let (content, range) = self.returned(memory, form, results)?;
                    (Cow::Borrowed(content), Some(range))
                }
            };
            let mut writer = Writer::with_capacity(content.len() + 10);
            writer.put_bytes(&content);
            let value = text::returned(self.function, writer.into_vec());
            (value, range)
        };
        // An instance that is not kept takes its memory with it.
        if self.request.setting.keep_instance {
            let returned = returned.filter(|range| !arguments.contains(range));
            for range in arguments.into_iter().chain(returned) {
                guest.free(store, range).await?;
            }
        }
        Ok(value)
    }

    /// The number of core results of a function of numbers.
    fn result_count(&self) -> usize {
        match &self.function.result {
            None => 0,
            Some(Type::Tuple(fields)) => fields.len(),
            Some(_) => 1,
        }
    }

    async fn call(
        &self,
        store: &mut Store<GuestState>,
        instance: &CoreInstance,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Stop> {
        let callee = instance.function(store, self.bound)?;
        invoke(self.code.waits, store, callee, params, results).await?;
        self.request.surroundings.mark_called();
        Ok(())
    }

    fn numbers(&self, results: &[Val]) -> Result<Packed, Failure> {
        let mut writer = Writer::default();
        for result in results {
            match result {
                Val::I64(number) => writer.put_i64_zigzag(*number),
                Val::F32(bits) => writer.put_f32_bits(*bits),
                Val::F64(bits) => writer.put_f64_bits(*bits),
                other => writer.put_i64_zigzag(other.i32().unwrap_or_default().into()),
            }
        }
        text::returned(self.function, writer.into_vec())
    }

    /// Returns the bytes that a function returned, and where they are.
    fn returned<'m>(
        &self,
        memory: &'m [u8],
        form: PlainResult,
        results: &[Val],
    ) -> Result<(&'m [u8], Range), Failure> {
        let limit = self.request.setting.limits.output.bytes();
        let range = match (form, results) {
            (PlainResult::Packed, [Val::I64(both)]) => {
                let [l0, l1, l2, l3, p0, p1, p2, p3] = both.to_le_bytes();
                Range {
                    place: u32::from_le_bytes([p0, p1, p2, p3]),
                    length: u32::from_le_bytes([l0, l1, l2, l3]),
                }
            }
            (PlainResult::Two, [Val::I32(place), Val::I32(length)]) => Range {
                place: place.cast_unsigned(),
                length: length.cast_unsigned(),
            },
            (PlainResult::Pair, [Val::I32(at)]) => {
                let at = Range {
                    place: at.cast_unsigned(),
                    length: 8,
                };
                match *self.content(memory, at)? {
                    [p0, p1, p2, p3, l0, l1, l2, l3] => Range {
                        place: u32::from_le_bytes([p0, p1, p2, p3]),
                        length: u32::from_le_bytes([l0, l1, l2, l3]),
                    },
                    _ => return Err(self.violated("it has no pointer and length")),
                }
            }
            (PlainResult::CStr, [Val::I32(place)]) => {
                let place = place.cast_unsigned();
                Range {
                    place,
                    length: self.length_of(memory, place, limit)?,
                }
            }
            _ => return Err(self.violated("it has another type")),
        };
        if u64::from(range.length) > limit {
            return Err(failure::output_limit(&self.request.setting.limits));
        }
        let content = self.content(memory, range)?;
        if self.function.result == Some(Type::String) && std::str::from_utf8(content).is_err() {
            return Err(self.violated(&format!(
                "the {} bytes at {} are not UTF-8; for any bytes, the ABI needs data=bytes",
                range.length, range.place
            )));
        }
        Ok((content, range))
    }

    /// Returns a string of AssemblyScript as UTF-8. It is not pinned, so it is not to be given back.
    fn returned_utf16(
        &self,
        memory: &[u8],
        place: u32,
    ) -> Result<(Cow<'static, [u8]>, Option<Range>), Failure> {
        const WORD: u32 = 4;
        let limits = &self.request.setting.limits;
        let Some(header) = place.checked_sub(WORD).filter(|_| place != 0) else {
            return Err(self.violated("it is a null pointer"));
        };
        let length = self.content(
            memory,
            Range {
                place: header,
                length: WORD,
            },
        )?;
        let length = length.iter().rev();
        let length = length.fold(0, |number: u32, byte| number << 8 | u32::from(*byte));
        // Each unit of two bytes becomes at least one.
        if u64::from(length) / 2 > limits.output.bytes() {
            return Err(failure::output_limit(limits));
        }
        let content = self.content(memory, Range { place, length })?;
        let units = content.chunks_exact(2).map(|unit| match unit {
            [low, high] => u16::from_le_bytes([*low, *high]),
            _ => 0,
        });
        let text: String = char::decode_utf16(units)
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        if text.len() as u64 > limits.output.bytes() {
            return Err(failure::output_limit(limits));
        }
        Ok((text.into_bytes().into(), None))
    }

    /// The bytes of a range, if it lies within the memory. An empty one may lie anywhere.
    fn content<'m>(&self, memory: &'m [u8], range: Range) -> Result<&'m [u8], Failure> {
        let Range { place, length } = range;
        let end = u64::from(place) + u64::from(length);
        if length == 0 {
            return Ok(&[]);
        }
        let content = usize::try_from(end)
            .ok()
            .and_then(|end| memory.get(place as usize..end));
        content.ok_or_else(|| {
            self.violated(&format!(
                "it has {length} bytes at address {place}, beyond the end of a memory of {} bytes",
                memory.len()
            ))
        })
    }

    /// The length of text that ends with a NUL, as far as the limit goes.
    fn length_of(&self, memory: &[u8], place: u32, limit: u64) -> Result<u32, Failure> {
        if place == 0 {
            return Err(self.violated("it is a null pointer"));
        }
        let rest = memory.get(place as usize..).unwrap_or_default();
        let most = usize::try_from(limit).map_or(usize::MAX, |limit| limit.saturating_add(1));
        let searched = rest.get(..most).unwrap_or(rest);
        match searched.iter().position(|byte| *byte == 0) {
            Some(length) => u32::try_from(length)
                .map_err(|_| failure::output_limit(&self.request.setting.limits)),
            None if searched.len() < rest.len() => {
                Err(failure::output_limit(&self.request.setting.limits))
            }
            None => Err(self.violated(&format!(
                "no NUL follows address {place} in a memory of {} bytes",
                memory.len()
            ))),
        }
    }

    fn violated(&self, what: &str) -> Failure {
        Failure::new(
            FailureCode::BadOutput,
            format!(
                "the result of `{}` does not follow its ABI: {what}",
                in_line(&self.function.name)
            ),
        )
    }
}

/// The guest's side of a call: its memory and its allocator.
struct Guest<'a> {
    call: &'a PlainCall<'a>,
    instance: &'a CoreInstance,
    allocator: &'a Allocator,
}

impl Guest<'_> {
    /// Passes the arguments: returns the core values, and what was allocated for them.
    async fn arguments(
        &self,
        store: &mut Store<GuestState>,
        params: &[PlainParam],
    ) -> Result<(Vec<Val>, Vec<Range>), Stop> {
        let mut flat = Vec::with_capacity(params.len() * 2);
        let mut ranges = Vec::new();
        match (self.call.request.arguments, params) {
            (Arguments::Chunk(chunk), [param]) if *param != PlainParam::Number => {
                let range = match param {
                    PlainParam::Utf16 => {
                        let bytes = chunk.bytes().map_err(|error| unreadable(&error))?;
                        text::check_utf8(chunk, &bytes)?;
                        self.utf16(store, &bytes).await?
                    }
                    _ => self.chunk(store, chunk).await?,
                };
                flat.extend(range.words().into_iter().take(words(*param)));
                ranges.push(range);
            }
            (Arguments::Values(values), _) if values.len() == params.len() => {
                for (value, param) in values.iter().zip(params) {
                    let mut reader = Reader::new(value.payload());
                    let range = match param {
                        PlainParam::Number => {
                            flat.push(number(value)?);
                            continue;
                        }
                        PlainParam::Bytes => {
                            let bytes = reader.byte_string().map_err(damaged)?;
                            let range = self.room(store, bytes.len() as u64).await?;
                            self.slot(store, range)?.copy_from_slice(bytes);
                            range
                        }
                        PlainParam::Utf16 => {
                            let bytes = reader.byte_string().map_err(damaged)?;
                            self.utf16(store, bytes).await?
                        }
                    };
                    flat.extend(range.words().into_iter().take(words(*param)));
                    ranges.push(range);
                }
            }
            _ => {
                return Err(Stop::Failure(Failure::new(
                    FailureCode::BadInput,
                    format!(
                        "the arguments do not match the parameters of `{}`",
                        self.call.function
                    ),
                )));
            }
        }
        Ok((flat, ranges))
    }

    /// Passes text as a string of AssemblyScript.
    async fn utf16(&self, store: &mut Store<GuestState>, text: &[u8]) -> Result<Range, Stop> {
        let text = String::from_utf8_lossy(text);
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let range = self.room(store, units.len() as u64).await?;
        self.slot(store, range)?.copy_from_slice(&units);
        Ok(range)
    }

    /// Passes the chunk of an input.
    async fn chunk(&self, store: &mut Store<GuestState>, chunk: &Chunk) -> Result<Range, Stop> {
        let limits = &self.call.request.setting.limits;
        let length = chunk
            .len()
            .ok_or_else(|| failure::input_limit(u64::MAX, limits))?;
        let range = self.room(store, length).await?;
        let slot = self.slot(store, range)?;
        chunk.read_into(slot).map_err(|error| unreadable(&error))?;
        let params = self.call.function.params.first();
        if params.is_some_and(|(_, ty)| *ty == Type::String) {
            text::check_utf8(chunk, slot)?;
        }
        Ok(range)
    }

    fn memory<'s>(&self, store: &'s Store<GuestState>) -> Result<&'s [u8], Failure> {
        let memory = self.instance.memory.ok_or_else(no_memory)?;
        Ok(memory.data(store))
    }

    /// The bytes of a range that was checked when it was allocated.
    fn slot<'s>(
        &self,
        store: &'s mut Store<GuestState>,
        range: Range,
    ) -> Result<&'s mut [u8], Failure> {
        if range.length == 0 {
            return Ok(&mut []);
        }
        let memory = self.instance.memory.ok_or_else(no_memory)?;
        let start = range.place as usize;
        let slot = memory
            .data_mut(store)
            .get_mut(start..start.saturating_add(range.length as usize));
        slot.ok_or_else(no_memory)
    }

    /// Asks the guest for memory and checks its answer.
    async fn room(&self, store: &mut Store<GuestState>, size: u64) -> Result<Range, Stop> {
        let limits = &self.call.request.setting.limits;
        let length =
            u32::try_from(size).map_err(|_| Stop::Failure(failure::input_limit(size, limits)))?;
        let Allocator {
            alloc, kind, pin, ..
        } = self.allocator;
        let asked = self.asked(length);
        let params: &[i32] = match alloc.params {
            1 => &[asked],
            2 => &[asked, *kind],
            _ => &[0, 0, *kind, asked],
        };
        let mut results = [Val::I32(0)];
        self.invoke(store, alloc, params, &mut results).await?;
        let place = results[0].i32().unwrap_or_default().cast_unsigned();
        let memory = self.memory(store)?.len() as u64;
        let name = in_line(&alloc.name);
        let wrong = if place == 0 {
            if let Some(refused) = store.data().limiter.refused {
                return Err(Stop::Failure(failure::memory_limit(refused, limits)));
            }
            format!("`{name}` returned a null pointer for {length} bytes")
        } else if u64::from(place) + u64::from(length) > memory {
            format!("`{name}` returned {place} for {length} bytes, in a memory of {memory} bytes")
        } else {
            if let Some(pin) = pin {
                let params = [place.cast_signed()];
                self.invoke(store, pin, &params, &mut [Val::I32(0)]).await?;
            }
            return Ok(Range { place, length });
        };
        Err(Stop::Failure(Failure::new(FailureCode::BadOutput, wrong)))
    }

    /// The size that is asked for so many bytes. Functions are often not made for a null pointer, even to nothing; one that
    /// is told the class keeps the size with what it makes.
    fn asked(&self, length: u32) -> i32 {
        let least = u32::from(self.allocator.pin.is_none());
        length.max(least).cast_signed()
    }

    /// Gives memory back, if the ABI names the function that takes it.
    async fn free(&self, store: &mut Store<GuestState>, range: Range) -> Result<(), Stop> {
        let Some(free) = &self.allocator.free else {
            return Ok(());
        };
        let size = self.asked(range.length);
        let params = [range.place.cast_signed(), size, self.allocator.kind];
        let params = params.get(..free.params).unwrap_or(&params);
        self.invoke(store, free, params, &mut []).await
    }

    async fn invoke(
        &self,
        store: &mut Store<GuestState>,
        function: &AllocatorFunction,
        params: &[i32],
        results: &mut [Val],
    ) -> Result<(), Stop> {
        let export: Option<Func> = self.instance.instance.get_func(&mut *store, &function.name);
        let export = export.ok_or_else(|| {
            Failure::new(FailureCode::Internal, "an export of the ABI is missing")
        })?;
        let params: Vec<Val> = params.iter().map(|param| Val::I32(*param)).collect();
        invoke(self.call.code.waits, store, export, &params, results).await?;
        Ok(())
    }
}

/// The number of core values of a parameter.
const fn words(param: PlainParam) -> usize {
    match param {
        PlainParam::Number | PlainParam::Utf16 => 1,
        PlainParam::Bytes => 2,
    }
}

fn no_memory() -> Failure {
    Failure::new(
        FailureCode::BadOutput,
        "the module exports no `memory`, in which bytes are passed",
    )
}

/// The core value of a number.
fn number(value: &Packed) -> Result<Val, Failure> {
    let mut reader = Reader::new(value.payload());
    Ok(match value.ty() {
        Type::S64 => Val::I64(reader.i64_zigzag().map_err(damaged)?),
        Type::F32 => Val::F32(reader.f32_bits().map_err(damaged)?),
        Type::F64 => Val::F64(reader.f64_bits().map_err(damaged)?),
        _ => Val::I32(reader.i32_zigzag().map_err(damaged)?),
    })
}

fn damaged(error: Malformed) -> Failure {
    Failure::new(
        FailureCode::BadInput,
        format!("malformed argument: {error}"),
    )
}
