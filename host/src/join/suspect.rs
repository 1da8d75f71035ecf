//! A message that several processes were lost with: which of its tasks ends them?
//!
//! Its tasks are run part by part, in order, and finished parts are stored before the next one begins. So whoever
//! gets the message after another loss knows which part was running, cuts that into smaller ones, and continues
//! there; stored parts are not run again. A single task that was running often enough fails and is given to no other
//! engine; it alone. The ledger of each delivery is an object of its own, so that a process that was thought lost and
//! returns cannot write to it.

use crate::job::MOST_TASKS;
use crate::nats::blob::{BlobError, Blobs, ReadBudget};
use crate::nats::wire::{decode_outcomes, encode_outcomes, frame, parse};
use bytes::Bytes;
use rwasm_sandbox::outcome::Outcome;
use rwasm_value::value::Type;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The first delivery that is suspect: most of what kills a process kills it once, and is not the tasks' fault.
const FROM: u64 = 3;

/// The number of parts into which suspect tasks are cut: three losses find one task among four thousand.
const PARTS: u64 = 16;

/// Ledgers of earlier deliveries that are looked for. Most deliveries leave one.
const LOOKED_FOR: u64 = 64;

/// The most bytes of a ledger, with the outcomes of finished tasks. Beyond it they are not kept.
const LARGEST: u64 = 256 << 20;

/// Consecutive tasks, and how many processes were lost with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    tasks: u64,
    lost: u32,
}

/// What was in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Doing {
    /// Nothing: the rest was given back.
    #[default]
    Nothing,
    /// The message was being prepared.
    Preparing,
    /// The first remaining part was running.
    Running,
}

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ledger {
    doing: Doing,
    /// Processes that were lost while they prepared it, or with all of its tasks.
    lost: u32,
    /// What remains, once the tasks were counted.
    left: Option<VecDeque<Part>>,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Run this many of the next tasks.
    Run(usize),
    /// Give up on the next task: no other engine gets it.
    GiveUp,
    /// All are finished.
    End,
}

impl Ledger {
    /// Whether it may be the ledger of a message: clients may write objects, too.
    fn is_valid(&self) -> bool {
        let left = || self.left.iter().flatten();
        let tasks = left().try_fold(0_u64, |sum, part| sum.checked_add(part.tasks));
        left().all(|part| part.tasks > 0) && tasks.is_some_and(|tasks| tasks <= MOST_TASKS as u64)
    }

    /// The state after `lost` processes that had all of its tasks.
    fn new(lost: u32) -> Self {
        Self {
            doing: Doing::Nothing,
            lost,
            left: None,
        }
    }

    /// Another process has it, so whoever wrote this was lost. If there are several tasks, each keeps one try, to run
    /// alone.
    fn taken_over(mut self, most: u32) -> Self {
        match (self.doing, &mut self.left) {
            (Doing::Nothing, _) => {}
            (Doing::Running, Some(left)) if !left.is_empty() => {
                if let Some(part) = left.pop_front() {
                    let lost = bounded(part.lost.saturating_add(1), part.tasks, most);
                    for tasks in cut(part.tasks).into_iter().rev() {
                        left.push_front(Part { tasks, lost });
                    }
                }
            }
            _ => self.lost = self.lost.saturating_add(1),
        }
        self.doing = Doing::Nothing;
        self
    }

    fn count(&mut self, tasks: u64, most: u32) {
        let lost = bounded(self.lost, tasks, most);
        let part = |tasks| Part { tasks, lost };
        let parts = || cut(tasks).into_iter().map(part).collect();
        self.left.get_or_insert_with(parts);
    }

    fn next(&self, most: u32) -> Step {
        match self.left.as_ref().and_then(VecDeque::front) {
            None => Step::End,
            Some(part) if part.tasks == 1 && part.lost >= most => Step::GiveUp,
            Some(part) => Step::Run(usize::try_from(part.tasks).unwrap_or(usize::MAX)),
        }
    }

    fn through(&mut self) {
        if let Some(left) = &mut self.left {
            left.pop_front();
        }
        self.doing = Doing::Nothing;
    }
}

/// The number of losses that each of several tasks lost together is charged with.
fn bounded(lost: u32, tasks: u64, most: u32) -> u32 {
    match tasks {
        0 | 1 => lost,
        _ => lost.min(most.saturating_sub(1)),
    }
}

