//! The machine against a simulated cluster: random engines, costs, failures and orders, and a model of what must come.

use super::*;
use crate::ids::{ChunkIndex, EngineId};
use crate::merge::tree::tests::{any_shape, bracket, model};
use crate::merge::tree::{Node, Shape};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

type Sut = Machine<u64, String, String, &'static str>;

/// Everything that a run follows from.
#[derive(Clone, Debug)]
struct Scenario {
    chunks: u64,
    engines: u32,
    depth: usize,
    delivery: Delivery,
    fixed: bool,
    retries: u32,
    tolerance: Tolerance,
    budget: u64,
    /// Failures per thousand attempts at maps, and at reduces.
    failures: [u64; 2],
    /// The bytes of a chunk, of its result, and the nanoseconds of its run: at most.
    largest: [u64; 3],
    /// When something cuts the job short: at this step.
    stop_at: Option<u64>,
    /// After so many chunks the input breaks off.
    broken_after: Option<u64>,
    seed: u64,
}

fn any_scenario() -> impl Strategy<Value = Scenario> {
    let delivery = prop_oneof![Just(Delivery::Ordered), any_shape().prop_map(Delivery::Reduced)];
    let tolerance = prop_oneof![
        4 => Just(Tolerance::Count(0)),
        2 => (0_u64..20).prop_map(Tolerance::Count),
        1 => (0_u32..40).prop_map(|percent| Tolerance::Percent(f64::from(percent))),
    ];
    let failures = prop_oneof![Just(0), 0_u64..10, 0_u64..300];
    let sizes = [1_u64..200_000, 1..100_000, 1..3_000_000];
    (
        (0_u64..400, 1_u32..6, 1_usize..4, delivery, any::<bool>()),
        (0_u32..4, tolerance, 1_u64..4_000_000),
        (failures.clone(), failures, sizes),
        (prop::option::weighted(0.1, 0_u64..500), prop::option::weighted(0.1, 0_u64..400), any::<u64>()),
    )
        .prop_map(
            |(
                (chunks, engines, depth, delivery, fixed),
                (retries, tolerance, budget),
                (maps, reduces, largest),
                (stop_at, broken_after, seed),
            )| Scenario {
                chunks,
                engines,
                depth,
                delivery,
                fixed,
                retries,
                tolerance,
                budget,
                failures: [maps, reduces],
                largest,
                stop_at,
                broken_after,
                seed,
            },
        )
}

/// A number that looks random and depends on nothing but its arguments.
fn hash(seed: u64, parts: &[u64]) -> u64 {
    parts.iter().fold(seed ^ 0x9E37_79B9_7F4A_7C15, |hash, part| {
        let mixed = (hash ^ part).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB) ^ (mixed >> 32)
    })
}

impl Scenario {
    fn rules(&self) -> Rules {
        let targets = (0..self.engines).map(EngineId).collect();
        Rules {
            delivery: self.delivery,
            retries: self.retries,
            tolerance: self.tolerance,
            assignment: if self.fixed { Assignment::Fixed(targets) } else { Assignment::Any },
            engines: self.engines as usize,
            depth: self.depth,
            held_budget: self.budget,
        }
    }

    fn target(&self, index: u64) -> Option<EngineId> {
        self.fixed.then(|| EngineId((hash(self.seed, &[1, index / 7]) % u64::from(self.engines)) as u32))
    }

    fn size(&self, index: u64) -> u64 {
        hash(self.seed, &[2, index]) % self.largest[0]
    }

    fn held(&self, index: u64) -> u64 {
        if self.seed.is_multiple_of(2) { self.size(index) } else { 0 }
    }

    fn result_size(&self, index: u64) -> u64 {
        hash(self.seed, &[3, index]) % self.largest[1]
    }

    /// What an attempt at a task comes to.
    fn attempt(&self, task: Key, attempt: u32) -> Result<(), Failed<String>> {
        let (parts, per_mille) = match task {
            Key::Map(index) => ([4, index, 0], self.failures[0]),
            Key::Reduce(node) => ([5, u64::from(node.rank), node.index], self.failures[1]),
        };
        let draw = hash(hash(self.seed, &parts), &[u64::from(attempt)]);
        if draw % 1000 >= per_mille {
            return Ok(());
        }
        let retry = if draw.is_multiple_of(7) { Retry::Never } else { Retry::Allowed };
        Err(Failed { failure: format!("{task:?} at attempt {attempt}"), retry })
    }

