//! Random schedules of all events, against the model.

use super::super::{Eligible, Machine, Order, Policy, Share, Stage, TenantId};
use super::model::{Model, Standing};
use proptest::prelude::*;
use rwasm_value::ids::{DispatchId, EngineId, JobId};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Event {
    Up,
    /// The replacement of an engine that was lost.
    Again(usize),
    Lost(usize),
    Leaving(usize),
    Gone(usize),
    Submit(RandomOrder),
    Finish(usize, u64),
    Share(u64, u32, usize),
    CancelGroup(u64),
    Cancel(usize),
    /// One decision.
    Step,
    /// All decisions.
    Place,
}

#[derive(Clone, Debug)]
struct RandomOrder {
    tenant: u64,
    group: u64,
    eligible: Choice,
    priority: i32,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Choice {
    Any,
    One(u32),
    /// A list that several orders share.
    Shared(usize),
    /// A list of its own, perhaps empty, perhaps with an engine twice.
    Own(Vec<u32>),
}

fn any_event() -> impl Strategy<Value = Event> {
    let choice = prop_oneof![
        4 => Just(Choice::Any),
        3 => (0_u32..8).prop_map(Choice::One),
        3 => any::<usize>().prop_map(Choice::Shared),
        1 => prop::collection::vec(0_u32..8, 0..5).prop_map(Choice::Own),
    ];
    let stage = prop_oneof![Just(Stage::Reduce), Just(Stage::Map)];
    let priority =
        prop_oneof![4 => Just(0), 1 => -1_i32..=1, 1 => Just(i32::MIN), 1 => Just(i32::MAX)];
    let wanted = (0_u64..3, 0_u64..4, choice, priority, stage).prop_map(
        |(tenant, group, eligible, priority, stage)| RandomOrder {
            tenant,
            group,
            eligible,
            priority,
            stage,
        },
    );
    prop_oneof![
        1 => Just(Event::Up),
        2 => any::<usize>().prop_map(Event::Again),
        1 => any::<usize>().prop_map(Event::Lost),
        1 => any::<usize>().prop_map(Event::Leaving),
        1 => any::<usize>().prop_map(Event::Gone),
        16 => wanted.prop_map(Event::Submit),
        10 => (any::<usize>(), 0_u64..5_000_000).prop_map(|(n, spent)| Event::Finish(n, spent)),
        1 => (0_u64..3, 1_u32..5, prop_oneof![1_usize..4, Just(usize::MAX)])
            .prop_map(|(tenant, weight, running)| Event::Share(tenant, weight, running)),
        1 => (0_u64..4).prop_map(Event::CancelGroup),
        3 => any::<usize>().prop_map(Event::Cancel),
        6 => Just(Event::Step),
        4 => Just(Event::Place),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::LeastLoad),
        Just(Policy::LeastRecentlyUsed),
        Just(Policy::Random),
        Just(Policy::TwoBin),
        Just(Policy::Weighted),
    ]
}

/// The machine beside its model.
struct Both {
    sut: Machine,
    model: Model,
    lists: Vec<Arc<[EngineId]>>,
    next_engine: u32,
    seen: u64,
}

impl Both {
    fn nth_engine(&self, n: usize) -> Option<EngineId> {
        let count = self.model.engines.len().max(1);
        self.model.engines.keys().nth(n % count).copied()
    }

