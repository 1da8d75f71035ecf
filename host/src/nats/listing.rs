//! Everything in a bucket at one moment.
//!
//! A bucket is read through a consumer of its own, of which a server can hold only few: unlike a watcher's, this one
//! is removed as soon as the bucket is read.

use super::connect::Connection;
use super::names;
use super::problem::Problem;
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::BTreeMap;

/// Headers of an entry that is not a value: it was removed, or has expired.
const NO_VALUE: [&str; 2] = ["KV-Operation", "Nats-Marker-Reason"];

/// Returns the values in a bucket by their keys. Does not end by itself if the last one expires before it is
/// delivered.
///
/// # Errors
/// If the server does not answer. [`Connection::watched`] hears if the key may not ask.
pub(crate) async fn all(
    connection: &Connection,
    bucket: &str,
) -> Result<BTreeMap<String, Bytes>, Problem> {
    let stream = connection.js.get_stream(names::kv_stream(bucket)).await?;
    let prefix = format!("$KV.{bucket}.");
    let config = push::OrderedConfig {
        deliver_subject: connection.client.new_inbox(),
        filter_subject: format!("{prefix}>"),
        deliver_policy: DeliverPolicy::LastPerSubject,
        ..push::OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let name = consumer.cached_info().name.clone();
    let mut left = consumer.cached_info().num_pending;
    let mut values = BTreeMap::new();
    if left > 0 {
        let mut messages = consumer.messages().await?;
        while left > 0
            && let Some(message) = messages.next().await
        {
            let message = message?;
            left = match message.info() {
                Ok(info) => info.pending,
                Err(error) => return Err(Problem::Other(error.to_string())),
            };
            let Some(key) = message.subject.strip_prefix(&prefix) else {
                continue;
            };
            let headers = message.headers.as_ref();
            let is_value = |name: &&str| headers.is_none_or(|headers| headers.get(*name).is_none());
            if NO_VALUE.iter().all(is_value) {
                values.insert(key.to_owned(), message.payload.clone());
            } else {
                values.remove(key);
            }
        }
    }
    // Where it is not removed the server does it when nobody has heard it for a while.
    let _ = stream.delete_consumer(&name).await;
    if left > 0 {
        return Err(Problem::Silent);
    }
    Ok(values)
}