    /// What a task comes to in the end.
    fn fate(&self, task: Key) -> Result<(), String> {
        for attempt in 1.. {
            match self.attempt(task, attempt) {
                Ok(()) => return Ok(()),
                Err(failed) if failed.retry == Retry::Never || attempt > self.retries => return Err(failed.failure),
                Err(_) => {}
            }
        }
        unreachable!()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Map(u64),
    Reduce(Node),
}

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

struct Cluster<'a> {
    scenario: &'a Scenario,
    sut: Sut,
    random: u64,
    running: Vec<Running>,
    /// By dispatch: target, tasks that are out, tasks that it carried.
    flights: Vec<(Option<EngineId>, usize, usize)>,
    attempts: BTreeMap<Key, u32>,
    /// Maps that were fed or came back to be run again.
    waiting: BTreeSet<u64>,
    /// Maps that have their outcome.
    settled: BTreeSet<u64>,
    fed: u64,
    input_over: bool,
    wanted: Wanted,
    emitted: Vec<Result<String, String>>,
    held_results: u64,
    proven: usize,
    /// Maps whose outcome is a failure.
    failed: BTreeSet<u64>,
}

impl<'a> Cluster<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            sut: Machine::new(scenario.rules()),
            random: scenario.seed,
            running: vec![],
            flights: vec![],
            attempts: BTreeMap::new(),
            waiting: BTreeSet::new(),
            settled: BTreeSet::new(),
            fed: 0,
            input_over: false,
            wanted: Wanted::default(),
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
    fn run(&mut self) -> Ending<String, String, &'static str> {
        for step in 0..100_000 {
            if self.scenario.stop_at == Some(step) {
                self.sut.stop("stopped");
            }
            // Often several things happen before the machine is asked again.
            for _ in 0..=self.draw(3) {
                if self.draw(3) == 0 { self.read() } else { self.finish_one() }
            }
            while let Some(decision) = self.sut.next_decision() {
                if let Some(ending) = self.follow(decision) {
                    return ending;
                }
            }
            if self.running.is_empty() {
                assert!(self.waiting.is_empty(), "nothing runs although {:?} wait", self.waiting);
                let wanted = self.sut.input_wanted();
                assert!(self.input_over || wanted.chunks.min(wanted.bytes as usize) > 0, "nothing to do or to read");
                self.read();
            }
        }
        panic!("the job does not end: {} of {} chunks fed", self.fed, self.scenario.chunks);
    }

    fn read(&mut self) {
        if self.input_over {
            return;
        }
        let readable = self.scenario.broken_after.unwrap_or(u64::MAX).min(self.scenario.chunks);
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
            let facts = ChunkFacts { size: Some(self.scenario.size(index)), held, target };
            assert_eq!(self.sut.chunk(index, facts), ChunkIndex(index));
            self.wanted.chunks -= 1;
            self.wanted.bytes = self.wanted.bytes.saturating_sub(held);
            self.fed += 1;
            self.waiting.insert(index);
            let open = (0..self.fed).filter(|index| !self.settled.contains(index));
            let held_inputs: u64 = open.map(|index| self.scenario.held(index)).sum();
            let most = self.scenario.budget + self.scenario.largest[0];
            assert!(held_inputs <= most, "{held_inputs} bytes of input held, at most {most}");
        }
    }

    fn finish_one(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let at = self.draw(self.running.len());
        let Running { id, key, attempt, parts, flight, cancelled } = self.running.swap_remove(at);
        let result = if cancelled && self.draw(2) == 0 {
            Err(Failed { failure: "cancelled".to_owned(), retry: Retry::Allowed })
        } else {
            self.scenario.attempt(key, attempt).map(|()| match key {
                Key::Map(index) => index.to_string(),
                Key::Reduce(_) => bracket(&parts),
            })
        };
        let cost = Duration::from_nanos(self.draw(self.scenario.largest[2] as usize) as u64);
        let size = if let Key::Map(index) = key { self.scenario.result_size(index) } else { 0 };
        let again = matches!(&result, Err(failed) if failed.retry != Retry::Never && attempt <= self.scenario.retries);
        let ok = result.is_ok();
        let verdict = self.sut.finished(Finished { id, result: result.clone(), cost, size });
        let late = self.sut.finished(Finished { id, result, cost, size });
        assert_eq!(late, Verdict::Ignored, "a report was taken twice");
        self.flights[flight].1 -= 1;
        if self.flights[flight].1 == 0 && matches!(key, Key::Map(_)) {
            self.proven = self.proven.max(self.flights[flight].2);
        }
        if verdict != Verdict::Ignored {
            assert_eq!(verdict == Verdict::Retried, again);
        } else {
            assert!(cancelled || self.sut.input_wanted().chunks == 0, "an outcome was ignored in a healthy job");
        }
        if let Key::Map(index) = key {
            if verdict == Verdict::Retried {
                self.waiting.insert(index);
            } else {
                self.settled.insert(index);
                if verdict == Verdict::Final {
                    self.held_results += if ok { size } else { 0 } + 64;
                    self.failed.extend((!ok).then_some(index));
                }
                if let Some(fence) = self.fence() {
                    self.waiting.retain(|index| *index <= fence);
                }
            }
        }
    }

    /// The chunk of an ordered job after which nothing matters any more.
    fn fence(&self) -> Option<u64> {
        let allowed = match self.scenario.tolerance {
            Tolerance::Count(allowed) => allowed,
            Tolerance::Percent(0.0) => 0,
            Tolerance::Percent(_) => return None,
        };
        let ordered = self.scenario.delivery == Delivery::Ordered;
        ordered.then(|| self.failed.iter().nth(allowed as usize).copied()).flatten()
    }

    fn follow(&mut self, decision: Decision<u64, String, String, &'static str>) -> Option<Ending<String, String, &'static str>> {
        match decision {
            Decision::Dispatch(dispatch) => self.start(dispatch),
            Decision::Emit { index, result } => {
                assert_eq!(self.scenario.delivery, Delivery::Ordered);
                assert_eq!(index.0, self.emitted.len() as u64, "emitted out of order");
                self.held_results -= if result.is_ok() { self.scenario.result_size(index.0) } else { 0 } + 64;
                self.emitted.push(result);
            }
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
            Decision::Cancel => self.running.iter_mut().for_each(|task| task.cancelled = true),
            Decision::Done(ending) => {
                assert!(self.running.is_empty(), "done with {} tasks under way", self.running.len());
                assert!(self.sut.next_decision().is_none(), "a decision after the last");
                self.sut.stop("late");
                assert!(self.sut.next_decision().is_none(), "done twice");
                return Some(ending);
            }
        }
        None
    }

    fn start(&mut self, dispatch: Dispatch<u64, String>) {
        let Dispatch { tasks, target } = dispatch;
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
        let under_way = self.flights.iter().filter(|flight| flight.1 > 0 && flight.0 == target).count();
        let most = if scenario.fixed { scenario.depth } else { scenario.depth * scenario.engines as usize };
        assert!(under_way <= most, "{under_way} dispatches under way, at most {most}");
        for Task { id, attempt, work } in tasks {
            let (key, parts) = match work {
                Work::Map(index, chunk) => {
                    assert_eq!(index.0, chunk);
                    assert_eq!(target, scenario.target(chunk), "on the engine that was fixed");
                    (Key::Map(chunk), vec![])
                }
                Work::Reduce(node, parts) => {
                    // The first leaf below it has fixed the engine.
                    let leaf = parts[0].trim_start_matches('(').split([' ', ')']).next().unwrap();
                    assert_eq!(target, scenario.target(leaf.parse().unwrap()));
                    (Key::Reduce(node), parts)
                }
            };
            let attempts = self.attempts.entry(key).or_insert(0);
            *attempts += 1;
            assert_eq!(attempt, *attempts, "{key:?}");
            assert!(attempt <= scenario.retries + 1, "{key:?} is tried too often");
            assert!(self.running.iter().all(|task| task.id != id && task.key != key), "{key:?} runs twice");
            if let Key::Map(index) = key {
                assert!(self.waiting.remove(&index), "{key:?} was not waiting");
            }
            self.running.push(Running { id, key, attempt, parts, flight, cancelled: false });
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
        assert!(self.fence().is_none_or(|fence| last <= fence), "{last} is started although it is given up");
        let bytes: u64 = indices.iter().map(|index| self.scenario.size(*index)).sum();
        assert!(indices.len() == 1 || bytes <= 1 << 20, "{bytes} bytes in one dispatch");
        assert!(indices.len() <= self.proven * 8, "{} tasks after at most {}", indices.len(), self.proven);
        if self.input_over && !self.scenario.fixed {
            let share = self.waiting.len().div_ceil(self.scenario.engines as usize * 2);
            assert!(indices.len() <= share, "{} tasks of {} that are left", indices.len(), self.waiting.len());
        }
        if self.scenario.delivery == Delivery::Ordered && self.held_results > self.scenario.budget / 2 {
            let lowest = (0..).find(|index| !self.settled.contains(index)).unwrap();
            assert_eq!(indices, [lowest], "{} bytes of results wait", self.held_results);
        }
    }
}

/// How the job must end and what it must emit, if nothing cuts it short.
fn expected(scenario: &Scenario) -> (Vec<Result<String, String>>, Result<Option<String>, u64>) {
    let outcome = |index: u64| scenario.fate(Key::Map(index)).map(|()| index.to_string());
    let outcomes: Vec<_> = (0..scenario.chunks).map(outcome).collect();
    let allowed = scenario.tolerance.allowed(scenario.chunks) as usize;
    let failed: Vec<_> = (0..outcomes.len()).filter(|index| outcomes[*index].is_err()).collect();
    let fails_early = scenario.tolerance == Tolerance::Percent(0.0) || matches!(scenario.tolerance, Tolerance::Count(_));
    // At the end, only the first hundred failures are still known.
    let fatal = failed.get(allowed).map(|fatal| if fails_early { *fatal } else { failed[allowed.min(99)] });
    let emitted = if fails_early { fatal.unwrap_or(outcomes.len()) } else { outcomes.len() };
    let leaves: Vec<_> = outcomes.iter().cloned().map(Result::ok).collect();
    let merged = match scenario.delivery {
        Delivery::Ordered => None,
        Delivery::Reduced(shape) => model(shape, &leaves),
    };
    (outcomes[..emitted].to_vec(), fatal.map_or(Ok(merged), |index| Err(index as u64)))
}

fn check(scenario: &Scenario) {
    let mut cluster = Cluster::new(scenario);
    let ending = cluster.run();
    let (emitted, result) = expected(scenario);
    let ordered = scenario.delivery == Delivery::Ordered;
    let short = scenario.stop_at.is_some() || scenario.broken_after.is_some();
    if ordered {
        assert!(emitted.starts_with(&cluster.emitted), "emitted {:?}, expected {emitted:?}", cluster.emitted);
        let broken = scenario.broken_after.filter(|after| *after <= scenario.chunks && scenario.stop_at.is_none());
        let until = broken.map_or(usize::MAX, |after| after as usize);
        if !short || (broken.is_some() && !matches!(result, Err(index) if index as usize >= until)) {
            assert_eq!(cluster.emitted.len(), emitted.len().min(until));
        }
    }
    match (ending, result) {
        (Ending::Complete { merged, chunks, failed, failures }, Ok(expected)) => {
            assert_eq!((merged, chunks), (expected, scenario.chunks));
            let all = (0..chunks).filter_map(|index| Some((ChunkIndex(index), scenario.fate(Key::Map(index)).err()?)));
            assert_eq!(failures, all.clone().count() as u64);
            assert!(all.take(100).eq(failed));
        }
        (Ending::TaskFailed { index, failure, failures }, Err(fatal)) => {
            assert_eq!(scenario.fate(Key::Map(index.0)), Err(failure));
            assert!(failures > 0);
            // In a reduced job the failure comes at once, among those that are known by then.
            assert!(if ordered { index.0 == fatal } else { index.0 >= fatal.min(99) });
        }
        (Ending::MergeFailed { failure }, _) => {
            assert!(!ordered && scenario.failures[1] > 0 && failure.starts_with("Reduce"), "{failure}");
        }
        (Ending::Stopped("stopped"), _) => assert!(scenario.stop_at.is_some()),
        (Ending::Stopped("broken"), _) => assert!(scenario.broken_after.is_some()),
        (ending, expected) => panic!("ended with {ending:?}, expected {expected:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn every_job_ends_as_the_model_says(scenario in any_scenario()) {
        check(&scenario);
    }

    #[test]
    fn a_failed_reduce_fails_the_merge_and_nothing_else_does(
        chunks in 1_u64..100, shape in any_shape(), per_mille in 0_u64..200, retries in 0_u32..3, seed in any::<u64>(),
    ) {
        let scenario = Scenario { failures: [0, per_mille], retries, seed, ..plain(chunks, Delivery::Reduced(shape)) };
        let ending = Cluster::new(&scenario).run();
        prop_assert_eq!(matches!(ending, Ending::MergeFailed { .. }), !reduces_go_well(&scenario, shape));
    }
}

fn reduces_go_well(scenario: &Scenario, shape: Shape) -> bool {
    let mut tree = crate::merge::tree::Tree::new(shape);
    (0..scenario.chunks).for_each(|leaf| tree.leaf(ChunkIndex(leaf), Some(())));
    tree.close(scenario.chunks);
    let mut well = true;
    while let Some(call) = tree.next_ready() {
        well &= scenario.fate(Key::Reduce(call.node)).is_ok();
        tree.combined(call.node, ());
    }
    well
}

/// A job in which nothing goes wrong.
fn plain(chunks: u64, delivery: Delivery) -> Scenario {
    Scenario {
        chunks,
        engines: 2,
        depth: 2,
        delivery,
        fixed: false,
        retries: 0,
        tolerance: Tolerance::Count(0),
        budget: 1 << 30,
        failures: [0, 0],
        largest: [10, 10, 100],
        stop_at: None,
        broken_after: None,
        seed: 1,
    }
}

fn feed(sut: &mut Sut, chunks: u64, target: impl Fn(u64) -> Option<EngineId>) {
    for index in 0..chunks {
        sut.chunk(index, ChunkFacts { size: Some(10), held: 0, target: target(index) });
    }
}

/// The dispatches that are decided now, and everything else, which there must not be.
fn dispatches(sut: &mut Sut) -> Vec<Dispatch<u64, String>> {
    std::iter::from_fn(|| sut.next_decision())
        .map(|decision| match decision {
            Decision::Dispatch(dispatch) => dispatch,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn answer(sut: &mut Sut, task: &Task<u64, String>, result: Result<&str, Retry>) -> Verdict {
    let result = result
        .map(str::to_owned)
        .map_err(|retry| Failed { failure: "no".to_owned(), retry });
    sut.finished(Finished { id: task.id, result, cost: Duration::from_micros(1), size: 1 })
}

#[test]
fn what_is_left_at_the_end_is_spread_over_the_engines() {
    let mut sut = Machine::new(plain(0, Delivery::Ordered).rules());
    feed(&mut sut, 40, |_| None);
    sut.input_end();
    let first = dispatches(&mut sut);
    assert_eq!(first.iter().map(|dispatch| dispatch.tasks.len()).collect::<Vec<_>>(), [1; 4]);
    answer(&mut sut, &first[0].tasks[0], Ok(""));
    answer(&mut sut, &first[1].tasks[0], Ok(""));
    let mut emits = 0;
    let mut sizes = vec![];
    while let Some(decision) = sut.next_decision() {
        match decision {
            Decision::Emit { .. } => emits += 1,
            Decision::Dispatch(dispatch) => sizes.push(dispatch.tasks.len()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((emits, sizes), (2, vec![8, 7]));
}

#[test]
fn reduces_come_before_maps_and_go_where_their_first_part_is() {
    let shape = Shape::List { first: 2, above: 2 };
    let mut rules = plain(0, Delivery::Reduced(shape)).rules();
    rules.assignment = Assignment::Fixed(vec![EngineId(3), EngineId(5)]);
    rules.depth = 1;
    let mut sut = Machine::new(rules);
    feed(&mut sut, 6, |index| Some(EngineId(if index < 3 { 3 } else { 5 })));
    let first = dispatches(&mut sut);
    assert_eq!(first.iter().map(|dispatch| dispatch.target.unwrap().0).collect::<Vec<_>>(), [3, 5]);
    answer(&mut sut, &first[0].tasks[0], Ok("0"));
    let second = dispatches(&mut sut);
    assert_eq!(second[0].tasks.len(), 2);
    answer(&mut sut, &second[0].tasks[0], Ok("1"));
    answer(&mut sut, &second[0].tasks[1], Ok("2"));
    let third = dispatches(&mut sut);
    assert_eq!(third.len(), 1);
    assert_eq!(third[0].target, Some(EngineId(3)));
    let parts = vec!["0".to_owned(), "1".to_owned()];
    assert_eq!(third[0].tasks[0].work, Work::Reduce(Node { rank: 1, index: 0 }, parts));
}

#[test]
fn tasks_of_a_lost_engine_move_to_the_next_target_if_they_may_run_again() {
    let mut rules = plain(0, Delivery::Ordered).rules();
    rules.assignment = Assignment::Fixed([3, 5, 7].map(EngineId).to_vec());
    rules.retries = 2;
    let mut sut = Machine::new(rules);
    feed(&mut sut, 1, |_| Some(EngineId(5)));
    let mut ids = vec![];
    for (attempt, engine) in [(1, 5), (2, 7), (3, 3)] {
        let dispatch = dispatches(&mut sut).remove(0);
        assert_eq!((dispatch.target, dispatch.tasks[0].attempt), (Some(EngineId(engine)), attempt));
        let verdict = if attempt < 3 { Verdict::Retried } else { Verdict::Final };
        assert_eq!(answer(&mut sut, &dispatch.tasks[0], Err(Retry::Elsewhere)), verdict);
        assert_eq!(answer(&mut sut, &dispatch.tasks[0], Ok("late")), Verdict::Ignored);
        ids.push(dispatch.tasks[0].id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert!(matches!(sut.next_decision(), Some(Decision::Done(Ending::TaskFailed { index: ChunkIndex(0), .. }))));
}

#[test]
fn a_job_without_chunks_is_complete() {
    for delivery in [Delivery::Ordered, Delivery::Reduced(Shape::LIST)] {
        let mut sut: Sut = Machine::new(plain(0, delivery).rules());
        assert!(sut.next_decision().is_none());
        sut.input_end();
        let Some(Decision::Done(ending)) = sut.next_decision() else { panic!("not done") };
        assert_eq!(ending, Ending::Complete { merged: None, chunks: 0, failed: vec![], failures: 0 });
    }
}

/// Starts tasks, ends the job, and gives back what is left under way: the decision on it, and the last decision.
fn ended(delivery: Delivery, end: impl Fn(&mut Sut, &Task<u64, String>)) -> [Option<Decision<u64, String, String, &'static str>>; 2] {
    let mut sut = Machine::new(plain(0, delivery).rules());
    feed(&mut sut, 9, |_| None);
    let under_way = dispatches(&mut sut);
    assert_eq!(under_way.len(), 4);
    end(&mut sut, &under_way[0].tasks[0]);
    let first = sut.next_decision();
    for dispatch in &under_way[1..] {
        assert!(sut.next_decision().is_none(), "something is decided while tasks are under way");
        assert_eq!(answer(&mut sut, &dispatch.tasks[0], Err(Retry::Allowed)), Verdict::Ignored);
    }
    [first, sut.next_decision()]
}

#[test]
fn what_is_under_way_is_stopped_before_the_job_is_over() {
    let failed = ended(Delivery::Reduced(Shape::LIST), |sut, task| {
        assert_eq!(answer(sut, task, Err(Retry::Never)), Verdict::Final);
    });
    assert!(matches!(failed, [Some(Decision::Cancel), Some(Decision::Done(Ending::TaskFailed { .. }))]), "{failed:?}");
    let stopped = ended(Delivery::Ordered, |sut, task| {
        sut.stop("enough");
        assert_eq!(answer(sut, task, Ok("0")), Verdict::Ignored);
    });
    assert!(matches!(stopped, [Some(Decision::Cancel), Some(Decision::Done(Ending::Stopped("enough")))]), "{stopped:?}");
}

#[test]
fn memory_that_is_spent_stops_reading_and_not_the_job() {
    let scenario = Scenario { budget: 0, largest: [1000, 1000, 1000], seed: 2, ..plain(50, Delivery::Ordered) };
    check(&scenario);
}

#[test]
fn with_fixed_engines_reading_goes_on_until_each_has_its_share() {
    let mut rules = plain(0, Delivery::Ordered).rules();
    rules.assignment = Assignment::Fixed(vec![EngineId(0), EngineId(1)]);
    let mut sut: Sut = Machine::new(rules);
    feed(&mut sut, 5000, |_| Some(EngineId(0)));
    assert!(sut.input_wanted().chunks >= 1000);
    for index in 5000..5010 {
        sut.chunk(index, ChunkFacts { size: None, held: 0, target: Some(EngineId(1)) });
    }
    assert_eq!(sut.input_wanted().chunks, 0);
}
