//! Which message holds which tasks of a durable job, and the input of each task. Pure.
//!
//! A job's tasks are numbered from 0 without gaps. A message is named after the index of its first task; a task that
//! is retried has a message of its own, named after the attempt and its index.

use super::wire::WireError;
use rwasm_sandbox::outcome::ArgumentSource;
use rwasm_value::value::{Malformed, Reader, Writer};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// The tasks of a job by the messages that hold them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Index {
    /// The first task of each message, in order.
    firsts: Vec<u64>,
    tasks: u64,
    /// Attempts after the first, in order.
    rounds: Vec<Round>,
}

/// The attempt of the first round.
const FIRST_RETRY: u32 = 2;

/// Tasks that were retried together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) attempt: u32,
    /// Their indices, as ranges in order: `[3, 5]` is 3 and 4.
    tasks: Vec<(u64, u64)>,
}

/// How often the tasks of a job can be retried: a bound for what everyone who counts them goes through.
pub(crate) const MOST_ROUNDS: usize = 1000;

impl Round {
    /// Checks the rounds of a job with so many tasks as they were read, which may be anything. All other functions of
    /// rounds count on it.
    pub(crate) fn check(rounds: &[Self], tasks: u64) -> Result<(), String> {
        if rounds.len() > MOST_ROUNDS {
            return Err(format!(
                "it has {} retries, expected at most {MOST_ROUNDS}",
                rounds.len()
            ));
        }
        for (attempt, round) in (FIRST_RETRY..).zip(rounds) {
            if round.attempt != attempt {
                return Err(format!(
                    "attempt {attempt} is recorded as attempt {}",
                    round.attempt
                ));
            }
            let mut least = 0;
            for (start, end) in &round.tasks {
                if *start < least || end <= start || *end > tasks {
                    return Err(format!(
                        "attempt {attempt} has the range {start}..{end} of tasks, expected ranges in order within \
                         0..{tasks}"
                    ));
                }
                least = *end;
            }
        }
        Ok(())
    }

    /// A round of tasks whose indices are in order.
    pub(crate) fn of(attempt: u32, indices: impl IntoIterator<Item = u64>) -> Self {
        let mut tasks: Vec<(u64, u64)> = Vec::new();
        for index in indices {
            match tasks.last_mut() {
                Some((_, end)) if *end == index => *end += 1,
                _ => tasks.push((index, index + 1)),
            }
        }
        Self { attempt, tasks }
    }

    pub(crate) fn has(&self, index: u64) -> bool {
        let after = self.tasks.partition_point(|(start, _)| *start <= index);
        after > 0 && index < self.tasks[after - 1].1
    }

    /// The number of tasks.
    pub(crate) fn len(&self) -> u64 {
        self.tasks.iter().map(|(start, end)| end - start).sum()
    }

    #[cfg(test)]
    pub(crate) fn indices(&self) -> impl Iterator<Item = u64> + '_ {
        self.tasks.iter().flat_map(|(start, end)| *start..*end)
    }

    /// The name of the message of one of its tasks.
    pub(crate) fn number(&self, index: u64) -> String {
        format!("a{}-{index}", self.attempt)
    }
}

/// Which tasks of a job were retried, and when last.
pub(crate) struct Retried<'a> {
    rounds: &'a [Round],
    /// The tasks of all rounds, as ranges in order without common tasks.
    tasks: Vec<(u64, u64)>,
}

impl<'a> Retried<'a> {
    pub(crate) fn of(rounds: &'a [Round]) -> Self {
        let mut all: Vec<(u64, u64)> = rounds
            .iter()
            .flat_map(|round| round.tasks.iter().copied())
            .collect();
        all.sort_unstable();
        let mut tasks: Vec<(u64, u64)> = Vec::new();
        for (start, end) in all {
            match tasks.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                _ => tasks.push((start, end)),
            }
        }
        Self { rounds, tasks }
    }

    /// Whether this is the latest attempt of the task, of those after the first.
    pub(crate) fn is_latest(&self, attempt: u32, task: u64) -> bool {
        let place = attempt.checked_sub(FIRST_RETRY);
        let place = place.and_then(|place| usize::try_from(place).ok());
        let rounds = place.and_then(|place| self.rounds.get(place..));
        let Some([round, later @ ..]) = rounds else {
            return false;
        };
        round.has(task) && !later.iter().any(|round| round.has(task))
    }

    /// How many tasks of a range were not retried.
    pub(crate) fn count_others(&self, range: Range<u64>) -> u64 {
        let before = self.tasks.partition_point(|(_, end)| *end <= range.start);
        let retried = self.tasks[before..]
            .iter()
            .take_while(|(start, _)| *start < range.end)
            .map(|(start, end)| (*end).min(range.end) - (*start).max(range.start));
        range.end - range.start - retried.sum::<u64>()
    }
}

