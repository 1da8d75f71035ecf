//! What each policy makes of the same cluster. Where it draws, the seed is fixed and so are the figures.

use super::super::{Decision, Eligible, Machine, Policy};
use super::{TOOK, assigned, machine, order};
use rwasm_value::ids::{DispatchId, EngineId};

const DRAWS: usize = 3_000;

fn engines_of(sut: &mut Machine) -> Vec<u32> {
    assigned(sut)
        .into_iter()
        .map(|(engine, _)| engine)
        .collect()
}

fn submit(sut: &mut Machine, ids: std::ops::Range<u64>) {
    ids.for_each(|id| sut.submit(order(id, 0, Eligible::Any)));
}

/// Three engines with 2, 1 and no dispatches, which were last used in this order; how often each is chosen next.
fn chosen(policy: Policy) -> [usize; 3] {
    let mut sut = machine(policy, usize::MAX, 3);
    for (id, engine) in [0, 0, 1].into_iter().enumerate() {
        sut.submit(order(id as u64, 1, Eligible::One(EngineId(engine))));
    }
    assert_eq!(assigned(&mut sut).len(), 3);
    let mut chosen = [0; 3];
    for id in 3..DRAWS as u64 + 3 {
        submit(&mut sut, id..id + 1);
        let [(engine, id)] = assigned(&mut sut)[..] else {
            panic!("one was submitted")
        };
        chosen[engine as usize] += 1;
        sut.finished(EngineId(engine), DispatchId(id), TOOK);
    }
    chosen
}

fn is_near(found: usize, share: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let found = found as f64 / DRAWS as f64;
    (found - share).abs() < 0.03
}

#[test]
fn leastload_fills_the_emptiest_in_turn() {
    let mut sut = machine(Policy::LeastLoad, 2, 3);
    submit(&mut sut, 0..7);
    assert_eq!(engines_of(&mut sut), [0, 1, 2, 0, 1, 2]);
    sut.finished(EngineId(1), DispatchId(1), TOOK);
    assert_eq!(engines_of(&mut sut), [1]);
    assert_eq!(chosen(Policy::LeastLoad), [0, 0, DRAWS]);
}

#[test]
fn lru_goes_by_time_whatever_the_load() {
    let mut sut = machine(Policy::LeastRecentlyUsed, 3, 3);
    submit(&mut sut, 0..4);
    assert_eq!(engines_of(&mut sut), [0, 1, 2, 0]);
    sut.finished(EngineId(2), DispatchId(2), TOOK);
    submit(&mut sut, 4..8);
    assert_eq!(engines_of(&mut sut), [1, 2, 0, 1]);
    assert_eq!(chosen(Policy::LeastRecentlyUsed), [DRAWS / 3; 3]);
}

#[test]
fn random_gives_each_the_same_share() {
    let chosen = chosen(Policy::Random);
    assert!(chosen.iter().all(|n| is_near(*n, 1.0 / 3.0)), "{chosen:?}");
}

#[test]
fn twobin_takes_the_better_of_two() {
    // Of nine pairs, five have the idle engine, three more the next.
    let chosen = chosen(Policy::TwoBin);
    let expected = [1.0 / 9.0, 3.0 / 9.0, 5.0 / 9.0];
    let near = chosen
        .iter()
        .zip(expected)
        .all(|(n, share)| is_near(*n, share));
    assert!(near, "{chosen:?}");
}

#[test]
fn weighted_keeps_to_the_idle() {
    let with_an_idle = chosen(Policy::Weighted);
    assert!(with_an_idle[2] > DRAWS - 3, "{with_an_idle:?}");
    // With loads of 1 and 3 the busier is drawn one time in four, and chosen where it is drawn twice.
    let mut sut = machine(Policy::Weighted, usize::MAX, 2);
    for (id, engine) in [0, 1, 1, 1].into_iter().enumerate() {
        sut.submit(order(id as u64, 1, Eligible::One(EngineId(engine))));
    }
    assert_eq!(assigned(&mut sut).len(), 4);
    let mut busier = 0;
    for id in 4..DRAWS as u64 + 4 {
        submit(&mut sut, id..id + 1);
        let [(engine, id)] = assigned(&mut sut)[..] else {
            panic!("one was submitted")
        };
        busier += usize::from(engine == 1);
        sut.finished(EngineId(engine), DispatchId(id), TOOK);
    }
    assert!(is_near(busier, 1.0 / 16.0), "{busier}");
}

#[test]
fn no_policy_gives_to_an_engine_that_is_full_while_another_has_room() {
    for policy in Policy::ALL {
        let mut sut = machine(policy, 2, 8);
        submit(&mut sut, 0..17);
        let mut got = [0; 8];
        for engine in engines_of(&mut sut) {
            got[engine as usize] += 1;
        }
        assert_eq!(got, [2; 8], "{policy}");
    }
}

#[test]
fn a_machine_follows_from_its_seed() {
    let run = |policy, seed| -> Vec<Decision> {
        let mut sut = Machine::new(policy, 20, seed);
        (0..16).for_each(|id| sut.engine_up(EngineId(id)));
        submit(&mut sut, 0..100);
        super::decisions(&mut sut)
    };
    for policy in Policy::ALL {
        assert_eq!(run(policy, 1), run(policy, 1), "{policy}");
    }
    assert_ne!(run(Policy::Random, 1), run(Policy::Random, 2));
}
