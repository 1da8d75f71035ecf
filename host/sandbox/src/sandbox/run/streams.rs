//! Streams and futures between a component and the host: what flows into a guest from an input or a value, and what is
//! gathered from those that it returns, or read from them while it runs.

use super::live::Live;
use crate::sandbox::abi::{Element, with_element};
use crate::sandbox::world::flows::End;
use crate::sandbox::world::state::GuestState;
use crate::sandbox::world::stdio::{OutputLimitPassed, Stdin, Turns};
use rwasm_value::value::Type;
use rwasm_value::value::codec::{Malformed, Reader, Writer};
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::Notify;
use wasmtime::component::{
    Destination, FutureConsumer, FutureReader, Source, StreamConsumer, StreamProducer,
    StreamReader, StreamResult, Val,
};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::p2::{InputStream as _, Pollable as _, StreamError};

/// What a guest reads at a time if it does not say how much it wants.
const PIECE: usize = 64 << 10;

/// The elements that are taken from a guest at a time.
const BATCH: usize = 32;

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An input that flows into a guest, as fast as that reads.
pub(super) struct Feed {
    input: Stdin,
    end: End,
    turns: Turns,
    waiting: Option<Waiting>,
}

impl Feed {
    pub(super) fn new(input: Stdin, end: End) -> Self {
        Self {
            input,
            end,
            turns: Turns::default(),
            waiting: None,
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let waiting = self.waiting.get_or_insert_with(|| {
            let mut input = self.input.clone();
            Box::pin(async move { input.ready().await })
        });
        let ready = waiting.as_mut().poll(context);
        if ready.is_ready() {
            self.waiting = None;
        }
        ready
    }
}

impl StreamProducer<GuestState> for Feed {
    type Item = u8;
    type Buffer = bytes::Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'a, GuestState>,
        to: Destination<'a, u8, bytes::Bytes>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let produced = self.produce(context, store, to, finish);
        self.end.had_turn(produced)
    }
}

