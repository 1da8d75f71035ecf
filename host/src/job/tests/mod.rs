//! The machine against a simulated cluster: random engines, costs, failures and orders, and a model of what must come.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

mod scenario;
mod simulation;

use super::messages::Task;
use super::*;
use crate::merge::tree::tests::{any_shape, model};
use crate::merge::tree::{Node, Shape};
use proptest::prelude::*;
use rwasm_value::ids::{ChunkIndex, EngineId};
use scenario::{Key, Scenario, any_scenario};
use simulation::{Cluster, Sut, SutDecision};
use std::time::Duration;

/// What a job emits; and what it merges, or which task is fatal to it.
type Expected = (Vec<Result<String, String>>, Result<Option<String>, u64>);

/// How the job must end, if nothing cuts it short.
fn expected(scenario: &Scenario) -> Expected {
    let outcome = |index: u64| scenario.fate(Key::Map(index)).map(|()| index.to_string());
    let outcomes: Vec<_> = (0..scenario.chunks).map(outcome).collect();
    let allowed = scenario.tolerance.allowed(scenario.chunks) as usize;
    let failed: Vec<_> = (0..outcomes.len())
        .filter(|index| outcomes[*index].is_err())
        .collect();
    let fails_early = scenario.tolerance == Tolerance::Percent(0.0)
        || matches!(scenario.tolerance, Tolerance::Count(_));
    // At the end, only the first hundred failures are still known.
    let fatal = failed.get(allowed).map(|fatal| {
        if fails_early {
            *fatal
        } else {
            failed[allowed.min(99)]
        }
    });
    let emitted = if fails_early {
        fatal.unwrap_or(outcomes.len())
    } else {
        outcomes.len()
    };
    let leaves: Vec<_> = outcomes.iter().cloned().map(Result::ok).collect();
    let merged = match scenario.delivery {
        Delivery::Ordered | Delivery::AsCompleted => None,
        Delivery::Reduced(shape) => model(shape, &leaves),
    };
    (
        outcomes[..emitted].to_vec(),
        fatal.map_or(Ok(merged), |index| Err(index as u64)),
    )
}

/// As they come: each outcome is out once, and the job fails only if too many fail.
fn check_as_completed(scenario: &Scenario) {
    let mut cluster = Cluster::new(scenario);
    let ending = cluster.run();
    let failing = (0..scenario.chunks).filter(|index| scenario.fate(Key::Map(*index)).is_err());
    let allowed = scenario.tolerance.allowed(scenario.chunks);
    match ending {
        Ending::Complete {
            chunks, failures, ..
        } => {
            assert_eq!(chunks, scenario.chunks);
            assert_eq!(cluster.emitted.len() as u64, chunks);
            assert_eq!(failures, failing.count() as u64);
            assert!(failures <= allowed);
        }
        Ending::TaskFailed { index, .. } => {
            assert!(scenario.fate(Key::Map(index.0)).is_err());
            assert!(failing.count() as u64 > allowed);
        }
        Ending::Stopped("stopped") => assert!(scenario.stop_at.is_some()),
        Ending::Stopped("broken") => assert!(scenario.broken_after.is_some()),
        ending => panic!("ended with {ending:?}"),
    }
}

