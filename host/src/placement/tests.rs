//! Placement against random clusters: nothing lost, nothing doubled, nobody overloaded, nobody passed over.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use super::*;
use crate::ids::{DispatchId, EngineId, JobId};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
enum Event {
    Up,
    Down(usize),
    Submit {
        job: u64,
        target: Option<u32>,
        priority: Priority,
    },
    Finish(usize),
    Cancel(u64),
    Place,
}

fn any_event() -> impl Strategy<Value = Event> {
    let priority = prop_oneof![Just(Priority::Reduce), Just(Priority::Map)];
    let submit = (0_u64..4, prop::option::weighted(0.4, 0_u32..8), priority);
    prop_oneof![
        1 => Just(Event::Up),
        1 => any::<usize>().prop_map(Event::Down),
        8 => submit.prop_map(|(job, target, priority)| Event::Submit { job, target, priority }),
        6 => any::<usize>().prop_map(Event::Finish),
        1 => (0_u64..4).prop_map(Event::Cancel),
        4 => Just(Event::Place),
    ]
}

/// What there is, kept in the simplest way.
#[derive(Default)]
struct Model {
    engines: BTreeMap<EngineId, BTreeSet<DispatchId>>,
    waiting: BTreeMap<DispatchId, Order>,
    /// Whose target was gone.
    doomed: BTreeMap<DispatchId, EngineId>,
    seen: u64,
}

impl Model {
    fn nth_engine(&self, n: usize) -> Option<EngineId> {
        self.engines
            .keys()
            .nth(n % self.engines.len().max(1))
            .copied()
    }

    fn place(&mut self, sut: &mut Machine, hwm: usize) {
        while let Some(decision) = sut.next() {
            match decision {
                Decision::Reject { target, id } => {
                    assert_eq!(self.doomed.remove(&id), Some(target));
                }
                Decision::Assign { engine, id } => self.assigned(engine, id, hwm),
            }
        }
        assert!(self.doomed.is_empty(), "not rejected: {:?}", self.doomed);
        for order in self.waiting.values() {
            let mut possible = self
                .engines
                .iter()
                .filter(|(id, _)| order.target.is_none_or(|target| target == **id));
            assert!(
                possible.all(|(_, has)| has.len() == hwm),
                "{order:?} waits for no reason"
            );
        }
    }

    fn assigned(&mut self, engine: EngineId, id: DispatchId, hwm: usize) {
        let order = self.waiting.remove(&id).expect("assigned what was waiting");
        assert!(order.target.is_none_or(|target| target == engine));
        let least = self.engines.values().map(BTreeSet::len).min();
        let has = self.engines.get_mut(&engine).expect("an engine that is up");
        assert!(
            order.target.is_some() || Some(has.len()) == least,
            "not the least loaded"
        );
        assert!(has.insert(id) && has.len() <= hwm);
        // Of its job and for the same engines, nothing that waits should have gone first.
        let rank = |order: &Order| (order.priority, order.id);
        let before = |other: &&Order| {
            (other.job, other.target) == (order.job, order.target) && rank(other) < rank(&order)
        };
        assert_eq!(
            self.waiting.values().find(before),
            None,
            "passed over by {order:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn no_dispatch_is_lost_or_doubled(
        events in prop::collection::vec(any_event(), 0..300), hwm in 1_usize..4, engines in 0_u32..5,
    ) {
        let mut sut = Machine::new(Policy::LeastLoad, hwm);
        let mut model = Model::default();
        let mut next_engine = 0;
        for event in (0..engines).map(|_| Event::Up).chain(events) {
            match event {
                Event::Up => {
                    sut.engine_up(EngineId(next_engine));
                    model.engines.insert(EngineId(next_engine), BTreeSet::new());
                    next_engine += 1;
                }
                Event::Down(n) => {
                    let Some(engine) = model.nth_engine(n) else { continue };
                    let lost: BTreeSet<_> = sut.engine_down(engine).into_iter().collect();
                    prop_assert_eq!(Some(lost), model.engines.remove(&engine));
                    let doomed = model.waiting.extract_if(.., |_, order| order.target == Some(engine));
                    model.doomed.extend(doomed.map(|(id, _)| (id, engine)));
                }
                Event::Submit { job, target, priority } => {
                    let id = DispatchId(model.seen);
                    model.seen += 1;
                    let order = Order { id, job: JobId(job), target: target.map(EngineId), priority };
                    sut.submit(order);
                    match order.target {
                        Some(target) if !model.engines.contains_key(&target) => {
                            model.doomed.insert(id, target);
                        }
                        _ => {
                            model.waiting.insert(id, order);
                        }
                    }
                }
                Event::Finish(n) => {
                    let Some(engine) = model.nth_engine(n) else { continue };
                    let has = model.engines.get_mut(&engine).unwrap();
                    let Some(id) = has.iter().nth(n / 7 % has.len().max(1)).copied() else { continue };
                    has.remove(&id);
                    sut.finished(engine, id);
                }
                Event::Cancel(job) => {
                    let dropped: BTreeSet<_> = sut.cancel(JobId(job)).into_iter().collect();
                    let gone = model.waiting.extract_if(.., |_, order| order.job == JobId(job));
                    prop_assert_eq!(dropped, gone.map(|(id, _)| id).collect::<BTreeSet<_>>());
                }
                Event::Place => model.place(&mut sut, hwm),
            }
        }
        model.place(&mut sut, hwm);
    }

    #[test]
    fn jobs_that_have_something_waiting_get_the_same(
        jobs in prop::collection::vec(20_usize..60, 1..6), engines in 1_u32..5, fixed in any::<bool>(),
    ) {
        let mut sut = Machine::new(Policy::LeastLoad, Machine::HWM);
        (0..engines).for_each(|engine| sut.engine_up(EngineId(engine)));
        let mut owner = vec![];
        for (job, &orders) in jobs.iter().enumerate() {
            for n in 0..orders {
                // With fixed targets, every other job wants one certain engine.
                let target = (fixed && job % 2 == 0).then(|| EngineId(n as u32 % engines));
                let id = DispatchId(owner.len() as u64);
                owner.push(job);
                sut.submit(Order { id, job: JobId(job as u64), target, priority: Priority::Map });
            }
        }
        let mut got = vec![0_usize; jobs.len()];
        let enough = jobs.iter().min().unwrap() / 2 * jobs.len();
        for _ in 0..enough {
            let Some(Decision::Assign { engine, id }) = sut.next() else { panic!("an engine is free") };
            got[owner[id.0 as usize]] += 1;
            sut.finished(engine, id);
        }
        let spread = got.iter().max().unwrap() - got.iter().min().unwrap();
        prop_assert!(spread <= if fixed { 2 + enough / 8 } else { 1 }, "{:?}", got);
    }
}

#[test]
fn engines_take_turns() {
    let mut sut = Machine::new(Policy::LeastLoad, 2);
    (0..3).for_each(|engine| sut.engine_up(EngineId(engine)));
    for id in 0..6 {
        sut.submit(Order {
            id: DispatchId(id),
            job: JobId(0),
            target: None,
            priority: Priority::Map,
        });
    }
    let engines: Vec<_> = std::iter::from_fn(|| sut.next())
        .map(|decision| match decision {
            Decision::Assign { engine, .. } => engine.0,
            Decision::Reject { .. } => panic!("{decision:?}"),
        })
        .collect();
    assert_eq!(engines, [0, 1, 2, 0, 1, 2]);
}
