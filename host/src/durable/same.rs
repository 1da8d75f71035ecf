//! Tells whether a submitted job equals the job stored under its id: its arguments, limits and grants, and everything
//! that its tasks work on.
//!
//! An input is identified by a hash of its bytes and of its chunk borders, which depend on the bytes alone; its path
//! does not count. The hash is computed while the bytes pass on their way to storage, so that they are read once.

use super::manifest::{DurableJob, Plan};
use super::submit::unreadable;
use super::{DurableError, Store};
use crate::dispatch::{DispatchedTask, TaskInput};
use crate::nats::blob::BlobError;
use crate::nats::index::{Index, read_sources};
use crate::nats::wire::{TasksHead, parse};
use crate::view::{Pack, Packs};
use bytes::Bytes;
use rwasm_sandbox::input::ChunkData;
use rwasm_sandbox::outcome::ArgumentSource;
use rwasm_sandbox::sandbox::Arguments;
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Upper bound, in bytes, for the stored plan of a job.
pub(super) const LARGEST_PLAN: u64 = 1 << 30;

/// Chunks of at least this many bytes are streamed rather than held.
const STREAMED: u64 = 4 << 20;

/// Hashes what tasks work on, in their order.
#[derive(Clone, Default)]
pub(super) struct Witness(Arc<Mutex<Sha256>>);

impl Witness {
    fn hash(&self) -> MutexGuard<'_, Sha256> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hashes bytes that are read as a whole, delimited from what precedes and follows.
    fn part(&self, kind: u8, bytes: &[u8]) {
        let mut hash = self.hash();
        hash.update([kind]);
        hash.update(bytes);
        hash.update((bytes.len() as u64).to_le_bytes());
    }

    /// Hashes the inputs of a pack. A large input is hashed when the encoder of the pack reads it, which happens in
    /// the same order: it is replaced with a reader.
    pub(super) fn watch(&self, pack: &mut [DispatchedTask]) -> io::Result<()> {
        for task in pack {
            self.task(task)?;
        }
        Ok(())
    }

    fn task(&self, task: &mut DispatchedTask) -> io::Result<()> {
        match &mut task.input {
            TaskInput::Ready(Arguments::Values(values) | Arguments::Parts(values)) => {
                self.part(b'v', &(values.len() as u64).to_le_bytes());
                for value in values.iter() {
                    self.part(b'w', &value.to_wire());
                }
            }
            TaskInput::Ready(Arguments::Chunk(chunk)) => {
                if chunk.len().is_some_and(|len| len < STREAMED) {
                    let bytes = chunk.bytes()?;
                    self.part(b'c', &bytes);
                    chunk.data = ChunkData::Bytes(bytes);
                } else {
                    let passing: Box<dyn Read + Send> = Box::new(Passing {
                        from: chunk.open()?,
                        witness: self.clone(),
                        course: Course::Before,
                    });
                    chunk.data = ChunkData::Stream(Arc::new(Mutex::new(Some(passing))));
                }
            }
            TaskInput::Refused(failure) => {
                self.part(b'r', failure.code.name().as_bytes());
                self.part(b'm', failure.message.as_bytes());
            }
            // Nobody has pushed anything for it.
            TaskInput::Named(_) => self.part(b'n', &[]),
        }
        Ok(())
    }

