//! The tasks that wait or run, by slot. Finished ones leave no trace, however many there were.

use super::messages::Work;
use crate::merge::tree::Node;
use rwasm_value::ids::ChunkIndex;

/// One attempt at one task; unique within a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskId {
    slot: usize,
    generation: u32,
}

/// Which task it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskKind {
    Map(ChunkIndex),
    Reduce(Node),
}

/// A task that waits or runs.
pub(super) struct Entry<C, P> {
    pub(super) kind: TaskKind,
    /// Its input, unless it runs for the last time.
    pub(super) work: Option<Work<C, P>>,
    /// The size of its chunk in bytes, if known.
    pub(super) size: Option<u64>,
    /// The bytes of its chunk that are in memory.
    pub(super) held: u64,
    /// The queue in which it waits, or whose it is if the assignment is fixed.
    pub(super) queue: usize,
    /// The number of attempts started.
    pub(super) attempts: u32,
    /// The dispatch in which it runs.
    pub(super) flight: Option<usize>,
}

/// See the [module](self).
pub(super) struct Table<C, P> {
    rows: Vec<Row<C, P>>,
    free: Vec<usize>,
}

struct Row<C, P> {
    /// The number of attempts started in this slot, which distinguishes late reports of earlier ones.
    generation: u32,
    entry: Option<Entry<C, P>>,
}

impl<C: Clone, P: Clone> Table<C, P> {
    pub(super) fn new() -> Self {
        Self {
            rows: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The number of tasks that wait or run.
    pub(super) fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    /// Adds a waiting task.
    pub(super) fn insert(&mut self, entry: Entry<C, P>) -> usize {
        if let Some(slot) = self.free.pop() {
            self.rows[slot].entry = Some(entry);
            return slot;
        }
        self.rows.push(Row {
            generation: 0,
            entry: Some(entry),
        });
        self.rows.len() - 1
    }

    /// Returns the task in `slot`.
    pub(super) fn get(&self, slot: usize) -> Option<&Entry<C, P>> {
        self.rows.get(slot)?.entry.as_ref()
    }

    /// Starts another attempt at the task in `slot`. Keeps its input if another attempt may follow.
    pub(super) fn start(
        &mut self,
        slot: usize,
        flight: usize,
        retries: u32,
    ) -> Option<(TaskId, u32, Work<C, P>)> {
        let Row { generation, entry } = self.rows.get_mut(slot)?;
        let entry = entry.as_mut()?;
        debug_assert!(
            entry.flight.is_none(),
            "{:?} is under way already",
            entry.kind
        );
        let work = if entry.attempts < retries {
            entry.work.clone()
        } else {
            entry.work.take()
        }?;
        *generation = generation.wrapping_add(1);
        entry.attempts += 1;
        entry.flight = Some(flight);
        Some((
            TaskId {
                slot,
                generation: *generation,
            },
            entry.attempts,
            work,
        ))
    }

    /// Ends the attempt, and returns the task and its dispatch; `None` if it is not under way.
    pub(super) fn finish(&mut self, id: TaskId) -> Option<(usize, &mut Entry<C, P>, usize)> {
        let Row { generation, entry } = self.rows.get_mut(id.slot)?;
        if *generation != id.generation {
            return None;
        }
        let entry = entry.as_mut()?;
        let flight = entry.flight.take()?;
        Some((id.slot, entry, flight))
    }

    /// Removes a task that has ended, or was given up before it was started.
    pub(super) fn remove(&mut self, slot: usize) -> Option<Entry<C, P>> {
        let entry = self.rows.get_mut(slot)?.entry.take()?;
        debug_assert!(
            entry.flight.is_none(),
            "{:?} is still under way",
            entry.kind
        );
        self.free.push(slot);
        Some(entry)
    }

    /// Moves the task in `slot` to another queue.
    pub(super) fn move_to(&mut self, slot: usize, queue: usize) {
        if let Some(entry) = self.rows.get_mut(slot).and_then(|slot| slot.entry.as_mut()) {
            entry.queue = queue;
        }
    }

    /// Whether a map of a chunk before `fence` is waiting or under way.
    pub(super) fn has_map_before(&self, fence: ChunkIndex) -> bool {
        self.rows
            .iter()
            .filter_map(|slot| slot.entry.as_ref())
            .any(|entry| matches!(entry.kind, TaskKind::Map(index) if index < fence))
    }

    /// Returns the maps under way of the chunks after `first` up to `last`, in no order.
    pub(super) fn maps_under_way(&self, first: ChunkIndex, last: ChunkIndex) -> Vec<TaskId> {
        let within = |entry: &Entry<C, P>| {
            entry.flight.is_some()
                && matches!(entry.kind, TaskKind::Map(index) if first < index && index <= last)
        };
        let slots = self.rows.iter().enumerate();
        slots
            .filter(|(_, slot)| slot.entry.as_ref().is_some_and(within))
            .map(|(at, slot)| TaskId {
                slot: at,
                generation: slot.generation,
            })
            .collect()
    }
}
