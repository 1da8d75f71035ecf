//! Bytes that are too large for a message, in the server's object stores.
//!
//! They are streamed: neither side holds more of one than a piece, unless it wants it whole. Names say what is in them and
//! are written once: a second writer of a name would take the first one's pieces away from under its readers.

use super::connect::Connection;
use super::refusal::Denied;
use async_nats::jetstream::object_store::{GetErrorKind, ObjectMetadata, ObjectStore};
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// The size of a piece: as much as a message may have by default, less its overhead.
const PIECE: usize = (1 << 20) - (4 << 10);

/// Room that is made for what is said to come; more is made as it does.
const ROOM: u64 = 64 << 20;

/// What is larger than this travels as an object, and what is smaller within its message.
pub(crate) const LARGEST_INLINE: usize = 512 << 10;

/// Why bytes were not put or got.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// There is nothing of that name: it was removed, or kept for as long as it is kept.
    #[error("`{name}` is no longer in {bucket}")]
    Missing { bucket: &'static str, name: String },
    /// It is longer than what may be taken.
    #[error("`{name}` in {bucket} has {size} bytes, and at most {limit} may be taken")]
    TooLarge {
        bucket: &'static str,
        name: String,
        size: u64,
        limit: u64,
    },
    /// The key may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The server, or the way to it.
    #[error("{bucket}: {reason}")]
    Server {
        bucket: &'static str,
        reason: String,
    },
    /// What was to be put could not be read, or what was got not be written.
    #[error(transparent)]
    Io(io::Error),
}

impl BlobError {
    /// Whether it may go well a little later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Server { .. })
    }
}

/// One of the object stores.
#[derive(Clone)]
pub(crate) struct Blobs {
    bucket: &'static str,
    store: ObjectStore,
    connection: Connection,
}

