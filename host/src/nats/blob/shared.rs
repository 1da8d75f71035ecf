//! Objects that jobs share and nobody owns: modules. The server removes each a while after it was last stored, and
//! whoever submits tasks stores it anew before then.
//!
//! A task waits for as long as the cluster keeps tasks at most, which is half of the time for which this store keeps an
//! object. So whoever submits a task sees to it that its module was stored in the first half of its time.

use super::{BlobError, Blobs};
use crate::nats::names::object_stream;
use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use std::time::{Duration, SystemTime};

/// How long whoever has seen an object takes it to be there, unless it is not kept for long.
const TRUST: Duration = Duration::from_mins(1);

impl Blobs {
    /// Stores an object, unless it is there and stays for long enough. Returns for how long that need not be asked again.
    pub(crate) async fn share(&self, name: &str, bytes: &[u8]) -> Result<Duration, BlobError> {
        let stream = self.stream().await?;
        let times = Times::of(&stream);
        match self.age(&stream, name).await? {
            None => self.put_bytes(name, bytes).await?,
            Some(age) if age > times.old => self.put_anew(name, bytes).await?,
            Some(_) => {}
        }
        Ok(times.trust)
    }

    /// Stores an object anew that is there, unless it stays for long enough.
    pub(crate) async fn renew(&self, name: &str, limit: u64) -> Result<(), BlobError> {
        let stream = self.stream().await?;
        let age = self.age(&stream, name).await?;
        if age.is_some_and(|age| age <= Times::of(&stream).old) {
            return Ok(());
        }
        let bytes = self.get(name, limit).await?;
        self.put_anew(name, &bytes).await
    }

    /// What had the name before may be read at the moment, and goes when its time is over.
    async fn put_anew(&self, name: &str, bytes: &[u8]) -> Result<(), BlobError> {
        let place = ulid::Ulid::new().to_string();
        let mut from = bytes;
        let put = self.put_at(name, &place, &mut from).await;
        if put.is_err() {
            self.take_away(&place).await;
        }
        put.map(drop)
    }

    /// How long ago an object was stored, by the server's clock and ours; none if it is not there.
    async fn age(&self, stream: &Stream, name: &str) -> Result<Option<Duration>, BlobError> {
        if !self.has(name).await? {
            return Ok(None);
        }
        let get = stream.direct_get_last_for_subject(self.description(name));
        match self.connection.watched(self.bucket, get).await? {
            Ok(message) => {
                let age = SystemTime::now().duration_since(message.time.into());
                Ok(Some(age.unwrap_or_default()))
            }
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(super) async fn stream(&self) -> Result<Stream, BlobError> {
        let stream = self.connection.js.get_stream(object_stream(self.bucket));
        let stream = self.connection.watched(self.bucket, stream).await?;
        stream.map_err(|error| self.failed(error))
    }
}

/// What follows from the time for which a store keeps an object.
struct Times {
    /// How long whoever has seen an object takes it to be there.
    trust: Duration,
    /// The age from which it is stored anew.
    old: Duration,
}

impl Times {
    fn of(stream: &Stream) -> Self {
        match stream.cached_info().config.max_age {
            // It is kept for ever.
            Duration::ZERO => Self {
                trust: TRUST,
                old: Duration::MAX,
            },
            age => {
                let trust = TRUST.min(age / 8);
                Self {
                    trust,
                    old: (age / 2).saturating_sub(trust),
                }
            }
        }
    }
}