fn check(scenario: &Scenario) {
    if scenario.delivery == Delivery::AsCompleted {
        return check_as_completed(scenario);
    }
    let mut cluster = Cluster::new(scenario);
    let ending = cluster.run();
    let (emitted, result) = expected(scenario);
    let ordered = scenario.delivery == Delivery::Ordered;
    let short = scenario.stop_at.is_some() || scenario.broken_after.is_some();
    if ordered {
        assert!(
            emitted.starts_with(&cluster.emitted),
            "emitted {:?}, expected {emitted:?}",
            cluster.emitted
        );
        let broken = scenario
            .broken_after
            .filter(|after| *after <= scenario.chunks && scenario.stop_at.is_none());
        let until = broken.map_or(usize::MAX, |after| after as usize);
        if !short || (broken.is_some() && !matches!(result, Err(index) if index as usize >= until))
        {
            assert_eq!(cluster.emitted.len(), emitted.len().min(until));
        }
    }
    match (ending, result) {
        (
            Ending::Complete {
                merged,
                chunks,
                failed,
                failures,
            },
            Ok(expected),
        ) => {
            assert_eq!((merged, chunks), (expected, scenario.chunks));
            let all = (0..chunks).filter_map(|index| {
                Some((ChunkIndex(index), scenario.fate(Key::Map(index)).err()?))
            });
            assert_eq!(failures, all.clone().count() as u64);
            assert!(all.take(100).eq(failed));
        }
        (
            Ending::TaskFailed {
                index,
                failure,
                failures,
            },
            Err(fatal),
        ) => {
            assert_eq!(scenario.fate(Key::Map(index.0)), Err(failure));
            assert!(failures > 0);
            // A reduced job keeps the first hundred failures only.
            let kept = matches!(scenario.tolerance, Tolerance::Count(allowed) if allowed < 100);
            assert!(if ordered || kept {
                index.0 == fatal
            } else {
                index.0 >= fatal.min(99)
            });
        }
        (Ending::MergeFailed { failure }, _) => {
            assert!(
                !ordered && scenario.failures[1] > 0 && failure.starts_with("Reduce"),
                "{failure}"
            );
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
        sut.chunk(
            index,
            ChunkFacts {
                size: Some(10),
                held: 0,
                target: target(index),
            },
        );
    }
}

/// The dispatches that are decided now, and everything else, which there must not be.
fn dispatches(sut: &mut Sut) -> Vec<HandedOver<u64, String>> {
    std::iter::from_fn(|| sut.next_decision())
        .map(|decision| match decision {
            Decision::Dispatch(dispatch) => dispatch,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn answer(sut: &mut Sut, task: &Task<u64, String>, result: Result<&str, Retry>) -> ReportFate {
    let result = result.map(str::to_owned).map_err(|retry| Failed {
        failure: "no".to_owned(),
        retry,
    });
    sut.finished(Finished {
        id: task.id,
        result,
        cost: Duration::from_micros(1),
        size: 1,
    })
}

#[test]
fn what_is_left_at_the_end_is_spread_over_the_engines() {
    let mut sut = Machine::new(plain(0, Delivery::Ordered).rules());
    feed(&mut sut, 40, |_| None);
    sut.input_end();
    let first = dispatches(&mut sut);
    assert_eq!(
        first
            .iter()
            .map(|dispatch| dispatch.tasks.len())
            .collect::<Vec<_>>(),
        [1; 4]
    );
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
    rules.hand_over.depth = 1;
    let mut sut = Machine::new(rules);
    feed(&mut sut, 6, |index| {
        Some(EngineId(if index < 3 { 3 } else { 5 }))
    });
    let first = dispatches(&mut sut);
    assert_eq!(
        first
            .iter()
            .map(|dispatch| dispatch.target.unwrap().0)
            .collect::<Vec<_>>(),
        [3, 5]
    );
    answer(&mut sut, &first[0].tasks[0], Ok("0"));
    let second = dispatches(&mut sut);
    assert_eq!(second[0].tasks.len(), 2);
    answer(&mut sut, &second[0].tasks[0], Ok("1"));
    answer(&mut sut, &second[0].tasks[1], Ok("2"));
    let third = dispatches(&mut sut);
    assert_eq!(third.len(), 1);
    assert_eq!(third[0].target, Some(EngineId(3)));
    let parts = vec!["0".to_owned(), "1".to_owned()];
    assert_eq!(
        third[0].tasks[0].work,
        Work::Reduce(Node { rank: 1, index: 0 }, parts)
    );
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
        assert_eq!(
            (dispatch.target, dispatch.tasks[0].attempt),
            (Some(EngineId(engine)), attempt)
        );
        let verdict = if attempt < 3 {
            ReportFate::Retried
        } else {
            ReportFate::Final
        };
        assert_eq!(
            answer(&mut sut, &dispatch.tasks[0], Err(Retry::Elsewhere)),
            verdict
        );
        assert_eq!(
            answer(&mut sut, &dispatch.tasks[0], Ok("late")),
            ReportFate::Ignored
        );
        ids.push(dispatch.tasks[0].id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert!(matches!(
        sut.next_decision(),
        Some(Decision::Done(Ending::TaskFailed {
            index: ChunkIndex(0),
            ..
        }))
    ));
}

#[test]
fn a_job_without_chunks_is_complete() {
    for delivery in [
        Delivery::Ordered,
        Delivery::AsCompleted,
        Delivery::Reduced(Shape::LIST),
    ] {
        let mut sut: Sut = Machine::new(plain(0, delivery).rules());
        assert!(sut.next_decision().is_none());
        sut.input_end();
        let Some(Decision::Done(ending)) = sut.next_decision() else {
            panic!("not done")
        };
        assert_eq!(
            ending,
            Ending::Complete {
                merged: None,
                chunks: 0,
                failed: vec![],
                failures: 0
            }
        );
    }
}

/// Starts tasks, ends the job, and gives back what is left under way: the decision on it, and the last decision.
fn ended(
    delivery: Delivery,
    end: impl Fn(&mut Sut, &Task<u64, String>),
) -> [Option<SutDecision>; 2] {
    let mut sut = Machine::new(plain(0, delivery).rules());
    feed(&mut sut, 9, |_| None);
    let under_way = dispatches(&mut sut);
    assert_eq!(under_way.len(), 4);
    end(&mut sut, &under_way[0].tasks[0]);
    let first = sut.next_decision();
    for dispatch in &under_way[1..] {
        assert!(
            sut.next_decision().is_none(),
            "something is decided while tasks are under way"
        );
        assert_eq!(
            answer(&mut sut, &dispatch.tasks[0], Err(Retry::Allowed)),
            ReportFate::Ignored
        );
    }
    [first, sut.next_decision()]
}

#[test]
fn what_is_under_way_is_stopped_before_the_job_is_over() {
    let failed = ended(Delivery::Reduced(Shape::LIST), |sut, task| {
        assert_eq!(answer(sut, task, Err(Retry::Never)), ReportFate::Final);
    });
    assert!(
        matches!(
            failed,
            [
                Some(Decision::Cancel),
                Some(Decision::Done(Ending::TaskFailed { .. }))
            ]
        ),
        "{failed:?}"
    );
    let stopped = ended(Delivery::Ordered, |sut, task| {
        sut.stop("enough");
        assert_eq!(answer(sut, task, Ok("0")), ReportFate::Ignored);
    });
    assert!(
        matches!(
            stopped,
            [
                Some(Decision::Cancel),
                Some(Decision::Done(Ending::Stopped("enough")))
            ]
        ),
        "{stopped:?}"
    );
}

#[test]
fn a_job_ends_although_all_its_targets_are_gone() {
    let mut rules = plain(0, Delivery::Ordered).rules();
    rules.assignment = Assignment::Fixed(vec![EngineId(4)]);
    (rules.retries, rules.tolerance) = (1, Tolerance::Count(2));
    let mut sut: Sut = Machine::new(rules);
    for _ in 0..2 {
        assert!(sut.input_wanted().chunks > 0);
        sut.chunk(
            0,
            ChunkFacts {
                size: None,
                held: 0,
                target: Some(EngineId(4)),
            },
        );
        for verdict in [ReportFate::Retried, ReportFate::Final] {
            let task = dispatches(&mut sut).remove(0).tasks.remove(0);
            assert_eq!(answer(&mut sut, &task, Err(Retry::Elsewhere)), verdict);
        }
        assert!(matches!(
            sut.next_decision(),
            Some(Decision::Emit { result: Err(_), .. })
        ));
    }
    sut.input_end();
    assert!(matches!(
        sut.next_decision(),
        Some(Decision::Done(Ending::Complete { failures: 2, .. }))
    ));
}

#[test]
fn memory_that_is_spent_stops_reading_and_not_the_job() {
    let scenario = Scenario {
        budget: 0,
        largest: [1000, 1000, 1000],
        seed: 2,
        ..plain(50, Delivery::Ordered)
    };
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
        sut.chunk(
            index,
            ChunkFacts {
                size: None,
                held: 0,
                target: Some(EngineId(1)),
            },
        );
    }
    assert_eq!(sut.input_wanted().chunks, 0);
}
