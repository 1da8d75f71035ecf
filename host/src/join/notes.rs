//! Notes of running tasks on their way to the server.
//!
//! They wait by themselves, in one queue for each message of tasks, with a bound in bytes for each queue and for all:
//! what does not fit is lost, since a guest that prints is not held up, and outcomes carry what is kept. They have a
//! connection of their own, so that results and signs of life never wait for them; it gets one note at a time, and no more
//! bytes a second than somebody could read. The queues take turns.

use super::worker::{Name, Worker};
use crate::nats::blob::LARGEST_INLINE;
use crate::nats::connect::{Connection, Role};
use crate::nats::names;
use async_nats::Client;
use bytes::Bytes;
use rwasm_sandbox::lock::lock;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// The most that waits of one message's tasks, in bytes.
const MOST_OF_ONE: usize = 1 << 20;

/// The most that waits of all, in bytes.
const MOST: usize = 8 << 20;

/// How much is written in a second, in bytes. Whoever listens reads more than that with difficulty, and beyond it the
/// server would be kept from what others send.
const RATE: u32 = 16 << 20;

/// How long a result waits for the notes of its own tasks, which are handled before it.
const LAST: Duration = Duration::from_millis(250);

/// See the [module](self).
#[derive(Default)]
pub(super) struct Notes {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    /// Notified when a note is written.
    written: Notify,
    /// The connection of its own, once there is one.
    client: Mutex<Option<Client>>,
}

#[derive(Default)]
struct Waiting {
    queues: HashMap<Name, Queue>,
    /// Whose turn is next. Each queue is in it once.
    turns: VecDeque<Name>,
    bytes: usize,
    /// Whose note is being written.
    writing: Option<Name>,
    /// Messages some of whose notes were written: only such as this process holds.
    told: HashSet<Name>,
}

#[derive(Default)]
struct Queue {
    notes: VecDeque<Bytes>,
    bytes: usize,
}

impl Notes {
    /// Adds a note, unless there is no room for it.
    pub(super) fn put(&self, name: &Name, note: Bytes) {
        if note.len() > LARGEST_INLINE {
            return;
        }
        if lock(&self.waiting).put(name, note) {
            self.arrived.notify_one();
        }
    }

    /// Waits until the server has the notes of a message, for a while; then forgets what is left. Its result, which comes by
    /// another connection, would overtake them.
    pub(super) async fn finish(&self, name: &Name) {
        let written = async {
            loop {
                // Registered before looking, so that none is missed.
                let written = self.written.notified();
                if !lock(&self.waiting).has(name) {
                    return;
                }
                written.await;
            }
        };
        if timeout(LAST, written).await.is_err() {
            lock(&self.waiting).forget(name);
        }
        let has_told = lock(&self.waiting).told.remove(name);
        let client = lock(&self.client).clone();
        if let (true, Some(client)) = (has_told, client) {
            // Whatever it answers: it has what was written before.
            let asked = client.request(names::something_to_ask(), Bytes::new());
            let _ = timeout(LAST, asked).await;
        }
    }

    /// Forgets a message that this process does not hold any more.
    pub(super) fn forget(&self, name: &Name) {
        let mut waiting = lock(&self.waiting);
        waiting.forget(name);
        waiting.told.remove(name);
    }

    async fn next(&self) -> (Name, Bytes) {
        loop {
            if let Some(next) = lock(&self.waiting).take() {
                return next;
            }
            self.arrived.notified().await;
        }
    }
}

impl Waiting {
    fn put(&mut self, name: &Name, note: Bytes) -> bool {
        let queue = self.queues.get(name).map_or(0, |queue| queue.bytes);
        if queue + note.len() > MOST_OF_ONE || self.bytes + note.len() > MOST {
            return false;
        }
        self.bytes += note.len();
        let queue = self.queues.entry(name.clone()).or_insert_with(|| {
            self.turns.push_back(name.clone());
            Queue::default()
        });
        queue.bytes += note.len();
        queue.notes.push_back(note);
        true
    }

    fn take(&mut self) -> Option<(Name, Bytes)> {
        let name = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&name)?;
        let note = queue.notes.pop_front()?;
        queue.bytes -= note.len();
        self.bytes -= note.len();
        if queue.notes.is_empty() {
            self.queues.remove(&name);
        } else {
            self.turns.push_back(name.clone());
        }
        self.writing = Some(name.clone());
        self.told.insert(name.clone());
        Some((name, note))
    }

    fn has(&self, name: &Name) -> bool {
        self.queues.contains_key(name) || self.writing.as_ref() == Some(name)
    }

    fn forget(&mut self, name: &Name) {
        if let Some(queue) = self.queues.remove(name) {
            self.bytes -= queue.bytes;
            self.turns.retain(|other| other != name);
        }
    }
}

/// Writes notes for as long as the process lives, over a connection of their own, which is made for the first: a server
/// may hold up a connection for whoever listens to it and does not read.
pub(super) async fn write(worker: Arc<Worker>) {
    let mut own: Option<Connection> = None;
    loop {
        let (name, note) = worker.notes.next().await;
        if own.is_none() {
            let made = Connection::open(
                &worker.connection.settings,
                Role::Engine,
                "rwasm-cluster notes",
            );
            own = made.await.ok();
            *lock(&worker.notes.client) = own.as_ref().map(|own| own.client.clone());
        }
        // What cannot be written is lost, like what does not fit.
        let pause = Duration::from_secs(1) * u32::try_from(note.len()).unwrap_or(RATE) / RATE;
        if let Some(Connection { client, .. }) = &own
            && client.publish(names::notes(&name.0), note).await.is_ok()
        {
            let _ = client.flush().await;
        }
        lock(&worker.notes.waiting).writing = None;
        worker.notes.written.notify_waiters();
        // Short ones are far apart as it is.
        if pause > Duration::from_millis(1) {
            sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: &str) -> Name {
        ("job".into(), number.into())
    }

    fn note(bytes: usize) -> Bytes {
        vec![0; bytes].into()
    }

    #[test]
    fn queues_are_bounded_and_take_turns() {
        let mut waiting = Waiting::default();
        let (loud, quiet) = (name("1"), name("2"));
        let taken = (0..1000).filter(|_| waiting.put(&loud, note(100 << 10)));
        assert_eq!(taken.count(), 10);
        assert!(waiting.put(&quiet, note(5)));
        assert_eq!(waiting.take().map(|(name, _)| name), Some(loud.clone()));
        assert_eq!(waiting.take().map(|(name, _)| name), Some(quiet.clone()));
        assert!(waiting.has(&quiet) && waiting.has(&loud));
        assert_eq!(waiting.take().map(|(name, _)| name), Some(loud.clone()));
        assert!(!waiting.has(&quiet));
        waiting.forget(&loud);
        assert!(waiting.has(&loud), "one is being written");
        assert_eq!((waiting.bytes, waiting.turns.len()), (0, 0));
        assert!(waiting.take().is_none());
    }

    #[test]
    fn all_of_them_are_bounded() {
        let mut waiting = Waiting::default();
        let kept = (0..100).filter(|number| waiting.put(&name(&number.to_string()), note(1 << 20)));
        assert_eq!(kept.count(), 8);
        while waiting.take().is_some() {}
        assert_eq!(waiting.bytes, 0);
        assert!(waiting.queues.is_empty());
    }
}
