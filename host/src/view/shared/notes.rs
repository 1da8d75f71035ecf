//! What the tasks of all jobs of a cluster report while they run, for listeners that start before a job does.

use crate::feed::{Feed, Missable, Sender};
use futures_core::Stream;
use rwasm_sandbox::note::{LogLevel, TaskNote};
use rwasm_value::ids::JobId;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// Notes that wait for a listener; older ones are dropped.
const WAITING_NOTES: usize = 4096;

/// Something that a task of some job reported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClusterNote {
    /// A note of a task.
    Said {
        /// Its job.
        job: JobId,
        /// Its position in its job, from 0.
        index: u64,
        /// The note.
        note: TaskNote,
    },
    /// This many notes were missed, because they were not taken in time.
    Missed(u64),
}

impl Missable for ClusterNote {
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

/// What tasks report from now on, until the cluster is dropped: a [`Stream`], and an iterator that blocks. From
/// [`Cluster::notes`](crate::Cluster::notes) and [`Cluster::log`](crate::Cluster::log).
pub struct ClusterNotes {
    feed: Feed<ClusterNote>,
    wanted: NoteFilter,
}

/// Which notes are wanted: each value wants what those below it want, too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct NoteFilter(u8);

impl NoteFilter {
    const NOTHING: Self = Self(0);
    const EVERYTHING: Self = Self(u8::MAX);

    /// Log lines that matter at least so much.
    fn log(from: LogLevel) -> Self {
        let place = LogLevel::ALL.iter().rev().position(|level| *level == from);
        let place = place.and_then(|place| u8::try_from(place).ok());
        Self(place.unwrap_or_default() + 1)
    }

    fn has(self, note: &TaskNote) -> bool {
        let needed = match note {
            TaskNote::Log { level, .. } => Self::log(*level),
            _ => Self::EVERYTHING,
        };
        self >= needed
    }
}

/// Where the tasks of a cluster say it. Costs next to nothing while nobody listens to their kind.
#[derive(Default)]
pub(crate) struct NoteFeed {
    /// The most that anyone ever wanted.
    wanted: AtomicU8,
    sender: Mutex<Option<Sender<ClusterNote>>>,
}

impl NoteFeed {
    pub(crate) fn listen(&self, from: Option<LogLevel>) -> ClusterNotes {
        let wanted = from.map_or(NoteFilter::EVERYTHING, NoteFilter::log);
        let mut sender = self.lock();
        let sender = sender.get_or_insert_with(|| Sender::new(WAITING_NOTES));
        let feed = sender.listen();
        self.wanted.fetch_max(wanted.0, Ordering::Release);
        ClusterNotes { feed, wanted }
    }

    pub(crate) fn note(&self, job: JobId, index: u64, note: &TaskNote) {
        let wanted = NoteFilter(self.wanted.load(Ordering::Acquire));
        if wanted != NoteFilter::NOTHING
            && wanted.has(note)
            && let Some(sender) = &*self.lock()
        {
            let note = note.clone();
            sender.send(ClusterNote::Said { job, index, note });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Sender<ClusterNote>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClusterNotes {
    /// Returns the next note if it has already arrived, without waiting.
    pub fn try_next(&mut self) -> Option<ClusterNote> {
        loop {
            let note = self.feed.try_next()?;
            if self.is_wanted(&note) {
                return Some(note);
            }
        }
    }

    fn is_wanted(&self, note: &ClusterNote) -> bool {
        match note {
            ClusterNote::Said { note, .. } => self.wanted.has(note),
            ClusterNote::Missed(_) => true,
        }
    }
}

impl Stream for ClusterNotes {
    type Item = ClusterNote;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ClusterNote>> {
        loop {
            let note = std::task::ready!(self.feed.poll_next(context));
            if note.as_ref().is_none_or(|note| self.is_wanted(note)) {
                return Poll::Ready(note);
            }
        }
    }
}

impl Iterator for ClusterNotes {
    type Item = ClusterNote;

    fn next(&mut self) -> Option<ClusterNote> {
        pollster::block_on(std::future::poll_fn(|context| {
            Pin::new(&mut *self).poll_next(context)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(level: LogLevel) -> TaskNote {
        TaskNote::Log {
            level,
            message: level.name().to_owned(),
        }
    }

    #[test]
    fn each_listener_hears_what_it_wants() {
        let feed = NoteFeed::default();
        let job = JobId(7);
        feed.note(job, 0, &logged(LogLevel::Error));
        let mut warnings = feed.listen(Some(LogLevel::Warn));
        feed.note(job, 1, &logged(LogLevel::Error));
        feed.note(job, 2, &logged(LogLevel::Info));
        let mut everything = feed.listen(None);
        feed.note(job, 3, &TaskNote::Stderr("x".into()));
        feed.note(job, 4, &logged(LogLevel::Trace));
        feed.note(job, 5, &logged(LogLevel::Warn));
        let indices = |notes: &mut ClusterNotes| -> Vec<u64> {
            std::iter::from_fn(|| notes.try_next())
                .map(|note| match note {
                    ClusterNote::Said { index, .. } => index,
                    ClusterNote::Missed(_) => u64::MAX,
                })
                .collect()
        };
        assert_eq!(indices(&mut warnings), [1, 5]);
        assert_eq!(indices(&mut everything), [3, 4, 5]);
        drop(feed);
        assert!(warnings.next().is_none() && everything.next().is_none());
    }
}
