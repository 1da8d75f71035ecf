//! Values that are too large for a message, in the server's object stores.
//!
//! They are streamed: neither side holds more of one than a few pieces, unless it wants the whole. A name says what the
//! object holds, and is written once: a second writer would remove the first one's pieces while they are read.

mod budget;
mod pieces;
mod shared;

pub(crate) use budget::{Charge, Charged, ReadBudget};

use super::connect::Connection;
use super::direct;
use super::names::{is_token, object_stream};
use super::permissions::permits;
use super::problem::Problem;
use super::refusal::Denied;
use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::object_store::{InfoErrorKind, ObjectInfo, ObjectStore};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::{Bytes, BytesMut};
use pieces::Pieces;
use rwasm_value::units::ByteSize;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// The size of a piece in bytes: the default message size less its overhead.
const PIECE: usize = (1 << 20) - (4 << 10);

/// Pieces that are on their way to the server at a time.
const ON_THE_WAY: usize = 3;

/// Values larger than this many bytes travel as an object, smaller ones within their message.
pub(crate) const LARGEST_INLINE: usize = 512 << 10;

/// Why a value was not stored or fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// There is no object of that name: it was removed, or its retention time has passed.
    #[error("`{name}` is no longer in {bucket}")]
    Missing { bucket: &'static str, name: String },
    /// It is longer than allowed.
    #[error("`{name}` in {bucket} has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        bucket: &'static str,
        name: String,
        size: u64,
        limit: u64,
    },
    /// It has another length than whoever names it says.
    #[error("`{name}` in {bucket} has {size} bytes, not {wanted}")]
    Length {
        bucket: &'static str,
        name: String,
        size: u64,
        wanted: u64,
    },
    /// It is not what its description says.
    #[error("`{name}` in {bucket} is damaged: it {what}")]
    Damaged {
        bucket: &'static str,
        name: String,
        what: &'static str,
    },
    /// There is no room for it at the moment.
    #[error(
        "the server has no room left in {bucket}: jobs that end or are removed (`job rm`) free it, and `init --max-bytes SIZE --change` raises the limit, as `server-config --tenant-store` does that of a tenant"
    )]
    Full { bucket: &'static str },
    /// It is larger than the store.
    #[error(
        "{size} do not fit into {bucket}, which may hold {most}: raise the limit with `init --max-bytes SIZE --change`"
    )]
    NeverFits {
        bucket: &'static str,
        size: ByteSize,
        most: ByteSize,
    },
    /// The key lacks the permission.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The server refused it, or cannot be reached.
    #[error("{bucket}: {reason}")]
    Server {
        bucket: &'static str,
        reason: String,
    },
    /// The value to store could not be read, or the fetched one not be written.
    #[error(transparent)]
    Io(io::Error),
}

impl BlobError {
    /// Whether trying again later may succeed.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Server { .. } | Self::Full { .. })
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

    /// Whether there is an object of that name.
    pub(crate) async fn has(&self, name: &str) -> Result<bool, BlobError> {
        Ok(self.info(name).await?.is_some())
    }