    fn apply(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Up => {
                let id = EngineId(self.next_engine);
                self.next_engine += 1;
                self.sut.engine_up(id);
                self.model.engine_up(id);
            }
            Event::Again(n) => {
                let mut engines = self.model.engines.iter();
                let lost = engines.find(|(_, engine)| engine.standing == Standing::Lost);
                let lost = lost.map(|(id, _)| *id);
                // An engine that leaves stays so.
                let Some(id) = lost.or_else(|| self.nth_engine(n)) else {
                    return Ok(());
                };
                if self.model.engines[&id].standing != Standing::Up {
                    self.sut.engine_up(id);
                    self.model.engine_up(id);
                }
            }
            Event::Lost(n) => {
                if let Some(id) = self.nth_engine(n) {
                    prop_assert_eq!(self.sut.engine_lost(id), self.model.engine_lost(id));
                }
            }
            Event::Leaving(n) => {
                if let Some(id) = self.nth_engine(n) {
                    prop_assert_eq!(self.sut.engine_leaving(id), self.model.engine_leaving(id));
                }
            }
            Event::Gone(n) => {
                if let Some(id) = self.nth_engine(n) {
                    prop_assert_eq!(self.sut.engine_gone(id), self.model.engine_gone(id));
                }
            }
            Event::Submit(wanted) => self.submit(wanted),
            Event::Share(tenant, weight, running) => {
                let share = Share {
                    weight,
                    running,
                    ..Share::default()
                };
                self.sut.set_share(TenantId(tenant), share);
                self.model.set_share(TenantId(tenant), share);
            }
            Event::Finish(n, spent) => {
                if let Some(id) = self.nth_engine(n) {
                    let has = &mut self.model.engines.get_mut(&id).unwrap().has;
                    if let Some(dispatch) = has.iter().nth(n / 7 % has.len().max(1)).copied() {
                        has.remove(&dispatch);
                        self.sut.finished(id, dispatch, Duration::from_nanos(spent));
                        self.model.finished(dispatch, spent);
                    }
                }
            }
            Event::CancelGroup(group) => {
                let dropped = self.sut.cancel_group(JobId(group));
                prop_assert_eq!(dropped, self.model.cancel_group(JobId(group)));
            }
            Event::Cancel(n) => {
                let id = DispatchId(n as u64 % self.seen.max(1));
                prop_assert_eq!(self.sut.cancel(id), self.model.cancel(id));
            }
            Event::Step => {
                self.model.next(&mut self.sut);
            }
            Event::Place => {
                while self.model.next(&mut self.sut) {
                    self.model.settle_tenants();
                }
            }
        }
        self.model.settle_tenants();
        prop_assert_eq!(self.sut.status(), self.model.status());
        Ok(())
    }

    fn submit(&mut self, wanted: RandomOrder) {
        let order = Order {
            id: DispatchId(self.seen),
            tenant: TenantId(wanted.tenant),
            group: JobId(wanted.group),
            eligible: match wanted.eligible {
                Choice::Any => Eligible::Any,
                Choice::One(engine) => Eligible::One(EngineId(engine)),
                Choice::Shared(n) => Eligible::Of(Arc::clone(&self.lists[n % self.lists.len()])),
                Choice::Own(engines) => Eligible::Of(super::set(engines)),
            },
            priority: wanted.priority,
            stage: wanted.stage,
            memory: 0,
        };
        self.seen += 1;
        self.model.submit(order.clone());
        self.sut.submit(order);
    }

    /// Finishes all there is, with an engine that may take what `Any` may.
    fn end(mut self, cancel: bool) -> Result<(), TestCaseError> {
        if cancel {
            for group in 0..4 {
                self.apply(Event::CancelGroup(group))?;
            }
        }
        self.apply(Event::Up)?;
        for n in 0..self.model.engines.len() {
            self.apply(Event::Again(n))?;
        }
        self.apply(Event::Place)?;
        while self
            .model
            .engines
            .values()
            .any(|engine| !engine.has.is_empty())
        {
            for n in 0..self.model.engines.len() {
                self.apply(Event::Finish(n, 1000))?;
            }
            self.apply(Event::Place)?;
        }
        prop_assert!(self.model.waiting.is_empty(), "{:?}", self.model.waiting);
        prop_assert!(self.sut.is_empty());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// Each order comes out once, to an engine that may have it and has room, when the model would give it.
    #[test]
    fn every_decision_is_that_of_the_model(
        events in prop::collection::vec(any_event(), 0..200),
        policy in any_policy(),
        hwm in prop_oneof![4 => 1_usize..4, 1 => Just(usize::MAX)],
        seed in any::<u64>(),
        engines in 0_u32..6,
        cancel in any::<bool>(),
    ) {
        let lists = [vec![0, 1], vec![1, 2, 3], vec![0, 2, 4, 6], vec![5, 7], vec![3, 3]];
        let mut both = Both {
            sut: Machine::new(policy, hwm, seed),
            model: Model::new(policy, hwm),
            lists: lists.into_iter().map(super::set).collect(),
            next_engine: 0,
            seen: 0,
        };
        for event in (0..engines).map(|_| Event::Up).chain(events) {
            both.apply(event)?;
        }
        both.end(cancel)?;
    }

    /// Groups that all have something waiting get the same, whichever way they want their engines.
    #[test]
    fn groups_that_have_something_waiting_get_the_same(
        groups in prop::collection::vec((20_usize..60, 0_u8..3), 1..6), engines in 1_u32..5,
    ) {
        let mut sut = super::machine(Policy::LeastLoad, Machine::HWM, engines);
        let all = super::set(0..engines);
        let mut owner = vec![];
        for (group, (orders, way)) in groups.iter().enumerate() {
            // Those that want one engine want each of them as often as others want any.
            let times = if *way == 2 { engines as usize } else { 1 };
            for n in 0..*orders * times {
                let eligible = match way {
                    0 => Eligible::Any,
                    1 => Eligible::Of(Arc::clone(&all)),
                    _ => Eligible::One(EngineId(u32::try_from(n)? % engines)),
                };
                sut.submit(super::order(owner.len() as u64, group as u64, eligible));
                owner.push(group);
            }
        }
        let mut got = vec![0_usize; groups.len()];
        let enough = groups.iter().map(|(orders, _)| *orders).min().unwrap() / 2 * groups.len();
        for _ in 0..enough {
            let Some(super::Decision::Assign { engine, id }) = sut.next() else { panic!("an engine is free") };
            got[owner[usize::try_from(id.0)?]] += 1;
            sut.finished(engine, id, Duration::from_millis(1));
        }
        let spread = got.iter().max().unwrap() - got.iter().min().unwrap();
        prop_assert!(spread <= 1, "{:?}", got);
    }
}
