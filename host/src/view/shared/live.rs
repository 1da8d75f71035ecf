//! What a task reports while it runs, for listeners.

use crate::feed::{Feed, Missable, Sender, feed};
use rwasm_sandbox::note::{Listener, TaskNote};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Notes that wait for a listener; older ones are dropped.
const WAITING_NOTES: usize = 1024;

/// Something that a task reported while it ran.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LiveNote {
    /// A note of a task.
    Said {
        /// Its position in its job, from 0.
        index: u64,
        /// The note.
        note: TaskNote,
    },
    /// This many notes were missed, because they were not taken in time.
    Missed(u64),
}

impl Missable for LiveNote {
    fn missed(count: u64) -> Self {
        Self::Missed(count)
    }

    fn size(&self) -> usize {
        match self {
            Self::Said { note, .. } => size_of::<Self>() + note.size(),
            Self::Missed(_) => size_of::<Self>(),
        }
    }
}

feed! {
    /// What tasks report from now on, until they have ended: a [`Stream`](futures_core::Stream), and an iterator that
    /// blocks.
    LiveNotes(LiveNote)
}

/// Where the tasks of one job say it. Costs next to nothing while nobody listens.
#[derive(Default)]
pub(crate) struct Live {
    is_heard: AtomicBool,
    state: Mutex<ListenerState>,
}

#[derive(Default)]
struct ListenerState {
    sender: Option<Sender<LiveNote>>,
    is_over: bool,
}

impl Live {
    pub(crate) fn listen(&self) -> LiveNotes {
        let mut state = self.lock();
        if state.is_over {
            return LiveNotes(Feed::ended());
        }
        self.is_heard.store(true, Ordering::Release);
        let sender = state
            .sender
            .get_or_insert_with(|| Sender::new(WAITING_NOTES));
        LiveNotes(sender.listen())
    }

    /// Nothing more will be said.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        state.sender = None;
    }

    fn lock(&self) -> MutexGuard<'_, ListenerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Live {
    fn note(&self, task: u64, note: TaskNote) {
        if self.is_heard.load(Ordering::Acquire)
            && let Some(sender) = &self.lock().sender
        {
            sender.send(LiveNote::Said { index: task, note });
        }
    }
}
