//! Where the outcomes of a message go: into one result that the server stores, beside an object if they are large.

use super::worker::{AGAIN, LONGEST_PAUSE, Name, Worker};
use crate::nats::blob::{BlobError, LARGEST_INLINE};
use crate::nats::names;
use crate::nats::wire::{OutcomesHead, encode_outcomes, frame};
use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind;
use rwasm_sandbox::outcome::{Failure, FailureCode, Outcome};
use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// How often the server may refuse a result before it is stored as an object, which tells whether there will ever be room
/// for it. Whether a refusal passes cannot be known otherwise: an engine may not see how large the stream is.
const REFUSALS: u32 = 4;

/// How long the server may take, at first, to confirm that a result is stored: a server that died with it confirms
/// nothing.
const PATIENCE: Duration = Duration::from_secs(5);

impl Worker {
    /// Stores a result once: the first writer wins. Returns whether it is stored.
    pub(super) async fn store(
        &self,
        name: &Name,
        delivery: u64,
        (first, last): (u64, u64),
        outcomes: &[Outcome],
    ) -> bool {
        let mut outcomes = Cow::Borrowed(outcomes);
        let large = encode_outcomes(&outcomes).len() > LARGEST_INLINE;
        let mut object = None;
        if large {
            object = self.put_or_fail(name, &mut outcomes).await;
        }
        let message = |outcomes: &[Outcome], object: Option<String>| {
            let failures = outcomes.iter().filter(|one| one.result.is_err()).count();
            let body = match object {
                Some(_) => Vec::new(),
                None => encode_outcomes(outcomes),
            };
            let head = OutcomesHead {
                process: self.process(),
                delivery,
                count: outcomes.len() as u64,
                failures: failures as u64,
                first,
                last,
                body: object,
            };
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
            // For whoever looks on without reading what is in it.
            headers.insert(names::COUNT, outcomes.len().to_string());
            headers.insert(names::FAILURES, failures.to_string());
            (frame(&head, &body), headers)
        };
        let (mut body, mut headers) = message(&outcomes, object);
        let subject = names::result(&name.0, &name.1);
        let (mut pause, mut patience) = (AGAIN, PATIENCE);
        // What was too large for a message, or for its object too, is small now.
        let mut may_be_too_large = !large;
        let mut refusals = 0;
        loop {
            let publish = self.connection.publish("rwc.r.", &subject, &headers, &body);
            let reason = match self.connection.within(patience, publish).await {
                Some(Ok(Ok(_))) => return true,
                Some(Ok(Err(error))) if error.kind() == PublishErrorKind::WrongLastSequence => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                Some(Ok(Err(error))) => {
                    refusals += 1;
                    if error.kind() == PublishErrorKind::MaxPayloadExceeded {
                        refusals = REFUSALS;
                    }
                    error.to_string()
                }
                Some(Err(denied)) => denied.to_string(),
                None => {
                    patience *= 2;
                    "the server does not confirm that it is stored".to_owned()
                }
            };
            tracing::warn!(reason, "cannot store a result yet; trying again");
            if may_be_too_large && refusals >= REFUSALS {
                may_be_too_large = false;
                let object = self.put_or_fail(name, &mut outcomes).await;
                (body, headers) = message(&outcomes, object);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Stores results as an object, and returns its name; or makes them failures, which fit into a message.
    async fn put_or_fail(&self, name: &Name, outcomes: &mut Cow<'_, [Outcome]>) -> Option<String> {
        match self.put_large(name, &encode_outcomes(outcomes)).await {
            Ok(object) => Some(object),
            Err(reason) => {
                fail_all(outcomes.to_mut(), &reason);
                None
            }
        }
    }

    /// Stores the results of a message that are too large for one message, trying as often as it takes. Returns the
    /// object's name, or why there never is room for them.
    async fn put_large(&self, name: &Name, body: &[u8]) -> Result<String, String> {
        // Two engines that both ran it write different objects, so that none loses its pieces to the other.
        let object = format!("o/{}/{}.{}", name.0, name.1, self.process());
        let mut pause = AGAIN;
        loop {
            match self.bench.blobs.put_bytes(&object, body).await {
                Ok(()) => return Ok(object),
                Err(error @ BlobError::NeverFits { .. }) => return Err(error.to_string()),
                Err(error) => {
                    tracing::warn!(%error, "cannot store a large result yet; trying again");
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Turns outcomes that cannot be stored anywhere into failures.
fn fail_all(outcomes: &mut [Outcome], reason: &str) {
    let message = format!("the results of the tasks of one message cannot be stored: {reason}");
    for outcome in outcomes {
        outcome.result = Err(Failure::new(FailureCode::OutputLimit, message.clone()));
        // These may be what is large.
        (outcome.usage.logs, outcome.usage.notes) = (None, None);
    }
}
