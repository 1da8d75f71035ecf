//! The record of a durable job that everyone may read, and the plan that only those who run it may read.

use super::DurableError;
use super::manage::Stored;
use crate::job::Tolerance;
use crate::nats::index::{MessageNumber, Retried, Round};
use crate::nats::names;
use crate::nats::wire::TasksHead;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The state of a durable job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DurableState {
    /// The job is being stored; its id has not been returned yet.
    Submitting,
    /// The job is stored, and none of its tasks has an outcome.
    Queued,
    /// Some tasks have outcomes; others wait or run.
    Running,
    /// All tasks have outcomes.
    Done,
    /// All tasks have outcomes, and more of them failed than the job tolerates. Seen as [`Done`](Self::Done) by keys
    /// that may not read outcomes.
    Failed,
    /// The job was cancelled.
    Cancelled,
    /// The record of the job cannot be read: the job can be removed, and nothing else.
    // Nobody stores it: it is what a reader finds.
    #[serde(skip)]
    Damaged,
}

impl DurableState {
    /// Returns the name that is shown to users, such as `queued`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submitting => "submitting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Damaged => "damaged",
        }
    }
}

impl fmt::Display for DurableState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A durable job, as shown to everyone who may list jobs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DurableJob {
    /// Its id.
    pub id: String,
    /// A mark of this submission, which no other submission under the same id has.
    pub(super) mark: String,
    /// Its state.
    pub state: DurableState,
    /// Whether all of its tasks are stored, whether or not engines have received all of them.
    #[serde(default)]
    pub(super) is_stored: bool,
    /// Whether some tasks of its latest attempt have yet to be given to engines.
    #[serde(default)]
    pub(super) is_retrying: bool,
    /// How many of its tasks failed, once it is recorded as done: nobody has to read the results again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<u64>,
    /// Its kind: `run` or `map`.
    pub kind: String,
    /// Its label, as chosen by its submitter.
    #[serde(default)]
    pub label: Option<String>,
    /// The name of its module, for people.
    pub module: String,
    /// The SHA-256 of its module, in hexadecimal.
    pub hash: String,
    /// The function that is mapped; `None` for a WASI command.
    #[serde(default)]
    pub function: Option<String>,
    /// The merge of a run, by name.
    pub merge: String,
    /// The format in which the command line prints the result, if one was chosen.
    #[serde(default)]
    pub format: Option<String>,
    /// Its number of tasks; 0 while that is unknown.
    pub tasks: u64,
    /// The number of messages that hold these tasks.
    pub messages: u64,
    pub(super) submitted_ms: u64,
    /// Attempts after the first.
    #[serde(default)]
    pub(super) rounds: Vec<Round>,
    /// How many failed tasks it tolerates: `3` or `2%`.
    pub(super) max_failures: String,
    /// The lane whose engines run it.
    pub lane: String,
    /// Its priority within the lane; the server tells only above, equal to and below 0 apart.
    pub priority: i32,
}

/// How many tasks of a durable job have ended so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobCounts {
    /// Tasks with an outcome, failed ones included.
    pub done: u64,
    /// Tasks whose outcome is a failure.
    pub failed: u64,
}

/// A record that is not one of a job.
#[derive(Debug)]
pub(super) struct Damage {
    /// What can be shown and removed of the job. It has no mark if the record has none.
    pub(super) job: DurableJob,
    /// What is wrong with the record.
    pub(super) reason: String,
}

impl From<Damage> for DurableError {
    fn from(damage: Damage) -> Self {
        Self::Damaged {
            id: damage.job.id,
            reason: damage.reason,
        }
    }
}

/// How much of what is wrong with a record is told, in characters: the record may say anything.
const REASON: usize = 200;

/// What only those who run a job may read, since it may contain what its tasks were granted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// What its tasks have in common; `None` if it has no tasks.
    pub(super) head: Option<TasksHead>,
    /// A hash of everything that its tasks work on.
    pub(super) input: String,
}

