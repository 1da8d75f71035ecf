//! A cluster made of nothing but random numbers: it runs dispatches, reports in any order, and checks at each step what
//! the machine promises about dispatches, memory, retries and order.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use super::super::messages::Task;
use super::super::*;
use super::scenario::{Key, Scenario, hash};
use crate::merge::tree::tests::bracket;
use rwasm_value::ids::{ChunkIndex, EngineId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) type Sut = Machine<u64, String, String, &'static str>;
pub(super) type SutDecision = Decision<u64, String, String, &'static str>;
pub(super) type SutEnding = Ending<String, String, &'static str>;

/// A task that the simulated cluster has.
#[derive(Debug)]
struct Running {
    id: TaskId,
    key: Key,
    attempt: u32,
    parts: Vec<String>,
    flight: usize,
    cancelled: bool,
}

pub(super) struct Cluster<'a> {
    scenario: &'a Scenario,
    sut: Sut,
    random: u64,
    running: Vec<Running>,
    /// By dispatch: target, tasks that are out, tasks that it carried.
    flights: Vec<(Option<EngineId>, usize, usize)>,
    attempts: BTreeMap<Key, u32>,
    /// Attempts after which there is a pause.
    paused: Vec<TaskId>,
    /// Maps that were fed or came back to be run again.
    waiting: BTreeSet<u64>,
    /// Maps that have their outcome.
    settled: BTreeSet<u64>,
    fed: u64,
    input_over: bool,
    wanted: ReadRequest,
    given: BTreeSet<u64>,
    pub(super) emitted: Vec<Result<String, String>>,
    held_results: u64,
    proven: usize,
    /// Maps whose outcome is a failure.
    failed: BTreeSet<u64>,
}

