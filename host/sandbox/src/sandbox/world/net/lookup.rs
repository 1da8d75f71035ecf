//! Asks the system for the addresses of names, on a few threads: the system's resolver is slow and
//! cannot be interrupted. The threads end when no names are left, and nothing waits for them: a
//! task that waits for an answer ends with its time, and the program ends without them.

use super::peers::Peers;
use std::collections::VecDeque;
use std::net::ToSocketAddrs;
use std::sync::{Arc, Mutex, PoisonError};

/// The most threads of this process that look names up.
const MAX_THREADS: usize = 8;

struct Queue {
    /// Each name that a job was granted is asked for once, so there are no more than all jobs have in their grants.
    waiting: VecDeque<(Arc<Peers>, usize)>,
    threads: usize,
}

/// Shared by the whole process, so that many jobs with slow names do not start many threads.
static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: VecDeque::new(),
    threads: 0,
});

/// Looks up the name with this index, and informs the peers.
pub(super) fn ask(peers: &Arc<Peers>, place: usize) {
    let mut queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
    queue.waiting.push_back((Arc::clone(peers), place));
    if queue.threads == MAX_THREADS {
        return;
    }
    let thread = std::thread::Builder::new().name("rwasm-lookup".to_owned());
    if thread.spawn(answer_all).is_ok() {
        queue.threads += 1;
    } else if queue.threads == 0 {
        // Nobody is waiting for the answer any more.
        for (peers, place) in std::mem::take(&mut queue.waiting) {
            peers.answer(place, None);
        }
    }
}

fn answer_all() {
    loop {
        let next = {
            let mut queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
            let next = queue.waiting.pop_front();
            if next.is_none() {
                queue.threads -= 1;
            }
            next
        };
        let Some((peers, place)) = next else { return };
        // The port has no meaning: names are looked up, not services.
        let found = (peers.name(place), 0).to_socket_addrs();
        let found = found.into_iter().flatten();
        peers.answer(place, found.map(|address| address.ip()));
    }
}
