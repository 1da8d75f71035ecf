//! The pieces of an object, read by direct gets.

use super::{BlobError, Blobs};
use crate::nats::direct;
use crate::nats::names::object_stream;
use async_nats::jetstream::object_store::ObjectInfo;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes reserved for an object of announced size; more is reserved as it arrives.
const ROOM: u64 = 64 << 20;

/// The pauses after which pieces are asked for that a server does not have: it is behind the one that stored them.
const BEHIND: [Duration; 5] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::ZERO,
];

/// See the [module](self). As many are held as one answer of the server has.
pub(super) struct Pieces<'a> {
    blobs: &'a Blobs,
    name: String,
    subject: String,
    size: u64,
    digest: Option<String>,
    /// The number of the last piece that was asked for, within its stream.
    last: u64,
    read: u64,
    waiting: VecDeque<Bytes>,
    hash: Sha256,
}

impl<'a> Pieces<'a> {
    /// The pieces of the object with this description.
    pub(super) fn of(blobs: &'a Blobs, info: ObjectInfo) -> Self {
        Self {
            blobs,
            subject: blobs.pieces(&info.nuid),
            size: info.size as u64,
            name: info.name,
            digest: info.digest,
            last: 0,
            read: 0,
            waiting: VecDeque::new(),
            hash: Sha256::new(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the whole object.
    pub(super) async fn all(mut self) -> Result<Bytes, BlobError> {
        let Some(first) = self.next().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.next().await? else {
            return Ok(first);
        };
        let room = usize::try_from(self.size.min(ROOM)).unwrap_or_default();
        let mut bytes = BytesMut::with_capacity(room);
        bytes.extend_from_slice(&first);
        bytes.extend_from_slice(&second);
        while let Some(piece) = self.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    /// Returns the next piece. After the last one the object is whole: it has its recorded length and hash.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        if self.read == self.size && self.waiting.is_empty() {
            let found = URL_SAFE.encode(self.hash.clone().finalize());
            if self.digest != Some(format!("SHA-256={found}")) {
                let what = "does not have its recorded hash";
                return Err(self.blobs.damaged(&self.name, what));
            }
            return Ok(None);
        }
        if self.waiting.is_empty() {
            self.fetch().await?;
        }
        let Some(piece) = self.waiting.pop_front() else {
            return Err(self.blobs.failed(format!(
                "`{}` has {} bytes, but {} were stored",
                self.name, self.read, self.size
            )));
        };
        // Before anything is done with it: the server's word for the size is not trusted.
        let read = self.read + piece.len() as u64;
        if read > self.size {
            let what = "is longer than its recorded size";
            return Err(self.blobs.damaged(&self.name, what));
        }
        self.read = read;
        self.hash.update(&piece);
        Ok(Some(piece))
    }

    /// Fetches more pieces. A server that is a moment behind is asked again.
    async fn fetch(&mut self) -> Result<(), BlobError> {
        for pause in BEHIND {
            let (blobs, stream) = (self.blobs, object_stream(self.blobs.bucket));
            let page = direct::page(&blobs.connection, &stream, &self.subject, self.last);
            let page = blobs.connection.watched(blobs.bucket, page).await?;
            let page = page.map_err(|problem| blobs.unread(problem))?;
            if let Some(last) = page.messages.last() {
                self.last = last.sequence;
                let pieces = page.messages.into_iter().map(|piece| piece.payload);
                self.waiting
                    .extend(pieces.filter(|piece| !piece.is_empty()));
                if !self.waiting.is_empty() {
                    return Ok(());
                }
            }
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}