/// Returns the sizes of the parts into which this many tasks are cut, as equal as possible.
fn cut(tasks: u64) -> Vec<u64> {
    let parts = PARTS.min(tasks);
    (0..parts)
        .map(|part| tasks * (part + 1) / parts - tasks * part / parts)
        .collect()
}

/// What is known of such a message, and where that is stored.
pub(super) struct Suspect {
    blobs: Blobs,
    /// The ledger of this delivery.
    name: String,
    /// The ledger that this one continues.
    earlier: Option<String>,
    most: u32,
    state: Ledger,
    /// Outcomes of finished tasks, as stored.
    stored: Bytes,
    pub(super) done: Vec<Outcome>,
}

impl Suspect {
    /// Whether this delivery of a message that may be given to `most` processes is suspect.
    pub(super) fn is(delivery: u64, most: u32) -> bool {
        delivery >= FROM.min(u64::from(most.max(1)))
    }

    /// Reads what the last process that had the message left, if it left anything.
    pub(super) async fn open(
        blobs: &Blobs,
        (job, number): (&str, &str),
        delivery: u64,
        most: u32,
        budget: &ReadBudget,
    ) -> Result<Self, BlobError> {
        let name = |delivery: u64| format!("l/{job}/{number}.{delivery}");
        let most = most.max(1);
        let first = FROM.min(most.into());
        let mut suspect = Self {
            blobs: blobs.clone(),
            name: name(delivery),
            earlier: None,
            most,
            state: Ledger::new(u32::try_from(first - 1).unwrap_or_default()),
            stored: Bytes::new(),
            done: Vec::new(),
        };
        for earlier in (first.max(delivery.saturating_sub(LOOKED_FOR))..delivery).rev() {
            let ledger = match blobs.get_within(&name(earlier), LARGEST, budget).await {
                Ok(ledger) => ledger.bytes,
                Err(BlobError::Missing { .. }) => continue,
                Err(BlobError::TooLarge { .. }) => Bytes::new(),
                Err(error) => return Err(error),
            };
            // What cannot be read is of another version, or of somebody else: it begins afresh.
            if let Ok((state, stored)) = parse::<Ledger>(&ledger)
                && state.is_valid()
            {
                suspect.state = state.taken_over(most);
                suspect.stored = stored;
            }
            suspect.earlier = Some(name(earlier));
            break;
        }
        Ok(suspect)
    }

    /// Whether too many processes were lost with it before any of its tasks began.
    pub(super) fn is_hopeless(&self) -> bool {
        self.state.left.is_none() && self.state.lost >= self.most
    }

    /// Records that the message is about to be prepared.
    pub(super) async fn prepare(&mut self) -> Result<(), BlobError> {
        self.keep(Doing::Preparing).await
    }

    /// Records that it is prepared, with this many tasks whose values have type `ty`. Returns how many are finished; none
    /// if it began afresh too often.
    pub(super) fn ready(&mut self, tasks: usize, ty: &Type) -> Option<usize> {
        if self.state.left.is_some() {
            let left = self.state.left.iter().flatten();
            let left: u64 = left.map(|part| part.tasks).sum();
            let stored = decode_outcomes(&self.stored, ty, tasks as u64).unwrap_or_default();
            if left.checked_add(stored.len() as u64) == Some(tasks as u64) {
                self.done = stored;
                return Some(self.done.len());
            }
            // It is not a ledger of these tasks, or what was finished is lost. Where that goes on, so do the losses.
            self.state.left = None;
            self.state.lost = self.state.lost.saturating_add(1);
            if self.is_hopeless() {
                return None;
            }
        }
        self.state.count(tasks as u64, self.most);
        Some(0)
    }

    pub(super) fn next(&self) -> Step {
        self.state.next(self.most)
    }

    /// Records that the next part is about to run.
    pub(super) async fn begin(&mut self) -> Result<(), BlobError> {
        self.keep(Doing::Running).await
    }

    /// Records that the next part has finished.
    pub(super) fn through(&mut self, outcomes: Vec<Outcome>) {
        self.done.extend(outcomes);
        self.state.through();
    }

    /// Records that the rest is for another process, and that nobody was lost with it.
    pub(super) async fn give_back(&mut self) {
        // Where this does not go well it counts as a loss.
        let _ = self.keep(Doing::Nothing).await;
    }

