//! Orders to engines: signed by whoever gives them, and obeyed only if that key may give them.
//!
//! A server lets a key publish only what its role needs, but answers a request at whichever subject the request names:
//! who may read anything can have it sent to an engine. So an order carries a signature of the sender's key over its
//! subject, content, time and nonce. Which keys may give orders is in a list that an admin key has signed (`init` stores
//! it), and the engine's own key file names the admin keys.
//!
//! | an order | is refused if |
//! |---|---|
//! | has no signature | the engine has a key |
//! | is older or newer than [`WINDOW`] | always: clocks of a cluster differ by less |
//! | has a nonce that was seen | always |
//! | is signed by a key that is not in the list | always; the list is read again, and whoever gave the order does so again, once |
//!
//! Without keys there is nothing to sign with: such an engine obeys whoever the server lets speak to it.

use super::connect::Connection;
use super::direct;
use super::keys::PublicKey;
use super::names;
use super::role::{Key, Role};
use async_nats::{HeaderMap, Message, PublishError, RequestError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use nkeys::KeyPair;
use rwasm_sandbox::lock::lock;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How far the time of an order may be from the engine's clock.
pub(crate) const WINDOW: Duration = Duration::from_mins(2);

/// Nonces that are remembered, some 6 MB of them. With more orders within the window, older ones than those that are
/// remembered are refused.
const NONCES: usize = 1 << 16;

/// The pause after a look at the list of keys.
const LOOK: Duration = Duration::from_secs(1);

/// How often the list is read even if nobody unknown gives an order.
const OLDEST: Duration = Duration::from_mins(1);

/// The most bytes of a list: some 10 000 keys.
const LARGEST_LIST: usize = 1 << 20;

/// The pause after which somebody gives an order again who is not in the list that an engine has: it looks again then.
pub(crate) const ONCE_MORE: Duration = Duration::from_millis(1200);

const SIGNER: &str = "Rwc-Signer";
const TIME: &str = "Rwc-Time";
const NONCE: &str = "Rwc-Nonce";
const SIGNATURE: &str = "Rwc-Signature";

/// The header that names the task of an order to run one.
pub(crate) const TASK: &str = "Rwc-Task";

/// The key with which a process signs.
pub(crate) struct Signer(KeyPair);

impl Signer {
    pub(crate) fn of(key: &Key) -> Option<Self> {
        KeyPair::from_seed(&key.seed).ok().map(Self)
    }

    pub(super) fn public(&self) -> String {
        self.0.public_key()
    }

    /// Adds a signature to the headers of an order.
    pub(crate) fn sign(&self, subject: &str, headers: &mut HeaderMap, payload: &[u8]) {
        let time = now_ms().to_string();
        let nonce = ulid::Ulid::new().to_string();
        let task = task(headers).to_owned();
        let text = order(subject, &time, &nonce, &task, payload);
        // A key from a seed can sign.
        let Ok(signature) = self.0.sign(text.as_bytes()) else {
            return;
        };
        headers.insert(SIGNER, self.0.public_key());
        headers.insert(TIME, time);
        headers.insert(NONCE, nonce);
        headers.insert(SIGNATURE, URL_SAFE_NO_PAD.encode(signature));
    }
}

impl Connection {
    /// Publishes an order that nobody answers.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub(crate) async fn tell(&self, subject: &str, order: &Bytes) -> Result<(), PublishError> {
        let headers = self.signed(subject, HeaderMap::new(), order);
        let subject = subject.to_owned();
        let client = &self.client;
        client
            .publish_with_headers(subject, headers, order.clone())
            .await
    }

    /// Gives an order and returns the answer.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn order(
        &self,
        subject: &str,
        order: &Bytes,
    ) -> Result<Message, RequestError> {
        let mut is_again = false;
        loop {
            let headers = self.signed(subject, HeaderMap::new(), order);
            let answer =
                self.client
                    .request_with_headers(subject.to_owned(), headers, order.clone());
            let answer = answer.await?;
            if is_again || Disobeyed::of(&answer.payload) != Some(Disobeyed::Stranger) {
                return Ok(answer);
            }
            is_again = true;
            sleep(ONCE_MORE).await;
        }
    }

    /// Returns the headers of an order, signed if this connection has a key. `headers` are those that it needs anyway.
    pub(crate) fn signed(
        &self,
        subject: &str,
        mut headers: HeaderMap,
        payload: &[u8],
    ) -> HeaderMap {
        if let Some(signer) = &self.signer {
            signer.sign(subject, &mut headers, payload);
        }
        headers
    }
}