    /// Stores what `from` yields, and returns its size in bytes. `size` is the expected size, if known: if there is
    /// no room for it, nothing is stored. A failed attempt leaves nothing behind.
    pub(crate) async fn put(
        &self,
        name: &str,
        size: Option<u64>,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Result<u64, BlobError> {
        if let Some(size) = size {
            self.has_room(size).await?;
        }
        let before = match self.info(name).await {
            Err(error @ BlobError::Denied(_)) => return Err(error),
            before => before.ok().flatten(),
        };
        let place = ulid::Ulid::new().to_string();
        let put = self.put_at(name, &place, from).await;
        match &put {
            // What had the name before is nobody's any more.
            Ok(_) => {
                if let Some(before) = before {
                    self.take_away(&before.nuid).await;
                }
            }
            Err(_) => self.take_away(&place).await,
        }
        put
    }

    /// Publishes the pieces as messages of one subject, then their description: the format of NATS object stores,
    /// which every client can read. The client library's own `put` does not say where it put the pieces when it
    /// fails.
    async fn put_at(
        &self,
        name: &str,
        place: &str,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Result<u64, BlobError> {
        let mut sent = VecDeque::with_capacity(ON_THE_WAY);
        let put = self.publish(name, place, from, &mut sent).await;
        // Whoever takes the pieces away must not be overtaken by those on their way.
        for one in sent {
            let _ = one.await;
        }
        put
    }

    /// Publishes an object. What it has sent and not seen stored is left in `sent`.
    async fn publish(
        &self,
        name: &str,
        place: &str,
        from: &mut (impl AsyncRead + Unpin),
        sent: &mut VecDeque<PublishAckFuture>,
    ) -> Result<u64, BlobError> {
        let subject = self.pieces(place);
        let mut hash = Sha256::new();
        let (mut pieces, mut total) = (0_u64, 0);
        loop {
            let mut piece = BytesMut::with_capacity(PIECE);
            while piece.len() < PIECE {
                let room = PIECE - piece.len();
                let read = (&mut *from).take(room as u64).read_buf(&mut piece).await;
                if read.map_err(BlobError::Io)? == 0 {
                    break;
                }
            }
            if piece.is_empty() {
                break;
            }
            hash.update(&piece);
            (pieces, total) = (pieces + 1, total + piece.len() as u64);
            if sent.len() >= ON_THE_WAY
                && let Some(first) = sent.pop_front()
            {
                self.stored(first).await?;
            }
            sent.push_back(self.send(&subject, None, piece.freeze()).await?);
        }
        while let Some(first) = sent.pop_front() {
            self.stored(first).await?;
        }
        let description = serde_json::json!({
            "name": name,
            "bucket": self.bucket,
            "nuid": place,
            "options": { "max_chunk_size": PIECE },
            "size": total,
            "chunks": pieces,
            "digest": format!("SHA-256={}", URL_SAFE.encode(hash.finalize())),
            "mtime": humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
        });
        let description = description.to_string().into();
        self.replace(&self.description(name), description).await?;
        Ok(total)
    }

    /// Stores a message in place of all that its subject has.
    async fn replace(&self, subject: &str, message: Bytes) -> Result<(), BlobError> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Rollup", "sub");
        let sent = self.send(subject, Some(headers), message).await?;
        self.stored(sent).await
    }

    fn description(&self, name: &str) -> String {
        format!("{}{}", self.descriptions(), URL_SAFE.encode(name))
    }

    fn descriptions(&self) -> String {
        format!("$O.{}.M.", self.bucket)
    }

    fn pieces(&self, place: &str) -> String {
        format!("$O.{}.C.{place}", self.bucket)
    }

    async fn send(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        piece: Bytes,
    ) -> Result<PublishAckFuture, BlobError> {
        let js = &self.connection.js;
        let subject = subject.to_owned();
        let send = js.publish_with_headers(subject, headers.unwrap_or_default(), piece);
        let sent = self.connection.watched(self.bucket, send).await?;
        sent.map_err(|error| self.unstored(error))
    }

    async fn stored(&self, sent: PublishAckFuture) -> Result<(), BlobError> {
        let stored = self.connection.watched(self.bucket, sent.into_future());
        let stored = stored.await?;
        stored.map(drop).map_err(|error| self.unstored(error))
    }

    fn unstored(&self, error: impl std::error::Error + 'static) -> BlobError {
        let reason = error.to_string();
        if Problem::from(error).is_full() {
            return BlobError::Full {
                bucket: self.bucket,
            };
        }
        self.failed(reason)
    }

    /// Checks whether this many bytes can be stored, now or ever.
    async fn has_room(&self, size: u64) -> Result<(), BlobError> {
        let stream = self.stream().await?;
        let info = stream.cached_info();
        let Some(most) = u64::try_from(info.config.max_bytes)
            .ok()
            .filter(|most| *most > 0)
        else {
            return Ok(());
        };
        if size > most {
            return Err(BlobError::NeverFits {
                bucket: self.bucket,
                size: ByteSize::new(size),
                most: ByteSize::new(most),
            });
        }
        if info.state.bytes.saturating_add(size) > most {
            return Err(BlobError::Full {
                bucket: self.bucket,
            });
        }
        Ok(())
    }

    /// Removes pieces as well as it can: if that fails, they go when their time is over.
    async fn take_away(&self, place: &str) {
        let pieces = self.pieces(place);
        let _ = if self.may_purge() {
            self.purge(pieces).await
        } else {
            self.replace(&pieces, Bytes::new()).await
        };
    }

    fn may_purge(&self) -> bool {
        let purge = format!("$JS.API.STREAM.PURGE.{}", object_stream(self.bucket));
        permits(self.connection.role, &purge, false)
    }

    async fn purge(&self, subject: String) -> Result<(), BlobError> {
        let js = &self.connection.js;
        let purge = async {
            let stream = js.get_stream_no_info(object_stream(self.bucket)).await;
            let stream = stream.map_err(|error| self.failed(error))?;
            let purged = stream.purge().filter(subject).await;
            purged.map(drop).map_err(|error| self.failed(error))
        };
        self.connection.watched(self.bucket, purge).await?
    }

    pub(crate) async fn put_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), BlobError> {
        let mut from = bytes;
        let size = Some(bytes.len() as u64);
        self.put(name, size, &mut from).await.map(drop)
    }