/// The name of a message, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageNumber {
    /// Of a first attempt: the index of the first task.
    First(u64),
    /// Of one task that is retried: the attempt, and the index of the task.
    Again(u32, u64),
}

impl MessageNumber {
    /// One that is written in another way, such as with zeros before it, is another name.
    pub(crate) fn parse(number: &str) -> Option<Self> {
        let again = number
            .strip_prefix('a')
            .and_then(|rest| rest.split_once('-'));
        let (found, written) = match again {
            None => {
                let first: u64 = number.parse().ok()?;
                (Self::First(first), first.to_string())
            }
            Some((attempt, task)) => {
                let (attempt, task) = (attempt.parse().ok()?, task.parse().ok()?);
                (Self::Again(attempt, task), format!("a{attempt}-{task}"))
            }
        };
        (written == number).then_some(found)
    }
}

/// The message that holds a task, and so its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskMessage {
    /// The name of the message.
    pub(crate) number: String,
    /// The tasks that it holds.
    pub(crate) tasks: Range<u64>,
}

impl Index {
    pub(crate) fn add(&mut self, first: u64, count: u64) {
        debug_assert_eq!(first, self.tasks, "tasks have no gaps");
        self.firsts.push(first);
        self.tasks = first + count;
    }

    pub(crate) fn set_rounds(&mut self, rounds: Vec<Round>) {
        self.rounds = rounds;
    }

    pub(crate) fn tasks(&self) -> u64 {
        self.tasks
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = TaskMessage> + '_ {
        let ends = self.firsts.iter().skip(1).copied().chain([self.tasks]);
        self.firsts
            .iter()
            .zip(ends)
            .map(|(first, end)| TaskMessage {
                number: first.to_string(),
                tasks: *first..end,
            })
    }

    /// Whether a message of the job has this name.
    pub(crate) fn has(&self, number: &str) -> bool {
        match MessageNumber::parse(number) {
            None => false,
            Some(MessageNumber::First(first)) => self.firsts.binary_search(&first).is_ok(),
            Some(MessageNumber::Again(attempt, task)) => {
                let mut rounds = self.rounds.iter();
                rounds.any(|round| round.attempt == attempt && round.has(task))
            }
        }
    }

    /// Finds the outcome that counts: that of the task's latest attempt.
    pub(crate) fn find(&self, index: u64) -> Option<TaskMessage> {
        if index >= self.tasks {
            return None;
        }
        if let Some(round) = self.rounds.iter().rev().find(|round| round.has(index)) {
            return Some(TaskMessage {
                number: round.number(index),
                tasks: index..index + 1,
            });
        }
        let after = self.firsts.partition_point(|first| *first <= index);
        let first = *self.firsts.get(after.checked_sub(1)?)?;
        let end = self.firsts.get(after).copied().unwrap_or(self.tasks);
        Some(TaskMessage {
            number: first.to_string(),
            tasks: first..end,
        })
    }
}

/// Writes the inputs of the tasks of each message.
#[derive(Default)]
pub(crate) struct SourcesWriter {
    out: Writer,
    last_input: Option<Arc<str>>,
}

const ARGUMENTS: u8 = 0;
const CHUNK: u8 = 1;
const CHUNK_OF_ANOTHER: u8 = 2;
const LINE: u8 = 3;
const LINE_OF_ANOTHER: u8 = 4;

impl SourcesWriter {
    pub(crate) fn message(&mut self, sources: &[ArgumentSource]) {
        self.out.put_len(sources.len());
        for source in sources {
            self.source(source);
        }
    }