fn task(headers: &HeaderMap) -> &str {
    headers.get(TASK).map_or("", |task| task.as_str())
}

/// What is signed. No part but the last has a line break.
fn order(subject: &str, time: &str, nonce: &str, task: &str, payload: &[u8]) -> String {
    let content = URL_SAFE_NO_PAD.encode(Sha256::digest(payload));
    format!("rwasm-cluster order 1\n{subject}\n{time}\n{nonce}\n{task}\n{content}")
}

fn list_text(list: &str) -> String {
    format!("rwasm-cluster keys 1\n{list}")
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or_default()
}

fn is_signed_by(public: &str, text: &str, signature: &str) -> bool {
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
        return false;
    };
    KeyPair::from_public_key(public)
        .is_ok_and(|key| key.verify(text.as_bytes(), &signature).is_ok())
}

/// The keys that may give orders, with their roles, as an admin key has signed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyList {
    /// When it was made, in milliseconds since 1970: no engine goes back to an earlier one.
    made_ms: u64,
    pub(crate) keys: BTreeMap<String, String>,
}

/// A list and its signature.
#[derive(Serialize, Deserialize)]
struct SignedList {
    /// The list in JSON, as it was signed.
    list: String,
    signer: String,
    signature: String,
}

impl KeyList {
    /// The list of those among the keys that may give orders.
    pub(crate) fn of<'a>(keys: impl Iterator<Item = &'a PublicKey>) -> Self {
        let may = keys.filter(|key| may_order(key.role));
        Self {
            made_ms: now_ms(),
            keys: may
                .map(|key| (key.public.clone(), key.role.name().to_owned()))
                .collect(),
        }
    }

    /// The list of one key alone.
    pub(crate) fn only(signer: &Signer, role: Role) -> Self {
        Self {
            made_ms: now_ms(),
            keys: [(signer.0.public_key(), role.name().to_owned())].into(),
        }
    }

    /// Encodes the list with its signature.
    pub(crate) fn signed(&self, signer: &Signer) -> Option<Bytes> {
        let list = serde_json::to_string(self).ok()?;
        let signature = signer.0.sign(list_text(&list).as_bytes()).ok()?;
        let signed = SignedList {
            list,
            signer: signer.0.public_key(),
            signature: URL_SAFE_NO_PAD.encode(signature),
        };
        serde_json::to_vec(&signed).ok().map(Bytes::from)
    }

    /// Decodes a list if one of these admin keys has signed it.
    pub(crate) fn read(signed: &[u8], admins: &[String]) -> Option<Self> {
        if signed.len() > LARGEST_LIST {
            return None;
        }
        let signed: SignedList = serde_json::from_slice(signed).ok()?;
        let is_good = admins.contains(&signed.signer)
            && is_signed_by(&signed.signer, &list_text(&signed.list), &signed.signature);
        is_good.then(|| serde_json::from_str(&signed.list).ok())?
    }

    fn has(&self, public: &str) -> bool {
        let role = self.keys.get(public).and_then(|role| role.parse().ok());
        role.is_some_and(may_order)
    }
}

/// The admin keys whose word the owner of a key takes. An admin takes its own.
pub(super) fn admins(key: &Key) -> Vec<String> {
    let own = (key.role == Role::Admin).then(|| Signer::of(key)).flatten();
    let own = own.map(|own| own.public());
    key.admins.iter().cloned().chain(own).collect()
}

fn may_order(role: Role) -> bool {
    matches!(role, Role::Admin | Role::Client)
}

/// Why an order is not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Disobeyed {
    #[error(
        "the order is not signed: its sender needs a key, and the version of rwasm-cluster that this engine has"
    )]
    Unsigned,
    #[error(
        "the time of the order is more than 2 minutes from this engine's: set the clocks of both machines"
    )]
    Untimely,
    #[error("the order was given before")]
    Repeated,
    #[error(
        "the key that signed the order may not give any: if it is new, run `rwasm-cluster init` with the admin key"
    )]
    Stranger,
    #[error("the signature of the order is not right")]
    Forged,
}

impl Disobeyed {
    const ALL: [Self; 5] = [
        Self::Unsigned,
        Self::Untimely,
        Self::Repeated,
        Self::Stranger,
        Self::Forged,
    ];

    /// Why an engine that answers so does not obey; `None` if that is not what it says.
    pub(crate) fn of(answer: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|one| one.to_string().as_bytes() == answer)
    }
}

/// Whose orders a process with engines obeys.
pub(crate) struct Obedience {
    /// The admin keys; `None` if this process has no key, and obeys whoever the server lets speak.
    admins: Option<Vec<String>>,
    state: Mutex<State>,
    /// Notified when the list is to be read.
    wanted: Notify,
}