impl Feed {
    fn produce(
        &mut self,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'_, GuestState>,
        to: Destination<'_, u8, bytes::Bytes>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if !finish && self.turns.poll(context).is_pending() {
            return Poll::Pending;
        }
        let is_question = to.remaining(store.as_context_mut()) == Some(0);
        let mut to = to.as_direct(store, PIECE);
        loop {
            if !is_question {
                let room = to.remaining();
                match self.input.read(room.len()) {
                    Ok(piece) if piece.is_empty() => {}
                    Ok(piece) => {
                        room[..piece.len()].copy_from_slice(&piece);
                        to.mark_written(piece.len());
                        return Poll::Ready(Ok(StreamResult::Completed));
                    }
                    Err(StreamError::Closed) => return Poll::Ready(Ok(StreamResult::Dropped)),
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
            match self.poll_ready(context) {
                Poll::Ready(()) if is_question => {
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                Poll::Ready(()) => {}
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Makes a stream of the elements of a list in packed form.
pub(super) fn stream_of(
    store: &mut wasmtime::Store<GuestState>,
    list: &mut Reader<'_>,
    element: &Type,
) -> wasmtime::Result<Result<Val, Malformed>> {
    fn made<T: Element>(
        store: &mut wasmtime::Store<GuestState>,
        list: &mut Reader<'_>,
    ) -> wasmtime::Result<Result<Val, Malformed>> {
        let elements = list
            .count(0)
            .and_then(|count| (0..count).map(|_| T::read(list)).collect());
        let elements: Vec<T> = match elements {
            Ok(elements) => elements,
            Err(error) => return Ok(Err(error)),
        };
        let stream = StreamReader::new(&mut *store, elements.into_boxed_slice())?;
        Ok(Ok(Val::Stream(stream.try_into_stream_any(store)?)))
    }
    let Some(stream) = with_element!(element, T => made::<T>(store, list)) else {
        return Err(not_carried(element));
    };
    stream
}

/// Makes a future that has this value, in packed form.
pub(super) fn future_of(
    store: &mut wasmtime::Store<GuestState>,
    value: &mut Reader<'_>,
    ty: &Type,
) -> wasmtime::Result<Result<Val, Malformed>> {
    fn made<T: Element>(
        store: &mut wasmtime::Store<GuestState>,
        value: &mut Reader<'_>,
    ) -> wasmtime::Result<Result<Val, Malformed>> {
        let value = match T::read(value) {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        };
        let future = FutureReader::new(&mut *store, async { wasmtime::error::Ok(value) })?;
        Ok(Ok(Val::Future(future.try_into_future_any(store)?)))
    }
    let Some(future) = with_element!(ty, T => made::<T>(store, value)) else {
        return Err(not_carried(ty));
    };
    future
}

/// The module was loaded as if it could be.
fn not_carried(ty: &Type) -> wasmtime::Error {
    wasmtime::format_err!("`{ty}` cannot be passed in a stream or future")
}

/// The bytes that all streams of a result may have together.
#[derive(Clone)]
pub(super) struct Allowance {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

impl Allowance {
    pub(super) fn new(limit: usize) -> Self {
        let taken = Arc::default();
        Self { taken, limit }
    }

    fn take(&self, bytes: usize) -> Result<(), OutputLimitPassed> {
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.limit {
            return Err(OutputLimitPassed);
        }
        Ok(())
    }
}

/// What a guest writes into a stream or a future that it has returned, packed as it comes.
#[derive(Default)]
pub(super) struct Gathered {
    state: Mutex<Gathering>,
    ended: Notify,
}

#[derive(Default)]
struct Gathering {
    out: Writer,
    count: usize,
    has_ended: bool,
}

impl Gathered {
    fn state(&self) -> MutexGuard<'_, Gathering> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing more comes.
    async fn end(&self) {
        loop {
            let ended = self.ended.notified();
            if self.state().has_ended {
                return;
            }
            ended.await;
        }
    }

    /// Takes the packed elements, and how many there are.
    fn take(&self) -> (Vec<u8>, usize) {
        let mut state = self.state();
        (std::mem::take(&mut state.out).into_vec(), state.count)
    }
}

/// The end of a stream or future that the host reads. It is dropped when nothing more comes.
struct Gatherer<T> {
    to: Arc<Gathered>,
    allowance: Allowance,
    live: Option<Live>,
    element: PhantomData<fn() -> T>,
}

impl<T> Gatherer<T> {
    fn new(allowance: &Allowance, live: Option<Live>) -> (Self, Arc<Gathered>) {
        let to = Arc::new(Gathered::default());
        let gatherer = Self {
            to: Arc::clone(&to),
            allowance: allowance.clone(),
            live,
            element: PhantomData,
        };
        (gatherer, to)
    }
}

impl<T: Element> Gatherer<T> {
    fn add(&self, elements: &[T]) -> Result<(), OutputLimitPassed> {
        let mut state = self.to.state();
        let before = state.out.len();
        for element in elements {
            element.write(&mut state.out);
        }
        state.count += elements.len();
        // What takes no bytes takes memory all the same, in whoever reads it.
        let taken = (state.out.len() - before).max(elements.len());
        drop(state);
        self.allowance.take(taken)
    }

    /// Waits until whoever reads along takes more, if somebody does.
    fn poll_room(&self, context: &mut Context<'_>, finish: bool) -> Poll<Option<StreamResult>> {
        match self.live.as_ref().map(|live| live.poll_room(context)) {
            Some(Poll::Pending) if finish => Poll::Ready(Some(StreamResult::Cancelled)),
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(())) | None => Poll::Ready(None),
        }
    }

    /// How many elements are taken at a time: what is large, one by one, if somebody reads along.
    fn at_once(&self) -> usize {
        if self.live.is_some() && std::mem::needs_drop::<T>() {
            1
        } else {
            BATCH
        }
    }
}

/// Packs elements, and finds the size of the largest.
fn packed<T: Element>(elements: &[T]) -> (Vec<u8>, usize) {
    let (mut out, mut largest) = (Writer::default(), 0);
    for element in elements {
        let before = out.len();
        element.write(&mut out);
        largest = largest.max(out.len() - before);
    }
    (out.into_vec(), largest)
}

impl<T> Drop for Gatherer<T> {
    fn drop(&mut self) {
        self.to.state().has_ended = true;
        self.to.ended.notify_waiters();
    }
}

impl<T: Element> StreamConsumer<GuestState> for Gatherer<T> {
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'_, GuestState>,
        mut from: Source<'_, T>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if let Some(ended) = ready!(self.poll_room(context, finish)) {
            return Poll::Ready(Ok(ended));
        }
        let mut elements = Vec::with_capacity(from.remaining(&mut store).min(self.at_once()));
        if elements.capacity() > 0 {
            from.read(&mut store, &mut elements)?;
            match &self.live {
                None => self.add(&elements)?,
                Some(live) => {
                    let (packed, largest) = packed(&elements);
                    live.put(store.data_mut(), elements.len(), &packed, largest)?;
                }
            }
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl<T: Element> FutureConsumer<GuestState> for Gatherer<T> {
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, GuestState>,
        mut from: Source<'_, T>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut value = None;
        from.read(&mut store, &mut value)?;
        if let Some(value) = value {
            let value = [value];
            // It stays the value of the task, too; there is room for the only one.
            self.add(&value)?;
            if let Some(live) = &self.live {
                let (packed, largest) = packed(&value);
                live.put(store.data_mut(), 1, &packed, largest)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The same for a stream of bytes, which are not taken one by one.
struct ByteGatherer(Gatherer<u8>);

impl StreamConsumer<GuestState> for ByteGatherer {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'_, GuestState>,
        from: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if let Some(ended) = ready!(self.0.poll_room(context, finish)) {
            return Poll::Ready(Ok(ended));
        }
        let mut from = from.as_direct(store.as_context_mut());
        let bytes = from.remaining();
        if let Some(live) = &self.0.live {
            // However few bytes a task may return, the stream moves on.
            let count = bytes.len().min(PIECE).min(live.limit.max(1));
            let mut out = Writer::default();
            out.put_bytes(&bytes[..count]);
            from.mark_read(count);
            if count > 0 {
                live.put(store.data_mut(), 1, &out.into_vec(), count)?;
            }
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let count = bytes.len();
        self.0.allowance.take(count)?;
        let mut state = self.0.to.state();
        state.out.put_raw(bytes);
        state.count += count;
        drop(state);
        from.mark_read(count);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Begins to read a stream that a guest has returned.
pub(super) fn gather_stream(
    store: StoreContextMut<'_, GuestState>,
    stream: wasmtime::component::StreamAny,
    element: &Type,
    (allowance, live): (&Allowance, Option<Live>),
) -> wasmtime::Result<Arc<Gathered>> {
    if *element == Type::U8 {
        let (gatherer, gathered) = Gatherer::new(allowance, live);
        let stream = stream.try_into_stream_reader::<u8>()?;
        stream.pipe(store, ByteGatherer(gatherer))?;
        return Ok(gathered);
    }
    let gathered = with_element!(element, T => {
        let (gatherer, gathered) = Gatherer::<T>::new(allowance, live);
        stream.try_into_stream_reader::<T>()?.pipe(store, gatherer)?;
        gathered
    });
    gathered.ok_or_else(|| not_carried(element))
}

/// Begins to wait for a future that a guest has returned.
pub(super) fn gather_future(
    store: StoreContextMut<'_, GuestState>,
    future: wasmtime::component::FutureAny,
    ty: &Type,
    (allowance, live): (&Allowance, Option<Live>),
) -> wasmtime::Result<Arc<Gathered>> {
    let gathered = with_element!(ty, T => {
        let (gatherer, gathered) = Gatherer::<T>::new(allowance, live);
        future.try_into_future_reader::<T>()?.pipe(store, gatherer)?;
        gathered
    });
    gathered.ok_or_else(|| not_carried(ty))
}

/// A result that may still be on its way.
pub(super) enum Returned {
    Whole(Val),
    Stream(Arc<Gathered>),
    Future(Arc<Gathered>),
    Tuple(Vec<Self>),
    Option(Option<Box<Self>>),
    Result(Result<Option<Box<Self>>, Option<Box<Self>>>),
}

/// Why a result cannot be packed.
pub(super) enum Unpackable {
    Value(crate::sandbox::abi::val::WriteError),
    /// A future was closed and had no value.
    NoValue,
}

impl Returned {
    /// Begins to read all streams and futures of a result. What `live` reads along is the result itself, or the `ok` of one.
    pub(super) fn begin(
        store: &mut StoreContextMut<'_, GuestState>,
        val: Val,
        ty: &Type,
        (allowance, mut live): (&Allowance, Option<Live>),
    ) -> wasmtime::Result<Self> {
        let to_ok = live.take_if(|_| matches!(val, Val::Result(Ok(_))));
        let mut boxed = |val: Option<Box<Val>>, ty: Option<&Type>, live| match (val, ty) {
            (Some(val), Some(ty)) => {
                Self::begin(store, *val, ty, (allowance, live)).map(|part| Some(Box::new(part)))
            }
            _ => Ok(None),
        };
        Ok(match (val, ty) {
            (Val::Option(some), Type::Option(ty)) => Self::Option(boxed(some, Some(ty), None)?),
            (Val::Result(Ok(ok)), Type::Result(sides)) => {
                Self::Result(Ok(boxed(ok, sides.ok.as_ref(), to_ok)?))
            }
            (Val::Result(Err(err)), Type::Result(sides)) => {
                Self::Result(Err(boxed(err, sides.err.as_ref(), None)?))
            }
            (Val::Tuple(vals), Type::Tuple(types)) => {
                let parts = vals.into_iter().zip(types.iter());
                Self::Tuple(
                    parts
                        .map(|(val, ty)| Self::begin(store, val, ty, (allowance, None)))
                        .collect::<wasmtime::Result<_>>()?,
                )
            }
            (Val::Stream(stream), Type::List(element)) => Self::Stream(gather_stream(
                store.as_context_mut(),
                stream,
                element,
                (allowance, live),
            )?),
            (Val::Future(future), ty) => Self::Future(gather_future(
                store.as_context_mut(),
                future,
                ty,
                (allowance, live),
            )?),
            (val, _) => Self::Whole(val),
        })
    }

    /// Waits until all of it has come.
    pub(super) async fn all(&self) {
        match self {
            Self::Whole(_) => {}
            Self::Stream(gathered) | Self::Future(gathered) => gathered.end().await,
            Self::Tuple(parts) => {
                for part in parts {
                    Box::pin(part.all()).await;
                }
            }
            Self::Option(part) | Self::Result(Ok(part) | Err(part)) => {
                if let Some(part) = part {
                    Box::pin(part.all()).await;
                }
            }
        }
    }

    /// Packs it as a value of this type, of at most `limit` bytes with what `out` has already.
    pub(super) fn pack(&self, out: &mut Writer, ty: &Type, limit: usize) -> Result<(), Unpackable> {
        use crate::sandbox::abi::val::WriteError;
        let side = |out: &mut Writer, part: &Option<Box<Self>>, ty: Option<&Type>| match (part, ty)
        {
            (Some(part), Some(ty)) => part.pack(out, ty, limit),
            (None, None) => Ok(()),
            _ => Err(Unpackable::Value(WriteError::Type)),
        };
        match (self, ty) {
            (Self::Stream(gathered), _) => {
                let (bytes, count) = gathered.take();
                out.put_len(count);
                out.put_raw(&bytes);
            }
            (Self::Future(gathered), _) => match gathered.take() {
                (bytes, 1) => out.put_raw(&bytes),
                _ => return Err(Unpackable::NoValue),
            },
            (Self::Tuple(parts), Type::Tuple(types)) => {
                for (part, ty) in parts.iter().zip(types.iter()) {
                    part.pack(out, ty, limit)?;
                }
            }
            (Self::Option(some), Type::Option(ty)) => {
                out.put_bool(some.is_some());
                side(out, some, some.is_some().then_some(&**ty))?;
            }
            (Self::Result(result), Type::Result(sides)) => {
                out.put_bool(result.is_err());
                match result {
                    Ok(ok) => side(out, ok, sides.ok.as_ref())?,
                    Err(err) => side(out, err, sides.err.as_ref())?,
                }
            }
            (Self::Whole(val), ty) => {
                let written = crate::sandbox::abi::val::write(out, val, ty, limit);
                return written.map_err(Unpackable::Value);
            }
            _ => return Err(Unpackable::Value(WriteError::Type)),
        }
        if out.len() > limit {
            return Err(Unpackable::Value(WriteError::TooLarge));
        }
        Ok(())
    }
}
