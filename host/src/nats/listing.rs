//! Everything in a bucket at one moment.

use super::connect::Connection;
use super::direct;
use super::names;
use super::problem::Problem;
use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use std::collections::BTreeMap;

/// The header of an entry that was removed: the reason is its value.
const OPERATION: &str = "KV-Operation";

/// The header of an entry that has expired.
const EXPIRED: &str = "Nats-Marker-Reason";

/// What a message of a bucket says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It has this message as its value.
    Value,
    /// Somebody removed it.
    Removed,
    /// It is gone with its past, or has expired.
    Gone,
}

impl Entry {
    /// What a message with these headers says.
    pub(crate) fn of(headers: Option<&HeaderMap>) -> Self {
        let header = |name| headers.and_then(|headers: &HeaderMap| headers.get_last(name));
        match header(OPERATION).map(HeaderValue::as_str) {
            Some("DEL") => Self::Removed,
            Some(_) => Self::Gone,
            None if header(EXPIRED).is_some() => Self::Gone,
            None => Self::Value,
        }
    }
}

/// Returns the values in a bucket by their keys.
///
/// # Errors
/// If the server does not answer. [`Connection::watched`] hears if the key may not ask.
pub(crate) async fn all(
    connection: &Connection,
    bucket: &str,
) -> Result<BTreeMap<String, Bytes>, Problem> {
    let prefix = format!("$KV.{bucket}.");
    let mut values = BTreeMap::new();
    let stream = names::kv_stream(bucket);
    let filter = format!("{prefix}>");
    let take = |message: direct::Stored| {
        let Some(key) = message.subject.strip_prefix(&prefix) else {
            return;
        };
        if Entry::of(Some(&message.headers)) == Entry::Value {
            values.insert(key.to_owned(), message.payload);
        } else {
            values.remove(key);
        }
    };
    direct::all(connection, &stream, &filter, 0, take).await?;
    Ok(values)
}