#[derive(Default)]
struct State {
    list: Option<KeyList>,
    nonces: Nonces,
}

impl Obedience {
    /// Obeys those whom an admin that this key knows has listed.
    pub(crate) fn of(key: Option<&Key>) -> Self {
        Self {
            admins: key.map(admins),
            state: Mutex::default(),
            wanted: Notify::new(),
        }
    }

    /// Reads the list of keys for the first time.
    ///
    /// # Errors
    /// If nobody could ever be obeyed, and what to do about it.
    pub(crate) async fn begin(&self, connection: &Connection) -> Result<(), &'static str> {
        let Some(admins) = &self.admins else {
            tracing::info!(
                "this process has no key, so orders to its engines need no signature: whoever the server lets publish them is obeyed"
            );
            return Ok(());
        };
        if admins.is_empty() {
            return Err(
                "the engine key does not name an admin key, which says whose orders to obey: add a line `admin: U…` above its last line, with the admin's key from `public.toml`",
            );
        }
        self.look(connection).await;
        if lock(&self.state).list.is_none() {
            return Err(
                "the cluster has no list of the keys that may give orders, signed by an admin key that the engine key names: run `rwasm-cluster init` with the admin key, and `public.toml` beside it",
            );
        }
        Ok(())
    }

    /// Reads the list again from time to time, and soon after somebody gave an order who is not in it. Whoever hears
    /// orders does not wait for that: what comes meanwhile would wait too, in memory.
    pub(crate) async fn keep_current(&self, connection: &Connection) {
        loop {
            let _ = timeout(OLDEST, self.wanted.notified()).await;
            self.look(connection).await;
            sleep(LOOK).await;
        }
    }

    /// Reads the list of keys from the server.
    async fn look(&self, connection: &Connection) {
        let Some(admins) = &self.admins else { return };
        let subject = format!("$KV.{}.{}", names::IDS, names::KEYS);
        let stream = names::kv_stream(names::IDS);
        let read = direct::last(connection, &stream, &subject);
        let Ok(Ok(Some(stored))) = connection.watched(names::IDS, read).await else {
            return;
        };
        if let Some(list) = KeyList::read(&stored.payload, admins) {
            let mut state = lock(&self.state);
            let is_newer = |known: &KeyList| list.made_ms > known.made_ms;
            if state.list.as_ref().is_none_or(is_newer) {
                state.list = Some(list);
            }
        } else {
            tracing::warn!("the list of keys on the server is not signed by an admin key");
        }
    }

    /// Checks an order.
    ///
    /// # Errors
    /// Why it is not to be obeyed. A [`Disobeyed::Stranger`] may be known [a little later](ONCE_MORE).
    pub(crate) fn check(&self, message: &Message) -> Result<(), Disobeyed> {
        if self.admins.is_none() {
            return Ok(());
        }
        let signed = Signed::of(message).ok_or(Disobeyed::Unsigned)?;
        if !signed.is_timely(now_ms()) {
            return Err(Disobeyed::Untimely);
        }
        let mut state = lock(&self.state);
        let list = state.list.as_ref();
        if !list.is_some_and(|list| list.has(signed.signer)) {
            self.wanted.notify_one();
            return Err(Disobeyed::Stranger);
        }
        if !signed.is_right(message) {
            return Err(Disobeyed::Forged);
        }
        if !state.nonces.add(signed.time, signed.nonce) {
            return Err(Disobeyed::Repeated);
        }
        Ok(())
    }
}

/// The signature of an order.
struct Signed<'a> {
    signer: &'a str,
    time: u64,
    nonce: u128,
    headers: &'a HeaderMap,
    signature: &'a str,
}

impl<'a> Signed<'a> {
    fn of(message: &'a Message) -> Option<Self> {
        let headers = message.headers.as_ref()?;
        let header = |name: &str| Some(headers.get(name)?.as_str());
        Some(Self {
            signer: header(SIGNER)?,
            time: header(TIME)?.parse().ok()?,
            nonce: header(NONCE)?.parse::<ulid::Ulid>().ok()?.0,
            headers,
            signature: header(SIGNATURE)?,
        })
    }

    fn is_timely(&self, now: u64) -> bool {
        u128::from(now.abs_diff(self.time)) <= WINDOW.as_millis()
    }

    /// Whether it is the signature of this message by the key that it names.
    fn is_right(&self, message: &Message) -> bool {
        let text = order(
            &message.subject,
            &self.time.to_string(),
            &ulid::Ulid(self.nonce).to_string(),
            task(self.headers),
            &message.payload,
        );
        is_signed_by(self.signer, &text, self.signature)
    }
}