    /// Reads the rest of a pack that is not stored.
    fn read(pack: &[DispatchedTask]) -> io::Result<()> {
        for task in pack {
            if let TaskInput::Ready(Arguments::Chunk(chunk)) = &task.input
                && chunk.len().is_none()
            {
                io::copy(&mut chunk.open()?, &mut io::sink())?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(&self) -> String {
        let hash = std::mem::take(&mut *self.hash()).finalize();
        hash.iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }
}

/// Passes bytes on and hashes them.
struct Passing {
    from: Box<dyn Read + Send>,
    witness: Witness,
    course: Course,
}

/// How far the passing bytes are.
enum Course {
    Before,
    /// This many have passed.
    Passing(u64),
    Through,
}

impl Read for Passing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        let mut hash = self.witness.hash();
        if matches!(self.course, Course::Before) {
            hash.update([b'c']);
            self.course = Course::Passing(0);
        }
        // Whoever reads on behind the end finds it again.
        if let Course::Passing(length) = self.course {
            self.course = if read == 0 && !into.is_empty() {
                hash.update(length.to_le_bytes());
                Course::Through
            } else {
                hash.update(&into[..read]);
                Course::Passing(length + read as u64)
            };
        }
        Ok(read)
    }
}

impl Store {
    /// Checks that these tasks are those of the stored job. Reads all of them.
    ///
    /// # Errors
    /// [`DurableError::Taken`] with the first difference.
    pub(super) async fn check_same(
        &self,
        there: &DurableJob,
        mut packs: Packs,
        head_of: impl Fn(&Pack) -> TasksHead,
    ) -> Result<(), DurableError> {
        let taken = |difference: &str| DurableError::Taken {
            id: there.id.clone(),
            difference: difference.to_owned(),
        };
        let (plan, _) = self.plan(there).await?;
        let witness = Witness::default();
        let mut is_first = true;
        while let Some(pack) = packs.next() {
            let mut pack = pack.map_err(|error| DurableError::Submit(error.into()))?;
            if std::mem::take(&mut is_first)
                && let Some(head) = &plan.head
                && let Some(difference) = difference(head, &head_of(&pack))
            {
                return Err(taken(difference));
            }
            let tasks = &mut pack.dispatch.tasks;
            let read = witness.watch(tasks).and_then(|()| Witness::read(tasks));
            read.map_err(|source| DurableError::Submit(unreadable(&pack.sources, source)))?;
        }
        if witness.finish() != plan.input {
            return Err(taken("its input is different"));
        }
        Ok(())
    }

    /// Returns the plan of a job, and the sources of its tasks.
    pub(super) async fn plan(&self, job: &DurableJob) -> Result<(Plan, Bytes), DurableError> {
        let plan = self.blobs.get(&job.plan_object(), LARGEST_PLAN).await;
        let plan = plan.map_err(|error| match error {
            // It is stored before the record says that the job is, and removed only with the job.
            error @ (BlobError::Missing { .. } | BlobError::Damaged { .. }) => {
                DurableError::Damaged {
                    id: job.id.clone(),
                    reason: error.to_string(),
                }
            }
            error => error.into(),
        })?;
        parse::<Plan>(&plan).map_err(|error| DurableError::Damaged {
            id: job.id.clone(),
            reason: error.to_string(),
        })
    }
}

/// Reads which message holds which tasks of a job, and the input of each task, from its plan.
pub(super) fn indexed(
    job: &DurableJob,
    sources: &[u8],
) -> Result<(Index, Vec<ArgumentSource>), DurableError> {
    let damaged = |reason: String| DurableError::Damaged {
        id: job.id.clone(),
        reason,
    };
    let (mut index, sources) = read_sources(sources).map_err(|error| damaged(error.to_string()))?;
    // The rounds are within what the record says.
    if index.tasks() != job.tasks {
        return Err(damaged(format!(
            "its plan has {} tasks, expected {}",
            index.tasks(),
            job.tasks
        )));
    }
    index.set_rounds(job.rounds.clone());
    Ok((index, sources))
}

/// Returns the first difference between two heads, as a clause.
fn difference(there: &TasksHead, wanted: &TasksHead) -> Option<&'static str> {
    let granted = |head: &TasksHead| {
        (
            head.dirs.clone(),
            head.env.clone(),
            head.net.clone(),
            head.clock.clone(),
            head.seed,
        )
    };
    if there.arguments != wanted.arguments {
        return Some("its arguments are different");
    }
    if there.ok_exit != wanted.ok_exit {
        return Some("its exit codes for success are different");
    }
    if there.deterministic != wanted.deterministic {
        return Some("only one of the two is deterministic");
    }
    if there.limits != wanted.limits {
        return Some("its limits are different");
    }
    if granted(there) != granted(wanted) {
        return Some("its grants are different");
    }
    if there.reuse != wanted.reuse {
        return Some("its reuse of instances is different");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_hashed_alike_in_memory_and_on_their_way() {
        let whole = Witness::default();
        whole.part(b'c', b"many words");
        let passed = Witness::default();
        let mut passing = Passing {
            from: Box::new(&b"many words"[..]),
            witness: passed.clone(),
            course: Course::Before,
        };
        let mut two = [0; 2];
        while passing.read(&mut two).expect("it is in memory") > 0 {}
        assert_eq!(passing.read(&mut two).expect("it has ended"), 0);
        let hash = whole.finish();
        assert_eq!(hash, passed.finish());
        // Cut elsewhere, the same bytes are other tasks.
        let cut = Witness::default();
        cut.part(b'c', b"many ");
        cut.part(b'c', b"words");
        assert_ne!(hash, cut.finish());
    }
}
