//! Reads what a stream has, by direct gets: requests that the server answers with the messages themselves.
//!
//! Nothing is left behind on the server, unlike with a consumer, and no role but admin may create one. Any server that
//! has the stream may answer, one that is a moment behind its leader included: whoever misses a message asks again.

use super::connect::Connection;
use super::problem::Problem;
use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// Messages of one answer, at most.
const MESSAGES: usize = 1000;

/// Bytes of one answer, at most; one message more than these may come.
const BYTES: usize = 4 << 20;

/// How long the server may be silent while it answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// How answers end: after the messages, without any, or since no server has the stream.
const END: u16 = 204;
const NOTHING: u16 = 404;
const NOBODY: u16 = 503;

/// A message as a stream has it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

/// Messages in the order in which they were stored.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) messages: Vec<Stored>,
    /// How many more there were when it was made.
    pub(crate) left: u64,
}

/// Returns the next messages with such a subject that the stream stored after the one numbered `after`.
///
/// # Errors
/// If the server does not answer. [`Connection::watched`] hears if the key may not ask.
pub(crate) async fn page(
    connection: &Connection,
    stream: &str,
    filter: &str,
    after: u64,
) -> Result<Page, Problem> {
    let request = json!({
        "seq": after + 1,
        "next_by_subj": filter,
        "batch": MESSAGES,
        "max_bytes": BYTES,
    });
    ask(connection, stream, &request).await
}

/// Hands all messages with such a subject that the stream stored after the one numbered `after` to `take`, and returns
/// the number of the last one.
///
/// # Errors
/// As [`page`].
pub(crate) async fn all(
    connection: &Connection,
    stream: &str,
    filter: &str,
    after: u64,
    mut take: impl FnMut(Stored),
) -> Result<u64, Problem> {
    let mut last = after;
    loop {
        let page = page(connection, stream, filter, last).await?;
        let Some(end) = page.messages.last() else {
            return Ok(last);
        };
        last = last.max(end.sequence);
        let is_last = page.left == 0;
        page.messages.into_iter().for_each(&mut take);
        if is_last {
            return Ok(last);
        }
    }
}

/// Returns the last message of a subject. Unlike [`latest`], the request has the subject in its own.
///
/// # Errors
/// As [`page`].
pub(crate) async fn last(
    connection: &Connection,
    stream: &str,
    subject: &str,
) -> Result<Option<Stored>, Problem> {
    let request = format!("$JS.API.DIRECT.GET.{stream}.{subject}");
    let request = connection.client.request(request, Bytes::new());
    let answer = request.await?;
    Ok(stored(&answer))
}

/// Returns the last message of each of these subjects that has one.
///
/// # Errors
/// As [`page`].
pub(crate) async fn latest(
    connection: &Connection,
    stream: &str,
    subjects: &[String],
) -> Result<Vec<Stored>, Problem> {
    /// The server refuses more than 1 024.
    const SUBJECTS: usize = 512;
    let mut found = Vec::new();
    for some in subjects.chunks(SUBJECTS) {
        let mut wanted = some.to_vec();
        loop {
            let request = json!({ "multi_last": wanted, "batch": SUBJECTS, "max_bytes": BYTES });
            let page = ask(connection, stream, &request).await?;
            let is_last = page.left == 0 || page.messages.is_empty();
            wanted.retain(|subject| page.messages.iter().all(|one| one.subject != *subject));
            found.extend(page.messages);
            if is_last || wanted.is_empty() {
                break;
            }
        }
    }
    Ok(found)
}

async fn ask(
    connection: &Connection,
    stream: &str,
    request: &serde_json::Value,
) -> Result<Page, Problem> {
    let client = &connection.client;
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    let mut renewals = connection.renewals();
    let subject = format!("$JS.API.DIRECT.GET.{stream}");
    let request = Bytes::from(request.to_string());
    client.publish_with_reply(subject, inbox, request).await?;
    let mut page = Page::default();
    loop {
        let answer = tokio::select! {
            biased;
            answer = answers.next() => answer,
            // What was asked before the connection was lost is not answered.
            Ok(()) = renewals.changed() => None,
            () = sleep(PATIENCE) => None,
        };
        let answer = answer.ok_or(Problem::Silent)?;
        let status = answer.status;
        if let Some(message) = stored(&answer) {
            page.messages.push(message);
            continue;
        }
        let figure = |name: &str| {
            let headers = answer.headers.as_ref()?;
            headers.get_last(name)?.as_str().parse().ok()
        };
        match status.map(|status| status.as_u16()) {
            Some(END) => {
                page.left = figure("Nats-Num-Pending").unwrap_or_default();
                return Ok(page);
            }
            Some(NOTHING) => return Ok(page),
            Some(NOBODY) => return Err(Problem::NobodyAnswers),
            _ => {
                let said = answer.description.unwrap_or_default();
                return Err(Problem::Other(format!(
                    "the server does not read the stream {stream}: {said}"
                )));
            }
        }
    }
}

/// The message in an answer, unless it is about the answer. The server adds its headers to those that were stored,
/// which may have the same names: the last ones are the server's.
fn stored(answer: &Message) -> Option<Stored> {
    let headers = answer.headers.as_ref()?;
    let sequence = headers.get_last("Nats-Sequence")?.as_str().parse().ok()?;
    Some(Stored {
        subject: headers.get_last("Nats-Subject")?.as_str().to_owned(),
        sequence,
        headers: headers.clone(),
        payload: answer.payload.clone(),
    })
}