impl<'a> Cluster<'a> {
    pub(super) fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            sut: Machine::new(scenario.rules()),
            random: scenario.seed,
            running: vec![],
            flights: vec![],
            attempts: BTreeMap::new(),
            paused: vec![],
            waiting: BTreeSet::new(),
            settled: BTreeSet::new(),
            fed: 0,
            input_over: false,
            wanted: ReadRequest::default(),
            given: BTreeSet::new(),
            emitted: vec![],
            held_results: 0,
            proven: 1,
            failed: BTreeSet::new(),
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.random = hash(self.random, &[6]);
        (self.random >> 20) as usize % below
    }

    /// Runs the job to its end, in a random order of everything.
    pub(super) fn run(&mut self) -> SutEnding {
        for step in 0..100_000 {
            if self.scenario.stop_at == Some(step) {
                self.sut.stop("stopped");
            }
            // Often several things happen before the machine is asked again.
            for _ in 0..=self.draw(3) {
                if self.draw(3) == 0 {
                    self.read();
                } else {
                    self.finish_one();
                }
            }
            while let Some(decision) = self.sut.next_decision() {
                if let Some(ending) = self.follow(decision) {
                    return ending;
                }
            }
            if !self.paused.is_empty() && (self.running.is_empty() || self.draw(4) == 0) {
                let at = self.draw(self.paused.len());
                self.sut.resume(self.paused.swap_remove(at));
                continue;
            }
            if self.running.is_empty() {
                assert!(
                    self.waiting.is_empty(),
                    "nothing runs although {:?} wait",
                    self.waiting
                );
                let wanted = self.sut.input_wanted();
                assert!(
                    self.input_over || wanted.chunks.min(wanted.bytes as usize) > 0,
                    "nothing to do or to read"
                );
                self.read();
            }
        }
        panic!(
            "the job does not end: {} of {} chunks fed",
            self.fed, self.scenario.chunks
        );
    }

    fn read(&mut self) {
        if self.input_over {
            return;
        }
        let readable = self
            .scenario
            .broken_after
            .unwrap_or(u64::MAX)
            .min(self.scenario.chunks);
        if self.fed == readable {
            self.input_over = true;
            return match self.scenario.broken_after {
                Some(after) if after == readable => self.sut.input_failed("broken"),
                _ => self.sut.input_end(),
            };
        }
        if self.wanted.chunks == 0 || self.wanted.bytes == 0 {
            self.wanted = self.sut.input_wanted();
            assert!(self.waiting.len() + self.wanted.chunks <= 64 << 10);
        }
        for _ in 0..=self.draw(10) {
            if self.wanted.chunks == 0 || self.wanted.bytes == 0 || self.fed == readable {
                break;
            }
            let index = self.fed;
            let held = self.scenario.held(index);
            let target = self.scenario.target(index);
            let facts = ChunkFacts {
                size: Some(self.scenario.size(index)),
                held,
                target,
            };
            assert_eq!(self.sut.chunk(index, facts), ChunkIndex(index));
            self.wanted.chunks -= 1;
            self.wanted.bytes = self.wanted.bytes.saturating_sub(held);
            self.fed += 1;
            self.waiting.insert(index);
            let open = (0..self.fed).filter(|index| !self.settled.contains(index));
            let held_inputs: u64 = open.map(|index| self.scenario.held(index)).sum();
            let most = self.scenario.budget + self.scenario.largest[0];
            assert!(
                held_inputs <= most,
                "{held_inputs} bytes of input held, at most {most}"
            );
        }
    }

    fn finish_one(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let at = self.draw(self.running.len());
        let Running {
            id,
            key,
            attempt,
            parts,
            flight,
            cancelled,
        } = self.running.swap_remove(at);
        let result = if cancelled && self.draw(2) == 0 {
            Err(Failed {
                failure: "cancelled".to_owned(),
                retry: Retry::Allowed,
            })
        } else {
            self.scenario.attempt(key, attempt).map(|()| match key {
                Key::Map(index) => index.to_string(),
                Key::Reduce(_) => bracket(&parts),
            })
        };
        let cost = Duration::from_nanos(self.draw(self.scenario.largest[2] as usize) as u64);
        let size = if let Key::Map(index) = key {
            self.scenario.result_size(index)
        } else {
            0
        };
        let again = matches!(&result, Err(failed) if failed.retry != Retry::Never && attempt <= self.scenario.retries);
        let ok = result.is_ok();
        let verdict = self.sut.finished(Finished {
            id,
            result: result.clone(),
            cost,
            size,
        });
        let late = self.sut.finished(Finished {
            id,
            result,
            cost,
            size,
        });
        assert_eq!(late, ReportFate::Ignored, "a report was taken twice");
        self.flights[flight].1 -= 1;
        if self.flights[flight].1 == 0 && matches!(key, Key::Map(_)) {
            self.proven = self.proven.max(self.flights[flight].2);
        }
        if verdict == ReportFate::Ignored {
            assert!(
                cancelled || self.sut.input_wanted().chunks == 0,
                "an outcome was ignored in a healthy job"
            );
        } else {
            assert_eq!(verdict == ReportFate::Retried, again);
        }
        if let Key::Map(index) = key {
            if verdict == ReportFate::Retried {
                self.waiting.insert(index);
            } else {
                self.settled.insert(index);
                if verdict == ReportFate::Final {
                    self.held_results += if ok { size } else { 0 } + 64;
                    self.failed.extend((!ok).then_some(index));
                }
                if let Some(fence) = self.fence() {
                    self.waiting.retain(|index| *index <= fence);
                }
            }
        }
    }

    /// The chunk after which nothing matters any more.
    fn fence(&self) -> Option<u64> {
        if self.scenario.delivery == Delivery::AsCompleted {
            return None;
        }
        let allowed = match self.scenario.tolerance {
            Tolerance::Count(allowed) => allowed,
            Tolerance::Percent(0.0) => 0,
            Tolerance::Percent(_) => return None,
        };
        self.failed.iter().nth(allowed as usize).copied()
    }

    fn follow(&mut self, decision: SutDecision) -> Option<SutEnding> {
        match decision {
            Decision::Dispatch(dispatch) => self.start(dispatch),
            Decision::Emit { index, result } => {
                match self.scenario.delivery {
                    Delivery::Ordered => {
                        assert_eq!(index.0, self.emitted.len() as u64, "emitted out of order");
                    }
                    Delivery::AsCompleted => assert!(self.given.insert(index.0), "emitted twice"),
                    Delivery::Reduced(_) => panic!("a reduced job emits nothing"),
                }
                assert_eq!(
                    result.is_ok(),
                    self.scenario.fate(Key::Map(index.0)).is_ok()
                );
                self.held_results -= if result.is_ok() {
                    self.scenario.result_size(index.0)
                } else {
                    0
                } + 64;
                self.emitted.push(result);
            }
            Decision::Later { id, .. } => self.paused.push(id),
            Decision::CancelTasks(ids) => {
                assert!(!ids.is_empty() && self.fence().is_some());
                for id in ids {
                    // One may have come back while the decision was waiting to be taken.
                    for task in self.running.iter_mut().filter(|task| task.id == id) {
                        assert!(!task.cancelled, "{task:?} was cancelled twice");
                        task.cancelled = true;
                    }
                }
            }
            Decision::Cancel => self
                .running
                .iter_mut()
                .for_each(|task| task.cancelled = true),
            Decision::Done(ending) => {
                assert!(
                    self.running.is_empty(),
                    "done with {} tasks under way",
                    self.running.len()
                );
                assert!(
                    self.sut.next_decision().is_none(),
                    "a decision after the last"
                );
                self.sut.stop("late");
                assert!(self.sut.next_decision().is_none(), "done twice");
                return Some(ending);
            }
        }
        None
    }

    fn start(&mut self, dispatch: HandedOver<u64, String>) {
        let HandedOver { tasks, target } = dispatch;
        let scenario = self.scenario;
        assert!(!tasks.is_empty() && tasks.len() <= 4096);
        let reduce = matches!(tasks[0].work, Work::Reduce(..));
        if reduce {
            assert_eq!(tasks.len(), 1, "a reduce is alone");
        } else {
            self.check_maps(&tasks);
        }
        let flight = self.flights.len();
        self.flights.push((target, tasks.len(), tasks.len()));
        let under_way = self
            .flights
            .iter()
            .filter(|flight| flight.1 > 0 && flight.0 == target)
            .count();
        let most = if scenario.fixed {
            scenario.depth
        } else {
            scenario.depth * scenario.engines as usize
        };
        assert!(
            under_way <= most,
            "{under_way} dispatches under way, at most {most}"
        );
        for Task { id, attempt, work } in tasks {
            let (key, parts) = match work {
                Work::Map(index, chunk) => {
                    assert_eq!(index.0, chunk);
                    assert_eq!(
                        target,
                        scenario.target(chunk),
                        "on the engine that was fixed"
                    );
                    (Key::Map(chunk), vec![])
                }
                Work::Reduce(node, parts) => {
                    // The first leaf below it has fixed the engine.
                    let leaf = parts[0]
                        .trim_start_matches('(')
                        .split([' ', ')'])
                        .next()
                        .unwrap();
                    assert_eq!(target, scenario.target(leaf.parse().unwrap()));
                    (Key::Reduce(node), parts)
                }
            };
            let attempts = self.attempts.entry(key).or_insert(0);
            *attempts += 1;
            assert_eq!(attempt, *attempts, "{key:?}");
            assert!(
                attempt <= scenario.retries + 1,
                "{key:?} is tried too often"
            );
            assert!(
                self.running
                    .iter()
                    .all(|task| task.id != id && task.key != key),
                "{key:?} runs twice"
            );
            if let Key::Map(index) = key {
                assert!(self.waiting.remove(&index), "{key:?} was not waiting");
            }
            self.running.push(Running {
                id,
                key,
                attempt,
                parts,
                flight,
                cancelled: false,
            });
        }
    }

    fn check_maps(&self, tasks: &[Task<u64, String>]) {
        let index = |task: &Task<u64, String>| match &task.work {
            Work::Map(index, _) => index.0,
            Work::Reduce(..) => panic!("maps and reduces in one dispatch"),
        };
        let indices: Vec<u64> = tasks.iter().map(index).collect();
        assert!(indices.is_sorted());
        let last = indices[indices.len() - 1];
        assert!(
            self.fence().is_none_or(|fence| last <= fence),
            "{last} is started although it is given up"
        );
        let bytes: u64 = indices.iter().map(|index| self.scenario.size(*index)).sum();
        assert!(
            indices.len() == 1 || bytes <= 1 << 20,
            "{bytes} bytes in one dispatch"
        );
        assert!(
            indices.len() <= self.proven * 8,
            "{} tasks after at most {}",
            indices.len(),
            self.proven
        );
        if self.input_over && !self.scenario.fixed {
            let share = self
                .waiting
                .len()
                .div_ceil(self.scenario.engines as usize * 2);
            assert!(
                indices.len() <= share,
                "{} tasks of {} that are left",
                indices.len(),
                self.waiting.len()
            );
        }
        if self.scenario.delivery == Delivery::Ordered
            && self.held_results > self.scenario.budget / 2
        {
            let lowest = (0..self.fed)
                .find(|index| !self.settled.contains(index))
                .unwrap();
            assert_eq!(
                indices,
                [lowest],
                "{} bytes of results wait",
                self.held_results
            );
        }
    }
}