impl DurableJob {
    /// Reads the record of the job with this id.
    ///
    /// Everyone in the account may write records, so this is the only way to read one: what has a job counts on its
    /// tasks, rounds and names without another check.
    pub(super) fn parse(id: &str, record: &[u8]) -> Result<Self, Box<Damage>> {
        let parsed = serde_json::from_slice(record).map_err(|error| error.to_string());
        let checked = parsed.and_then(|job: Self| job.check(id).map(|()| job));
        checked.map_err(|reason| {
            Box::new(Damage {
                job: Self::damaged(id, record),
                reason: reason.chars().take(REASON).collect(),
            })
        })
    }

    /// Checks what the parts of a record say of each other.
    fn check(&self, id: &str) -> Result<(), String> {
        if self.id != id {
            return Err("it is the record of another job".to_owned());
        }
        // Both become parts of subjects, in which other characters would name more than this job.
        for (what, name) in [("mark", &self.mark), ("lane", &self.lane)] {
            if !names::is_token(name) {
                return Err(format!("its {what} is not a valid name"));
            }
        }
        if let Some(failed) = self.failed
            && failed > self.tasks
        {
            return Err(format!("{failed} of its {} tasks failed", self.tasks));
        }
        Round::check(&self.rounds, self.tasks)
    }

    /// What can be shown of a job whose record is damaged. Nothing is counted on.
    fn damaged(id: &str, record: &[u8]) -> Self {
        let found: Json = serde_json::from_slice(record).unwrap_or_default();
        let text = |name: &str| found[name].as_str().map(str::to_owned);
        Self {
            id: id.to_owned(),
            mark: text("mark")
                .filter(|mark| names::is_token(mark))
                .unwrap_or_default(),
            state: DurableState::Damaged,
            is_stored: false,
            is_retrying: false,
            failed: None,
            kind: text("kind").unwrap_or_default(),
            label: text("label"),
            module: text("module").unwrap_or_default(),
            hash: text("hash").unwrap_or_default(),
            function: text("function"),
            merge: text("merge").unwrap_or_default(),
            format: None,
            tasks: 0,
            messages: 0,
            submitted_ms: found["submitted_ms"].as_u64().unwrap_or_default(),
            rounds: Vec::new(),
            max_failures: String::new(),
            lane: text("lane").unwrap_or_default(),
            priority: 0,
        }
    }

    /// Returns when the job was submitted.
    #[must_use]
    pub fn submitted(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.submitted_ms)
    }

    /// Returns the number of its latest attempt, counted from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.rounds.last().map_or(1, |round| round.attempt)
    }

    /// Counts the tasks that have outcomes, by the messages with stored results, and the failures among them.
    ///
    /// The plan is not needed: a retry takes every task that failed or has no outcome, so that a task outside of all
    /// rounds has succeeded if it has ended. Whoever may publish results may say anything in them; no sum is larger
    /// than the job.
    pub(super) fn counts(&self, stored: &Stored) -> JobCounts {
        let retried = Retried::of(&self.rounds);
        let mut all = JobCounts::default();
        for (number, counts) in stored {
            let (done, failed) = match MessageNumber::parse(number) {
                Some(MessageNumber::First(first)) if first < self.tasks => {
                    let end = first.saturating_add(counts.done).min(self.tasks);
                    let failed = if self.rounds.is_empty() {
                        counts.failed
                    } else {
                        0
                    };
                    (retried.count_others(first..end), failed)
                }
                Some(MessageNumber::Again(attempt, task)) if retried.is_latest(attempt, task) => {
                    (1, counts.failed.min(1))
                }
                _ => (0, 0),
            };
            all.done = all.done.saturating_add(done);
            all.failed = all.failed.saturating_add(failed);
        }
        all.done = all.done.min(self.tasks);
        all.failed = all.failed.min(all.done);
        all
    }

    /// Its name in messages, results and objects.
    pub(super) fn name(&self) -> String {
        names::submission(&self.id, &self.mark)
    }

    /// The object with every message as submitted, and with the input of each task.
    pub(super) fn queue_object(&self) -> String {
        format!("q/{}", self.name())
    }

    pub(super) fn plan_object(&self) -> String {
        format!("p/{}", self.name())
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        // Of strings and numbers, which always can be written.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Whether a submitter is giving its tasks to engines, or was interrupted while doing so.
    pub(super) fn is_being_given(&self) -> bool {
        self.state == DurableState::Submitting || self.is_retrying
    }

    /// Returns the record as shown, with the state that follows from the counts.
    pub(super) fn shown(mut self, counts: JobCounts) -> Self {
        self.state = match self.state {
            DurableState::Queued if counts.done > 0 => DurableState::Running,
            DurableState::Done if counts.failed > self.tolerance().allowed(self.tasks) => {
                DurableState::Failed
            }
            state => state,
        };
        self
    }

    pub(super) fn tolerance(&self) -> Tolerance {
        self.max_failures.parse().unwrap_or_default()
    }
}