    /// Records that the message has ended.
    pub(super) async fn end(self) {
        for name in [Some(self.name), self.earlier].into_iter().flatten() {
            // What stays is removed when its time is over.
            let _ = self.blobs.remove(&name).await;
        }
    }

    async fn keep(&mut self, doing: Doing) -> Result<(), BlobError> {
        self.state.doing = doing;
        let mut encoded = match &self.done[..] {
            [] => self.stored.clone(),
            done => encode_outcomes(done).into(),
        };
        // Whoever reads it takes the ledger itself, too.
        if encoded.len() as u64 > LARGEST / 2 {
            encoded = Bytes::new();
        }
        let ledger = frame(&self.state, &encoded);
        self.blobs.put_bytes(&self.name, &ledger).await?;
        // A message that is given back for ever would leave one each time.
        if let Some(earlier) = self.earlier.take() {
            let _ = self.blobs.remove(&earlier).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processes take the message one after the other until it is over; tasks in `poison` end whoever runs them. The tasks
    /// that were given up, and how many processes were lost.
    fn play(tasks: u64, poison: &[u64], most: u32) -> (Vec<u64>, u32) {
        let mut state = Ledger::new(2);
        let mut lost = 2;
        let mut given_up = Vec::new();
        let mut at = 0;
        state.count(tasks, most);
        loop {
            match state.next(most) {
                Step::End => return (given_up, lost),
                Step::GiveUp => {
                    given_up.push(at);
                    at += 1;
                    state.through();
                }
                Step::Run(count) => {
                    state.doing = Doing::Running;
                    let part = at..at + count as u64;
                    if poison.iter().any(|place| part.contains(place)) {
                        lost += 1;
                        state = state.taken_over(most);
                        state.doing = Doing::Nothing;
                    } else {
                        at = part.end;
                        state.through();
                    }
                }
            }
        }
    }

    #[test]
    fn only_the_task_that_ends_processes_is_given_up() {
        assert_eq!(play(1, &[0], 5), (vec![0], 5));
        assert_eq!(play(1, &[], 5), (vec![], 2));
        assert_eq!(play(2, &[1], 1), (vec![1], 3));
        assert_eq!(play(7, &[3], 5), (vec![3], 5));
        assert_eq!(play(16, &[15], 5), (vec![15], 5));
        assert_eq!(play(256, &[0], 5), (vec![0], 5));
        assert_eq!(play(4096, &[1234], 5), (vec![1234], 5));
        assert_eq!(play(5000, &[4999], 5), (vec![4999], 6));
        let (given_up, lost) = play(1000, &[1, 2, 500, 999], 5);
        assert_eq!(given_up, [1, 2, 500, 999]);
        assert!(lost <= 2 + 4 * 3, "{lost} were lost");
    }

    #[test]
    fn the_parts_are_all_there_is() {
        for tasks in [0, 1, 15, 16, 17, 1000, 4096] {
            let parts = cut(tasks);
            assert_eq!(parts.iter().sum::<u64>(), tasks);
            assert!(parts.len() as u64 <= PARTS && parts.iter().all(|part| *part > 0));
        }
    }

    #[test]
    fn what_is_no_ledger_of_a_message_is_not_believed() {
        let ledger = |parts: &[u64]| Ledger {
            doing: Doing::Running,
            lost: 2,
            left: Some(
                parts
                    .iter()
                    .map(|tasks| Part {
                        tasks: *tasks,
                        lost: 0,
                    })
                    .collect(),
            ),
        };
        for parts in [&[][..], &[1], &[16, 1, MOST_TASKS as u64 - 17]] {
            assert!(ledger(parts).is_valid(), "{parts:?}");
            // Whatever is valid can be taken over.
            ledger(parts).taken_over(5);
        }
        let too_many = MOST_TASKS as u64 + 1;
        for parts in [
            &[0][..],
            &[1, 0],
            &[u64::MAX],
            &[1, 99, u64::MAX],
            &[too_many],
        ] {
            assert!(!ledger(parts).is_valid(), "{parts:?}");
        }
    }

    #[test]
    fn what_was_given_back_counts_for_nothing() {
        let mut state = Ledger::new(2);
        state.count(20, 5);
        let before = state.clone();
        state = state.taken_over(5);
        assert_eq!(state, before);
        state.doing = Doing::Preparing;
        let state = state.taken_over(5);
        assert_eq!((state.lost, state.left), (3, before.left));
    }
}