    /// Stores what a blocking reader yields; it is read on a thread of its own.
    pub(crate) async fn put_reader(
        &self,
        name: &str,
        size: Option<u64>,
        reader: Box<dyn Read + Send>,
    ) -> Result<u64, BlobError> {
        let mut from = Waiting::new(reader);
        self.put(name, size, &mut from).await
    }

    /// Returns the whole object, if it has at most `limit` bytes.
    pub(crate) async fn get(&self, name: &str, limit: u64) -> Result<Bytes, BlobError> {
        self.get_fitting(name, Length::AtMost(limit)).await
    }

    /// Returns the whole object, if its length fits.
    pub(crate) async fn get_fitting(&self, name: &str, fits: Length) -> Result<Bytes, BlobError> {
        self.object(name, fits).await?.all().await
    }

    /// Writes the whole object to a file if its length fits, and returns its size in bytes.
    pub(crate) async fn get_to(
        &self,
        name: &str,
        fits: Length,
        file: &mut File,
    ) -> Result<u64, BlobError> {
        let mut pieces = self.object(name, fits).await?;
        while let Some(piece) = pieces.next().await? {
            file.write_all(&piece).map_err(BlobError::Io)?;
        }
        Ok(pieces.size())
    }

    /// Finds an object, and checks its length before any of it is read.
    async fn object(&self, name: &str, fits: Length) -> Result<Pieces<'_>, BlobError> {
        let info = self.info(name).await?.ok_or_else(|| BlobError::Missing {
            bucket: self.bucket,
            name: name.to_owned(),
        })?;
        let size = info.size as u64;
        let (bucket, name) = (self.bucket, name.to_owned());
        match fits {
            Length::AtMost(limit) if size > limit => Err(BlobError::TooLarge {
                bucket,
                name,
                size,
                limit,
            }),
            Length::Exactly(wanted) if size != wanted => Err(BlobError::Length {
                bucket,
                name,
                size,
                wanted,
            }),
            _ => Ok(Pieces::of(self, info)),
        }
    }

    /// Returns the description of an object that exists.
    async fn info(&self, name: &str) -> Result<Option<ObjectInfo>, BlobError> {
        let info = self.connection.watched(self.bucket, self.store.info(name));
        match info.await? {
            Ok(info) if info.deleted => Ok(None),
            // Whoever wrote it might have it stand for the pieces of others.
            Ok(info) if !is_token(&info.nuid) => {
                Err(self.damaged(name, "does not say where it is"))
            }
            Ok(info) => Ok(Some(info)),
            Err(error) if error.kind() == InfoErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Removes an object; a missing one counts as removed.
    ///
    /// The client library's own `delete` stores a mark before it removes the pieces, for which a full store has no
    /// room: whoever may purge removes description and pieces instead.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), BlobError> {
        let description = self.description(name);
        let mut info = match self.info(name).await {
            Ok(Some(info)) => info,
            Ok(None) => return Ok(()),
            // Where its pieces are nobody knows: they go when their time is over.
            Err(BlobError::Damaged { .. }) if self.may_purge() => {
                return self.purge(description).await;
            }
            Err(error) => return Err(error),
        };
        if self.may_purge() {
            self.purge(description).await?;
        } else {
            (info.size, info.chunks, info.deleted) = (0, 0, true);
            let mark = serde_json::to_vec(&info).map_err(|error| self.failed(error))?;
            self.replace(&description, mark.into()).await?;
        }
        self.take_away(&info.nuid).await;
        Ok(())
    }
}

impl Blobs {
    /// Removes all objects whose names have this prefix.
    pub(crate) async fn remove_all(&self, prefix: &str) -> Result<(), BlobError> {
        let mut names = Vec::new();
        let (stream, filter) = (
            object_stream(self.bucket),
            format!("{}*", self.descriptions()),
        );
        let all = direct::all(&self.connection, &stream, &filter, 0, |message| {
            let Ok(info) = serde_json::from_slice::<ObjectInfo>(&message.payload) else {
                return;
            };
            if !info.deleted && info.name.starts_with(prefix) {
                names.push(info.name);
            }
        });
        match self.connection.watched(self.bucket, all).await? {
            Ok(_) => {}
            Err(problem) => return Err(self.unread(problem)),
        }
        for name in names {
            self.remove(&name).await?;
        }
        Ok(())
    }

    fn damaged(&self, name: &str, what: &'static str) -> BlobError {
        BlobError::Damaged {
            bucket: self.bucket,
            name: name.to_owned(),
            what,
        }
    }

    fn unread(&self, problem: Problem) -> BlobError {
        self.failed(problem.of(self.bucket, 1, -1))
    }
}

/// Which length an object may have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    AtMost(u64),
    Exactly(u64),
}

/// A blocking reader, read one piece ahead on another thread.
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

/// Reads until `piece` is full or the reader ends.
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