/// The current time, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    fn record(tasks: u64, rounds: &Json) -> Json {
        json!({
            "id": "nightly",
            "mark": "m",
            "state": "queued",
            "kind": "map",
            "label": "a label",
            "module": "numbers",
            "hash": "00",
            "merge": "none",
            "tasks": tasks,
            "messages": 1,
            "submitted_ms": 5,
            "rounds": rounds,
            "max_failures": "0",
            "lane": "main",
            "priority": 0,
        })
    }

    fn parse(record: &Json) -> Result<DurableJob, Box<Damage>> {
        DurableJob::parse("nightly", record.to_string().as_bytes())
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let rounds = json!([
            { "attempt": 2, "tasks": [[0, 2], [4, 5]] },
            { "attempt": 3, "tasks": [[4, 5]] },
        ]);
        let job = parse(&record(5, &rounds)).expect("it is a record");
        assert_eq!((job.attempt(), job.tasks), (3, 5));
        let again = DurableJob::parse("nightly", &job.to_bytes()).expect("it is a record");
        assert_eq!(again.rounds, job.rounds);
    }

    #[test]
    fn a_damaged_record_says_why_and_is_shown_as_far_as_it_can_be() {
        let of_rounds = |tasks, rounds: Json| record(tasks, &rounds);
        let with = |name: &str, value: Json| {
            let mut record = record(1, &json!([]));
            record[name] = value;
            record
        };
        let many: Vec<Json> = (2..1100)
            .map(|attempt| json!({ "attempt": attempt, "tasks": [] }))
            .collect();
        for (record, reason) in [
            (
                of_rounds(0, json!([{ "attempt": 2, "tasks": [[0, 2]] }])),
                "attempt 2 has the range 0..2 of tasks, expected ranges in order within 0..0",
            ),
            (
                of_rounds(9, json!([{ "attempt": 2, "tasks": [[2, 0]] }])),
                "the range 2..0",
            ),
            (
                of_rounds(9, json!([{ "attempt": 2, "tasks": [[3, 4], [2, 5]] }])),
                "the range 2..5",
            ),
            (
                of_rounds(9, json!([{ "attempt": u32::MAX, "tasks": [[0, 1]] }])),
                "attempt 2 is recorded as attempt 4294967295",
            ),
            (
                of_rounds(9, Json::from(many)),
                "1098 retries, expected at most 1000",
            ),
            (with("id", json!("other")), "the record of another job"),
            (with("mark", json!(">")), "its mark is not a valid name"),
            (with("lane", json!("a.b")), "its lane is not a valid name"),
            (with("failed", json!(2)), "2 of its 1 tasks failed"),
            // Nobody stores that.
            (with("state", json!("damaged")), "unknown variant"),
            (with("tasks", json!(-1)), "invalid value"),
        ] {
            let damage = parse(&record).expect_err(reason);
            assert!(damage.reason.contains(reason), "{}", damage.reason);
            let job = damage.job;
            assert_eq!((&*job.id, job.state), ("nightly", DurableState::Damaged));
            assert_eq!(job.label.as_deref(), Some("a label"));
            assert_eq!(job.mark == "m", record["mark"] == "m");
        }
        for record in ["", "{}", "[]", "null", "\"\"", "{\"mark\": 3}"] {
            let damage = DurableJob::parse("nightly", record.as_bytes());
            let job = damage.expect_err(record).job;
            assert_eq!((&*job.id, &*job.mark), ("nightly", ""));
        }
        let state = "x".repeat(1 << 20);
        let damage = parse(&with("state", json!(state))).expect_err("there is no such state");
        assert!(damage.reason.len() <= REASON, "{}", damage.reason.len());
    }

    /// Numbers that are mostly in order and mostly small, and sometimes at the end of all numbers.
    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0_u64..8, 1 => any::<u64>(), 1 => (u64::MAX - 3)..=u64::MAX]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_rounds_are_counted_or_refused(
            tasks in number(),
            rounds in vec((prop_oneof![4 => 2_u32..5, 1 => any::<u32>()], vec((number(), number()), 0..4)), 0..4),
            stored in vec((number(), 0_u32..5, number(), number()), 0..8),
        ) {
            let rounds: Vec<Json> = rounds
                .iter()
                .map(|(attempt, tasks)| json!({ "attempt": attempt, "tasks": tasks }))
                .collect();
            if let Ok(job) = parse(&record(tasks, &Json::from(rounds))) {
                prop_assert!(job.attempt() < 5);
                let stored = stored.iter().map(|(index, attempt, done, failed)| {
                    let number = match attempt {
                        0 => index.to_string(),
                        attempt => format!("a{attempt}-{index}"),
                    };
                    (number, JobCounts { done: *done, failed: *failed })
                });
                let counts = job.counts(&stored.collect());
                prop_assert!(counts.failed <= counts.done && counts.done <= tasks);
                for round in &job.rounds {
                    prop_assert!(round.len() <= tasks);
                    prop_assert!(!round.has(tasks));
                }
                let _ = job.shown(counts).submitted();
            }
        }

        #[test]
        fn any_bytes_are_a_record_or_damaged(bytes in vec(any::<u8>(), 0..60)) {
            prop_assert!(DurableJob::parse("nightly", &bytes).is_err());
        }

        /// What is counted without the plan is what a look at each task finds.
        #[test]
        fn tasks_are_counted_by_their_latest_attempts(
            sizes in vec(1_u64..4, 1..5),
            // How each attempt of each task ends: stored, failed.
            ends in vec(vec((any::<bool>(), any::<bool>()), 16), 1..4),
        ) {
            let tasks: u64 = sizes.iter().sum();
            let mut stored = Stored::new();
            // What became of each task at its latest attempt; `None` has no outcome.
            let mut found: Vec<Option<bool>> = Vec::new();
            for size in &sizes {
                let first = found.len();
                let is_stored = ends[0][first].0;
                for place in 0..usize::try_from(*size).expect("they are few") {
                    found.push(is_stored.then_some(ends[0][first + place].1));
                }
                if is_stored {
                    let failed = found[first..].iter().filter(|end| **end == Some(true)).count();
                    let counts = JobCounts { done: *size, failed: failed as u64 };
                    stored.insert(first.to_string(), counts);
                }
            }
            let mut rounds = Vec::new();
            for (attempt, ends) in (2_u32..).zip(&ends[1..]) {
                let again: Vec<usize> =
                    (0..found.len()).filter(|task| found[*task] != Some(false)).collect();
                let round = Round::of(attempt, again.iter().map(|task| *task as u64));
                for task in again {
                    let (is_stored, is_failure) = ends[task];
                    found[task] = is_stored.then_some(is_failure);
                    if is_stored {
                        let counts = JobCounts { done: 1, failed: u64::from(is_failure) };
                        stored.insert(round.number(task as u64), counts);
                    }
                }
                rounds.push(round);
            }
            let record = record(tasks, &serde_json::to_value(&rounds).expect("it is plain"));
            let job = parse(&record).expect("it is a record");
            let count = |ends: &[Option<bool>]| {
                let ended = found.iter().filter(|end| ends.contains(end));
                ended.count() as u64
            };
            let expected = JobCounts {
                done: count(&[Some(true), Some(false)]),
                failed: count(&[Some(true)]),
            };
            prop_assert_eq!(job.counts(&stored), expected);
        }
    }
}