/// The nonces of recent orders, by time.
#[derive(Default)]
struct Nonces {
    seen: BTreeSet<(u64, u128)>,
    /// Orders up to this time are refused: their nonces are forgotten.
    forgotten: u64,
}

impl Nonces {
    /// Adds a nonce; returns false if it was seen, or may have been.
    fn add(&mut self, time: u64, nonce: u128) -> bool {
        if time <= self.forgotten || !self.seen.insert((time, nonce)) {
            return false;
        }
        while self.seen.len() > NONCES
            && let Some((time, _)) = self.seen.pop_first()
        {
            self.forgotten = time;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer(KeyPair::new_user())
    }

    fn message(subject: &str, headers: HeaderMap, payload: &'static [u8]) -> Message {
        Message {
            subject: subject.into(),
            reply: None,
            payload: Bytes::from_static(payload),
            headers: Some(headers),
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn a_signature_is_of_one_order_alone() {
        let signer = signer();
        let mut headers = HeaderMap::new();
        headers.insert(TASK, "job.7");
        signer.sign("rwc.e.p.exec", &mut headers, b"content");
        let right = |subject: &str, headers: &HeaderMap, payload: &'static [u8]| {
            let message = message(subject, headers.clone(), payload);
            Signed::of(&message).is_some_and(|signed| signed.is_right(&message))
        };
        assert!(right("rwc.e.p.exec", &headers, b"content"));
        assert!(!right("rwc.e.q.exec", &headers, b"content"));
        assert!(!right("rwc.e.p.exec", &headers, b"other"));
        for (name, value) in [
            (TASK, "job.8".to_owned()),
            (TIME, "7".to_owned()),
            (NONCE, ulid::Ulid::new().to_string()),
            (SIGNER, KeyPair::new_user().public_key()),
            (SIGNATURE, URL_SAFE_NO_PAD.encode([7; 64])),
            (SIGNATURE, "no signature".to_owned()),
        ] {
            let mut changed = headers.clone();
            changed.insert(name, value);
            assert!(!right("rwc.e.p.exec", &changed, b"content"), "{name}");
        }
    }

    #[test]
    fn only_an_admin_makes_a_list() {
        let (admin, other) = (signer(), signer());
        let key = |label: &str, role| PublicKey {
            label: label.to_owned(),
            role,
            public: label.to_owned(),
            lane: None,
        };
        let keys = [
            key("UADMIN", Role::Admin),
            key("UCLIENT", Role::Client),
            key("UENGINE", Role::Engine),
            key("UVIEWER", Role::Viewer),
        ];
        let list = KeyList::of(keys.iter());
        let admins = [admin.0.public_key()];
        let read = KeyList::read(&list.signed(&admin).expect("signed"), &admins).expect("a list");
        assert_eq!(read, list);
        let may: Vec<bool> = keys.iter().map(|key| read.has(&key.public)).collect();
        assert_eq!(may, [true, true, false, false]);
        let forged = list.signed(&other).expect("signed");
        assert_eq!(KeyList::read(&forged, &admins), None);
        let mut forged: SignedList = serde_json::from_slice(&forged).expect("a list");
        forged.signer = admin.0.public_key();
        let forged = serde_json::to_vec(&forged).expect("text");
        assert_eq!(KeyList::read(&forged, &admins), None);
    }

    #[test]
    fn a_nonce_is_good_once_and_what_is_forgotten_is_not() {
        let mut nonces = Nonces::default();
        assert!(nonces.add(5, 1) && nonces.add(5, 2) && !nonces.add(5, 1));
        for nonce in 0..NONCES as u128 {
            assert!(nonces.add(9, nonce));
        }
        assert_eq!(nonces.seen.len(), NONCES);
        assert!(!nonces.add(5, 1), "it is forgotten and refused");
        assert!(!nonces.add(9, 0));
        assert!(nonces.add(10, 0));
    }

    #[test]
    fn the_window_has_two_ends() {
        let mut headers = HeaderMap::new();
        signer().sign("s", &mut headers, b"");
        let message = message("s", headers, b"");
        let signed = Signed::of(&message).expect("it is signed");
        let window = u64::try_from(WINDOW.as_millis()).expect("a number");
        assert!(signed.is_timely(signed.time + window) && signed.is_timely(signed.time - window));
        assert!(!signed.is_timely(signed.time + window + 1));
        assert!(!signed.is_timely(signed.time - window - 1));
    }
}