impl Blobs {
    pub(crate) async fn open(
        connection: &Connection,
        bucket: &'static str,
    ) -> Result<Self, BlobError> {
        let get = connection.js.get_object_store(bucket);
        let failed = |reason: String| BlobError::Server { bucket, reason };
        let store = connection
            .watched(bucket, get)
            .await
            .map_err(BlobError::Denied)?
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            bucket,
            store,
            connection: connection.clone(),
        })
    }

    fn failed(&self, reason: impl std::fmt::Display) -> BlobError {
        BlobError::Server {
            bucket: self.bucket,
            reason: reason.to_string(),
        }
    }

    /// Whether there is something of that name.
    pub(crate) async fn has(&self, name: &str) -> Result<bool, BlobError> {
        let info = self.connection.watched(self.bucket, self.store.info(name));
        match info.await? {
            Ok(info) => Ok(!info.deleted),
            Err(error) => match error.kind() {
                async_nats::jetstream::object_store::InfoErrorKind::NotFound => Ok(false),
                _ => Err(self.failed(error)),
            },
        }
    }

    /// Puts what `from` gives, and says how much it was.
    pub(crate) async fn put(
        &self,
        name: &str,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Result<u64, BlobError> {
        let metadata = ObjectMetadata {
            name: name.to_owned(),
            chunk_size: Some(PIECE),
            ..ObjectMetadata::default()
        };
        let mut from = Failing {
            inner: from,
            failed: None,
        };
        let put = self
            .connection
            .watched(self.bucket, self.store.put(metadata, &mut from))
            .await;
        if let Some(error) = from.failed {
            return Err(BlobError::Io(error));
        }
        match put {
            Ok(Ok(info)) => Ok(info.size as u64),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(denied) => Err(BlobError::Denied(denied)),
        }
    }

    pub(crate) async fn put_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), BlobError> {
        let mut from = bytes;
        self.put(name, &mut from).await.map(drop)
    }

    /// Puts what a reader gives that waits for its bytes: it is read on a thread of its own.
    pub(crate) async fn put_reader(
        &self,
        name: &str,
        reader: Box<dyn Read + Send>,
    ) -> Result<u64, BlobError> {
        let mut from = Waiting::new(reader);
        self.put(name, &mut from).await
    }

    /// All of it, if that is no more than `limit`.
    pub(crate) async fn get(&self, name: &str, limit: u64) -> Result<Bytes, BlobError> {
        let (mut object, size) = self.object(name).await?;
        if size > limit {
            return Err(BlobError::TooLarge {
                bucket: self.bucket,
                name: name.to_owned(),
                size,
                limit,
            });
        }
        let room = usize::try_from(size.min(ROOM)).unwrap_or_default();
        let mut bytes = BytesMut::with_capacity(room);
        while self.piece(object.read_buf(&mut bytes)).await? > 0 {
            // The server's word for the size is not trusted.
            if bytes.len() as u64 > size {
                return Err(self.failed("an object is longer than it is said to be"));
            }
        }
        Ok(bytes.freeze())
    }

    /// Writes all of it to a file, and says how much it was.
    pub(crate) async fn get_to(&self, name: &str, file: &mut File) -> Result<u64, BlobError> {
        let (mut object, size) = self.object(name).await?;
        let mut piece = vec![0; PIECE];
        let mut total = 0;
        loop {
            let read = self.piece(object.read(&mut piece)).await?;
            if read == 0 {
                break;
            }
            file.write_all(&piece[..read]).map_err(BlobError::Io)?;
            total += read as u64;
        }
        if total != size {
            return Err(self.failed(format!("`{name}` has {total} bytes, and {size} were put")));
        }
        Ok(total)
    }

    /// A piece of an object, unless the server says that it may not be had.
    async fn piece(
        &self,
        read: impl Future<Output = io::Result<usize>>,
    ) -> Result<usize, BlobError> {
        let read = self.connection.watched(self.bucket, read).await?;
        read.map_err(|error| self.failed(error))
    }

    async fn object(
        &self,
        name: &str,
    ) -> Result<(async_nats::jetstream::object_store::Object, u64), BlobError> {
        let get = self.connection.watched(self.bucket, self.store.get(name));
        match get.await? {
            Ok(object) => {
                let size = object.info().size as u64;
                Ok((object, size))
            }
            Err(error) if error.kind() == GetErrorKind::NotFound => Err(BlobError::Missing {
                bucket: self.bucket,
                name: name.to_owned(),
            }),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Removes it; what is not there is removed already.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), BlobError> {
        use async_nats::jetstream::object_store::DeleteErrorKind;
        let delete = self
            .connection
            .watched(self.bucket, self.store.delete(name));
        match delete.await? {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == DeleteErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }
}

impl Blobs {
    /// Removes all whose names begin so.
    pub(crate) async fn remove_all(&self, prefix: &str) -> Result<(), BlobError> {
        use futures_util::StreamExt;
        let list = self.connection.watched(self.bucket, self.store.list());
        let mut list = list.await?.map_err(|error| self.failed(error))?;
        while let Some(object) = list.next().await {
            let object = object.map_err(|error| self.failed(error))?;
            if object.name.starts_with(prefix) {
                self.remove(&object.name).await?;
            }
        }
        Ok(())
    }
}

/// Remembers that reading failed: the object store's own error says no more than that.
struct Failing<'a, R> {
    inner: &'a mut R,
    failed: Option<io::Error>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Failing<'_, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut *self.inner).poll_read(context, into) {
            Poll::Ready(Err(error)) => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.failed = Some(error);
                Poll::Ready(Err(told))
            }
            other => other,
        }
    }
}

/// A reader that waits, read a piece ahead on another thread.
struct Waiting {
    pieces: tokio::sync::mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Waiting {
    fn new(mut reader: Box<dyn Read + Send>) -> Self {
        let (sender, pieces) = tokio::sync::mpsc::channel(2);
        tokio::task::spawn_blocking(move || {
            loop {
                let mut piece = vec![0; PIECE];
                let read = fill(&mut reader, &mut piece);
                let (is_last, piece) = match read {
                    Ok(0) => return,
                    Ok(read) => {
                        piece.truncate(read);
                        (false, Ok(Bytes::from(piece)))
                    }
                    Err(error) => (true, Err(error)),
                };
                if sender.blocking_send(piece).is_err() || is_last {
                    return;
                }
            }
        });
        Self {
            pieces,
            rest: Bytes::new(),
        }
    }
}

/// Reads until `piece` is full or there is no more.
fn fill(reader: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match reader.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl AsyncRead for Waiting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            match self.pieces.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(Some(Ok(piece))) => self.rest = piece,
            }
        }
        let count = self.rest.len().min(into.remaining());
        let piece = self.rest.split_to(count);
        into.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}