    fn source(&mut self, source: &ArgumentSource) {
        let input = match source {
            ArgumentSource::Chunk { input, .. } | ArgumentSource::Line { input, .. } => input,
            ArgumentSource::Arguments | ArgumentSource::Results => {
                return self.out.put_u8(ARGUMENTS);
            }
        };
        let is_same = self.last_input.as_ref() == Some(input);
        let is_chunk = matches!(source, ArgumentSource::Chunk { .. });
        self.out.put_u8(match (is_chunk, is_same) {
            (true, true) => CHUNK,
            (true, false) => CHUNK_OF_ANOTHER,
            (false, true) => LINE,
            (false, false) => LINE_OF_ANOTHER,
        });
        if !is_same {
            self.out.put_bytes(input.as_bytes());
            self.last_input = Some(Arc::clone(input));
        }
        match source {
            ArgumentSource::Chunk { range, .. } => {
                self.out.put_u64_leb(range.start);
                self.out.put_u64_leb(range.end);
            }
            ArgumentSource::Line { line, .. } => self.out.put_u64_leb(*line),
            ArgumentSource::Arguments | ArgumentSource::Results => {}
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out.into_vec()
    }
}

/// Reads the written messages and inputs.
pub(crate) fn read_sources(bytes: &[u8]) -> Result<(Index, Vec<ArgumentSource>), WireError> {
    let mut from = Reader::new(bytes);
    let mut index = Index::default();
    let mut sources = Vec::new();
    let mut last_input: Arc<str> = Arc::from("");
    while from.remaining() > 0 {
        let count = from.count(1)?;
        index.add(sources.len() as u64, count as u64);
        for _ in 0..count {
            let tag = from.u8()?;
            if matches!(tag, CHUNK_OF_ANOTHER | LINE_OF_ANOTHER) {
                last_input = Arc::from(from.str()?);
            }
            let input = Arc::clone(&last_input);
            sources.push(match tag {
                ARGUMENTS => ArgumentSource::Arguments,
                CHUNK | CHUNK_OF_ANOTHER => {
                    let range = from.u64_leb()?..from.u64_leb()?;
                    // Whoever has a range takes its start from its end.
                    if range.start > range.end {
                        return Err(Malformed::BadLeb.into());
                    }
                    ArgumentSource::Chunk { input, range }
                }
                LINE | LINE_OF_ANOTHER => ArgumentSource::Line {
                    input,
                    line: from.u64_leb()?,
                },
                _ => return Err(Malformed::BadCase.into()),
            });
        }
    }
    Ok((index, sources))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(input: &str, range: Range<u64>) -> ArgumentSource {
        ArgumentSource::Chunk {
            input: input.into(),
            range,
        }
    }

    #[test]
    fn sources_come_back_with_the_messages_they_were_in() {
        let messages = [
            vec![chunk("a", 0..5)],
            vec![chunk("a", 5..9), chunk("b", 0..u64::MAX)],
            vec![
                ArgumentSource::Arguments,
                ArgumentSource::Line {
                    input: "b".into(),
                    line: 3,
                },
                ArgumentSource::Line {
                    input: "c".into(),
                    line: 4,
                },
            ],
        ];
        let mut writer = SourcesWriter::default();
        for sources in &messages {
            writer.message(sources);
        }
        let bytes = writer.finish();
        let (index, sources) = read_sources(&bytes).expect("they are sources");
        assert_eq!(sources, messages.concat());
        assert_eq!(index.tasks(), 6);
        let tasks = |index: &Index| -> Vec<Range<u64>> {
            index.messages().map(|found| found.tasks).collect()
        };
        assert_eq!(tasks(&index), [0..1, 1..3, 3..6]);
        assert!(read_sources(&bytes[..bytes.len() - 1]).is_err());
        let mut writer = SourcesWriter::default();
        writer.message(&[ArgumentSource::Chunk {
            input: "a".into(),
            range: Range { start: 5, end: 4 },
        }]);
        assert!(read_sources(&writer.finish()).is_err());
    }

    #[test]
    fn the_last_attempt_of_a_task_counts() {
        let mut index = Index::default();
        index.add(0, 3);
        index.add(3, 2);
        index.set_rounds(vec![Round::of(2, [1, 2, 4]), Round::of(3, [2])]);
        let numbers: Vec<String> = (0..5)
            .map(|task| index.find(task).expect("it is there").number)
            .collect();
        assert_eq!(numbers, ["0", "a2-1", "a3-2", "3", "a2-4"]);
        assert_eq!(index.find(5), None);
        for number in ["0", "3", "a2-1", "a2-2", "a3-2", "a2-4"] {
            assert!(index.has(number), "{number}");
        }
        for number in [
            "1", "5", "a2-3", "a4-1", "00", "+3", "a02-1", "a2-", "", "x",
        ] {
            assert!(!index.has(number), "{number}");
        }
        let round = Round::of(2, [1, 2, 3, 7]);
        assert_eq!(round.indices().collect::<Vec<_>>(), [1, 2, 3, 7]);
        assert!(round.has(3) && !round.has(4) && round.has(7) && !round.has(0));
    }

    #[test]
    fn retried_tasks_are_counted_by_their_latest_attempts() {
        let rounds = [Round::of(2, [1, 2, 3, 7]), Round::of(3, [2, 3, 4])];
        assert_eq!(Round::check(&rounds, 8), Ok(()));
        let retried = Retried::of(&rounds);
        for (range, others) in [(0..0, 0), (0..8, 3), (1..5, 0), (4..8, 2), (5..7, 2)] {
            assert_eq!(retried.count_others(range.clone()), others, "{range:?}");
        }
        for (attempt, task, is_latest) in [
            (2, 1, true),
            (2, 2, false),
            (3, 2, true),
            (3, 7, false),
            (4, 2, false),
            (0, 1, false),
            (u32::MAX, 1, false),
        ] {
            assert_eq!(
                retried.is_latest(attempt, task),
                is_latest,
                "{attempt} {task}"
            );
        }
    }
}
