//! What the events of a connection say: what the server denies, how often the connection was made, and whether the
//! server rejects it.

use super::refusal::{ConnectError, Denied, denied};
use super::role::Role;
use async_nats::{ClientError, ConnectErrorKind, Event};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// Hears the events of one connection.
pub(super) struct Standing {
    url: Arc<str>,
    who: Arc<str>,
    role: Role,
    /// The number of servers that were named. Each may reject a key that the next one accepts, while an administrator
    /// has one after the other read its configuration.
    servers: usize,
    /// How often the connection was rejected since it was made.
    rejections: AtomicUsize,
    denials: watch::Sender<Option<Denied>>,
    made: watch::Sender<u64>,
    is_rejected: watch::Sender<bool>,
}

impl Standing {
    pub(super) fn new(url: Arc<str>, who: Arc<str>, role: Role, servers: usize) -> Self {
        Self {
            url,
            who,
            role,
            servers,
            rejections: AtomicUsize::new(0),
            denials: watch::Sender::new(None),
            made: watch::Sender::new(0),
            is_rejected: watch::Sender::new(false),
        }
    }

    /// Changes with each denial.
    pub(super) fn denials(&self) -> watch::Receiver<Option<Denied>> {
        self.denials.subscribe()
    }

    /// Changes when the connection was made.
    pub(super) fn made(&self) -> watch::Receiver<u64> {
        self.made.subscribe()
    }

    /// Whether the server rejects the connection, which is attempted again all the same.
    pub(super) fn is_rejected(&self) -> watch::Receiver<bool> {
        self.is_rejected.subscribe()
    }

    pub(super) fn hear(&self, event: &Event) {
        match event {
            Event::ServerError(error) => {
                if let Some(denied) = denied(error, &self.who, self.role) {
                    self.is_denied(denied);
                }
            }
            Event::Connected => {
                self.made.send_modify(|count| *count += 1);
                self.rejections.store(0, Ordering::Relaxed);
                if self.is_rejected.send_replace(false) && self.role == Role::Engine {
                    tracing::info!(url = &*self.url, "the server accepts {} again", self.who);
                }
            }
            // The client library has no other word for it.
            Event::ClientError(ClientError::Other(text))
                if *text == ConnectErrorKind::AuthorizationViolation.to_string() =>
            {
                let before = self.rejections.fetch_add(1, Ordering::Relaxed);
                if before >= self.servers && !self.is_rejected.send_replace(true) {
                    self.report_rejection();
                }
            }
            _ => {}
        }
        tracing::debug!(%event, "the connection to the server");
    }

    fn is_denied(&self, denied: Denied) {
        let inbox = self.role.inbox();
        // One by which no answers come stays: whatever is done next waits for them.
        self.denials.send_if_modified(|last| {
            let is_deaf = last.as_ref().is_some_and(|last| last.is_of(&inbox));
            if !is_deaf {
                *last = Some(denied);
            }
            !is_deaf
        });
    }

    /// Engines go on without anybody who waits for them: their log says it, once.
    fn report_rejection(&self) {
        if self.role == Role::Engine {
            let rejected = ConnectError::Refused {
                url: self.url.to_string(),
                who: self.who.to_string(),
            };
            tracing::warn!("{rejected}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_rejected_once_every_server_may_have_said_so() {
        let standing = Standing::new("url".into(), "the client key".into(), Role::Client, 2);
        let is_rejected = standing.is_rejected();
        let violation = ConnectErrorKind::AuthorizationViolation.to_string();
        let rejected = Event::ClientError(ClientError::Other(violation));
        let away = Event::ClientError(ClientError::Other("IO error".to_owned()));
        for (event, wanted) in [
            (&rejected, false),
            (&away, false),
            (&Event::Connected, false),
            (&rejected, false),
            (&rejected, false),
            (&rejected, true),
            (&away, true),
            (&Event::Connected, false),
        ] {
            standing.hear(event);
            assert_eq!(*is_rejected.borrow(), wanted, "{event}");
        }
        assert_eq!(*standing.made().borrow(), 2);
    }
}
