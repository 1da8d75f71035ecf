//! Files as streams in WASI 0.3: what a guest reads or writes of them.

use super::super::super::flows::{End, Flows, Telling};
use super::super::super::quota::{NoRoom, Quota, charge};
use super::super::super::state::GuestState;
use super::Open;
use bytes::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use wasmtime::component::{
    Destination, FutureReader, LinkerInstance, Source, StreamConsumer, StreamProducer,
    StreamReader, StreamResult,
};
use wasmtime::{AsContextMut as _, StoreContextMut};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p3::bindings::filesystem::types::{ErrorCode, Filesize};

/// What is read or written at a time.
const PIECE: usize = 64 << 10;

/// What has become of a stream, when it has ended.
type Ended = FutureReader<Result<(), ErrorCode>>;

pub(super) fn define(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]descriptor.read-via-stream",
        |store, (file, offset): (Open, Filesize)| {
            read_via_stream(store, &file, offset).map(|read| (read,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        |store, (file, data, offset): (Open, StreamReader<u8>, Filesize)| {
            write_via_stream(store, &file, data, Some(offset)).map(|written| (written,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.append-via-stream",
        |store, (file, data): (Open, StreamReader<u8>)| {
            write_via_stream(store, &file, data, None).map(|written| (written,))
        },
    )
}

/// Says how a stream has ended, unless it ends well.
struct Outcome {
    to: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    told: Arc<AtomicBool>,
    flows: Flows,
}

impl Outcome {
    fn fail(&mut self, error: ErrorCode) -> StreamResult {
        if let Some(to) = self.to.take() {
            let reason = format!("{error:?}");
            self.flows.fail(reason, &self.told);
            // The guest may not want to know.
            let _ = to.send(Err(error));
        }
        StreamResult::Dropped
    }
}

/// What says how a stream has ended, and what the guest waits for.
fn outcome(mut store: StoreContextMut<'_, GuestState>) -> wasmtime::Result<(Outcome, Ended)> {
    let (to, result) = oneshot::channel();
    let telling = Telling::default();
    let outcome = Outcome {
        to: Some(to),
        told: telling.mark(),
        flows: store.data().stdio.flows.clone(),
    };
    let ended = FutureReader::new(store.as_context_mut(), async move {
        // It is dropped without a result if the stream has ended well.
        let ended = result.await.unwrap_or(Ok(()));
        drop(telling);
        wasmtime::error::Ok(ended)
    })?;
    Ok((outcome, ended))
}

/// Reads a file from this position on.
fn read_via_stream(
    mut store: StoreContextMut<'_, GuestState>,
    file: &Open,
    offset: Filesize,
) -> wasmtime::Result<(StreamReader<u8>, Ended)> {
    let source = match store.data_mut().filesystem().table.get(file)? {
        Descriptor::File(file) => Some(Arc::clone(&file.file)),
        Descriptor::Dir(_) => None,
    };
    let (mut outcome, ended) = outcome(store.as_context_mut())?;
    let Some(source) = source else {
        outcome.fail(ErrorCode::IsDirectory);
        return Ok((StreamReader::new(store, Bytes::new())?, ended));
    };
    let reading = Reading {
        file: source,
        offset,
        end: store.data().stdio.flows.source(),
        task: None,
        outcome,
    };
    Ok((StreamReader::new(store, reading)?, ended))
}

/// Reads a file piece by piece, as a guest wants it.
struct Reading {
    file: Arc<File>,
    offset: Filesize,
    end: End,
    /// The read that goes on.
    task: Option<JoinHandle<std::io::Result<Bytes>>>,
    outcome: Outcome,
}

impl Reading {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<Bytes>> {
        let task = self.task.get_or_insert_with(|| {
            let (file, offset) = (Arc::clone(&self.file), self.offset);
            spawn_blocking(move || {
                let mut piece = vec![0; PIECE];
                loop {
                    match file.read_at(&mut piece, offset) {
                        Ok(length) => {
                            piece.truncate(length);
                            return Ok(piece.into());
                        }
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            })
        });
        // It cannot be stopped, and is soon over.
        let Poll::Ready(read) = Pin::new(task).poll(context) else {
            return Poll::Pending;
        };
        self.task = None;
        // Without a result if the runtime ends.
        Poll::Ready(read.unwrap_or_else(|error| Err(std::io::Error::other(error))))
    }
}

impl StreamProducer<GuestState> for Reading {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        _: StoreContextMut<'a, GuestState>,
        mut to: Destination<'a, u8, Bytes>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let read = self.poll(context);
        let Poll::Ready(read) = self.end.had_turn(read) else {
            return Poll::Pending;
        };
        Poll::Ready(Ok(match read {
            Ok(piece) if piece.is_empty() => StreamResult::Dropped,
            Ok(piece) => {
                self.offset = self.offset.saturating_add(piece.len() as u64);
                to.set_buffer(piece);
                StreamResult::Completed
            }
            Err(error) => self.outcome.fail(error.into()),
        }))
    }
}

/// Writes what comes to a file, from this position on or at its end.
fn write_via_stream(
    mut store: StoreContextMut<'_, GuestState>,
    file: &Open,
    mut data: StreamReader<u8>,
    position: Option<Filesize>,
) -> wasmtime::Result<Ended> {
    let quota = store.data().files.quota.clone();
    let view = store.data_mut().filesystem();
    let writable = match view.table.get(file)? {
        Descriptor::File(file) if !file.perms.write_not_permitted() => Ok(Arc::clone(&file.file)),
        Descriptor::File(_) => Err(ErrorCode::NotPermitted),
        Descriptor::Dir(_) => Err(ErrorCode::BadDescriptor),
    };
    // Nothing can be written where there is no account of it.
    let writable = writable.and_then(|file| Ok((file, quota.ok_or(ErrorCode::NotPermitted)?)));
    let (mut outcome, ended) = outcome(store.as_context_mut())?;
    let (target, quota) = match writable {
        Ok(writable) => writable,
        Err(error) => {
            outcome.fail(error);
            data.close(store)?;
            return Ok(ended);
        }
    };
    let writer = Writer {
        file: target,
        quota,
        position,
        length: 0,
        end: store.data().stdio.flows.sink(),
        task: None,
        outcome,
    };
    data.pipe(store, writer)?;
    Ok(ended)
}

/// Writes a stream to a file as far as the account allows.
struct Writer {
    file: Arc<File>,
    quota: Quota,
    /// Where the next write goes; none if it is the end of the file.
    position: Option<u64>,
    /// The length that the file is known to have.
    length: u64,
    end: End,
    /// The write that goes on.
    task: Option<JoinHandle<std::io::Result<()>>>,
    outcome: Outcome,
}

impl Writer {
    /// Takes a piece of this length from the account.
    fn take(&mut self, length: u64) -> Result<(), NoRoom> {
        let mut taken = length;
        if let Some(start) = self.position {
            if start > self.length {
                self.length = self.file.metadata().map_or(0, |found| found.len());
            }
            taken = charge(start, length, self.length);
        }
        self.quota.write(taken)?;
        if let Some(position) = &mut self.position {
            *position = position.saturating_add(length);
            self.length = self.length.max(*position);
        }
        Ok(())
    }
}

impl StreamConsumer<GuestState> for Writer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, GuestState>,
        from: Source<'_, u8>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let consumed = self.consume(context, store, from);
        self.end.had_turn(consumed)
    }
}

impl Writer {
    fn consume(
        &mut self,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, GuestState>,
        from: Source<'_, u8>,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if self.task.is_none() {
            let mut from = from.as_direct(store);
            let bytes = from.remaining();
            let piece = bytes[..bytes.len().min(PIECE)].to_vec();
            if piece.is_empty() {
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            let start = self.position;
            if self.take(piece.len() as u64).is_err() {
                return Poll::Ready(Ok(self.outcome.fail(ErrorCode::InsufficientSpace)));
            }
            from.mark_read(piece.len());
            let file = Arc::clone(&self.file);
            self.task = Some(spawn_blocking(move || match start {
                Some(start) => file.write_all_at(&piece, start),
                None => append(&file, &piece),
            }));
        }
        let Some(task) = &mut self.task else {
            return Poll::Ready(Ok(StreamResult::Completed));
        };
        let Poll::Ready(written) = Pin::new(task).poll(context) else {
            return Poll::Pending;
        };
        self.task = None;
        Poll::Ready(Ok(match written {
            Ok(Ok(())) => StreamResult::Completed,
            Ok(Err(error)) => self.outcome.fail(error.into()),
            // The runtime ends.
            Err(_) => self.outcome.fail(ErrorCode::Io),
        }))
    }
}

/// Writes at the end of a file, wherever that is by then.
#[cfg(target_os = "linux")]
fn append(file: &File, mut bytes: &[u8]) -> std::io::Result<()> {
    use rustix::io::{ReadWriteFlags, pwritev2};
    use std::io::IoSlice;

    while !bytes.is_empty() {
        match pwritev2(file, &[IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The same where a write cannot say so: streams of one guest that write to one file at a time may overlap.
#[cfg(not(target_os = "linux"))]
fn append(file: &File, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all_at(bytes, file.metadata()?.len())
}
