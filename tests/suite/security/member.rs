//! Somebody with a key of a cluster who speaks to its server directly, and what the server lets them do.

use super::{AT_ONCE, Site};
use async_nats::connection::State;
use async_nats::jetstream::{self};
use async_nats::{Client, ConnectOptions, Event, Message};
use futures_util::StreamExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Somebody with a key of the cluster, who need not be our program.
pub(super) struct Member {
    url: String,
    role: &'static str,
    seed: String,
    ca: PathBuf,
}

/// The same, connected.
pub(super) struct Connected {
    pub(super) js: jetstream::Context,
    pub(super) client: Client,
    role: &'static str,
    denials: UnboundedReceiver<String>,
}

impl Member {
    /// Whoever has the key of that name, which is of the role in front of the first `-`.
    pub(super) fn of(site: &Site, role: &'static str) -> Self {
        Self::with_key(site, role, &format!("{role}.key"))
    }

    /// Whoever has this file among the keys, of the role in front of the first `-`.
    pub(super) fn with_key(site: &Site, role: &'static str, key: &str) -> Self {
        let text = std::fs::read_to_string(site.file(key)).expect("a key");
        let seed = text.lines().last().expect("the seed is its last line");
        Self {
            url: site.url("127.0.0.1"),
            role,
            seed: seed.to_owned(),
            ca: site.file("ca.pem"),
        }
    }

    pub(super) fn runs(self, act: impl AsyncFnOnce(Connected)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime is built");
        runtime.block_on(async { act(self.connect().await).await });
    }

    pub(super) async fn connect(self) -> Connected {
        let (tell, denials) = unbounded_channel();
        let mut options = ConnectOptions::with_nkey(self.seed)
            .custom_inbox_prefix(format!(
                "_INBOX_{}",
                self.role.split('-').next().unwrap_or_default()
            ))
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    // Whoever listened has seen enough.
                    let _ = tell.send(error.to_string());
                }
                std::future::ready(())
            });
        if self.ca.exists() {
            options = options.add_root_certificates(self.ca);
        }
        let client = options.connect(self.url).await.expect("its key is known");
        Connected {
            js: jetstream::new(client.clone()),
            client,
            role: self.role,
            denials,
        }
    }
}

impl Connected {
    /// Publishes to it, and expects that the server refuses that at once.
    pub(super) async fn may_not_publish(&mut self, subject: &str) {
        let message = self.client.publish(subject.to_owned(), "{}".into());
        message.await.expect("it is sent");
        self.is_denied(&format!(
            "Permissions Violation for Publish to \"{subject}\""
        ))
        .await;
    }

    /// Subscribes to it, and expects that the server refuses that at once.
    pub(super) async fn may_not_hear(&mut self, subject: &str) {
        let heard = self
            .client
            .subscribe(subject.to_owned())
            .await
            .expect("it is sent");
        self.is_denied(&format!(
            "Permissions Violation for Subscription to \"{subject}\""
        ))
        .await;
        drop(heard);
    }

    pub(super) async fn is_denied(&mut self, wanted: &str) {
        self.client.flush().await.expect("it goes to the server");
        let before = Instant::now();
        let denial = tokio::time::timeout(AT_ONCE, self.denials.recv()).await;
        let denial = denial.unwrap_or_else(|_| panic!("{}: no word of: {wanted}", self.role));
        let denial = denial.expect("the connection stands");
        assert!(
            denial.contains(wanted),
            "{}: {denial}, not {wanted}",
            self.role
        );
        assert!(before.elapsed() < AT_ONCE);
    }

    /// Expects that nothing it did was refused: what it may not is the first that it hears of.
    pub(super) async fn was_permitted_everything(&mut self) {
        self.may_not_publish("$JS.API.STREAM.DELETE.RWC_TASKS")
            .await;
    }

    /// Expects that the server ends the connection, and takes no other.
    pub(super) async fn is_cut_off(&self) {
        const A_MOMENT: Duration = Duration::from_millis(20);
        let ended = async {
            while self.client.connection_state() == State::Connected {
                // What is asked of a connection that has ended is not answered.
                let _ = tokio::time::timeout(A_MOMENT, self.client.flush()).await;
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(AT_ONCE, ended).await;
        ended.expect("it is cut off");
    }

    /// Reads all that a stream has with such a subject, by one request.
    pub(super) async fn reads(&self, stream: &str, filter: &str) -> Vec<Message> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.expect("it may");
        let request = format!(r#"{{"seq":1,"next_by_subj":"{filter}","batch":1000}}"#);
        let ask = format!("$JS.API.DIRECT.GET.{stream}");
        let asked = self.client.publish_with_reply(ask, inbox, request.into());
        asked.await.expect("it is sent");
        let mut found = Vec::new();
        loop {
            let answer = tokio::time::timeout(AT_ONCE, answers.next()).await;
            let answer = answer.expect("it comes").expect("the connection stands");
            if answer.status.is_some() {
                return found;
            }
            found.push(answer);
        }
    }

    /// Reads an object, piece by piece, and returns its length.
    pub(super) async fn reads_object(&self, bucket: &str, name: &str) -> usize {
        let store = self.js.get_object_store(bucket).await.expect("the store");
        let place = store.info(name).await.expect("it is there").nuid;
        let pieces = format!("$O.{bucket}.C.{place}");
        let pieces = self.reads(&format!("OBJ_{bucket}"), &pieces).await;
        pieces.iter().map(|piece| piece.payload.len()).sum()
    }

    /// Waits until the server has seen what was sent so far.
    pub(super) async fn is_heard(&self) {
        let answer = self.js.get_stream("RWC_TASKS").await;
        answer.expect("every role may see that");
    }
}
