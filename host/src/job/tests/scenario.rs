//! What a simulated job is made of: its input, its engines, and what becomes of each attempt.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use super::super::*;
use crate::merge::tree::Node;
use crate::merge::tree::tests::any_shape;
use proptest::prelude::*;
use rwasm_value::ids::EngineId;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Map(u64),
    Reduce(Node),
}

/// Everything that a run follows from.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) chunks: u64,
    pub(super) engines: u32,
    pub(super) depth: usize,
    pub(super) delivery: Delivery,
    pub(super) fixed: bool,
    pub(super) retries: u32,
    pub(super) tolerance: Tolerance,
    pub(super) budget: u64,
    /// Failures per thousand attempts at maps, and at reduces.
    pub(super) failures: [u64; 2],
    /// The bytes of a chunk, of its result, and the nanoseconds of its run: at most.
    pub(super) largest: [u64; 3],
    /// When something cuts the job short: at this step.
    pub(super) stop_at: Option<u64>,
    /// The number of chunks after which the input breaks off.
    pub(super) broken_after: Option<u64>,
    pub(super) seed: u64,
}

pub(super) fn any_scenario() -> impl Strategy<Value = Scenario> {
    let delivery = prop_oneof![
        Just(Delivery::Ordered),
        Just(Delivery::AsCompleted),
        any_shape().prop_map(Delivery::Reduced)
    ];
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
        (
            prop::option::weighted(0.1, 0_u64..500),
            prop::option::weighted(0.1, 0_u64..400),
            any::<u64>(),
        ),
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
pub(super) fn hash(seed: u64, parts: &[u64]) -> u64 {
    parts
        .iter()
        .fold(seed ^ 0x9E37_79B9_7F4A_7C15, |hash, part| {
            let mixed = (hash ^ part).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (mixed ^ (mixed >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB) ^ (mixed >> 32)
        })
}

impl Scenario {
    pub(super) fn rules(&self) -> Rules {
        let targets = (0..self.engines).map(EngineId).collect();
        Rules {
            delivery: self.delivery,
            retries: self.retries,
            tolerance: self.tolerance,
            assignment: if self.fixed {
                Assignment::Fixed(targets)
            } else {
                Assignment::Any
            },
            engines: self.engines as usize,
            hand_over: HandOver {
                depth: self.depth,
                ..HandOver::NEAR
            },
            dispatch_size: self.seed.is_multiple_of(5).then_some(3),
            max_outstanding: self.seed.is_multiple_of(3).then_some(8),
            held_budget: self.budget,
        }
    }

    pub(super) fn target(&self, index: u64) -> Option<EngineId> {
        self.fixed
            .then(|| EngineId((hash(self.seed, &[1, index / 7]) % u64::from(self.engines)) as u32))
    }

    pub(super) fn size(&self, index: u64) -> u64 {
        hash(self.seed, &[2, index]) % self.largest[0]
    }

    pub(super) fn held(&self, index: u64) -> u64 {
        if self.seed.is_multiple_of(2) {
            self.size(index)
        } else {
            0
        }
    }

    pub(super) fn result_size(&self, index: u64) -> u64 {
        hash(self.seed, &[3, index]) % self.largest[1]
    }

    /// What an attempt at a task comes to.
    pub(super) fn attempt(&self, task: Key, attempt: u32) -> Result<(), Failed<String>> {
        let (parts, per_mille) = match task {
            Key::Map(index) => ([4, index, 0], self.failures[0]),
            Key::Reduce(node) => ([5, u64::from(node.rank), node.index], self.failures[1]),
        };
        let draw = hash(hash(self.seed, &parts), &[u64::from(attempt)]);
        if draw % 1000 >= per_mille {
            return Ok(());
        }
        let retry = if draw.is_multiple_of(7) {
            Retry::Never
        } else if draw.is_multiple_of(2) {
            Retry::After(Duration::from_millis(1))
        } else {
            Retry::Allowed
        };
        Err(Failed {
            failure: format!("{task:?} at attempt {attempt}"),
            retry,
        })
    }

    /// What a task comes to in the end.
    pub(super) fn fate(&self, task: Key) -> Result<(), String> {
        for attempt in 1.. {
            match self.attempt(task, attempt) {
                Ok(()) => return Ok(()),
                Err(failed) if failed.retry == Retry::Never || attempt > self.retries => {
                    return Err(failed.failure);
                }
                Err(_) => {}
            }
        }
        unreachable!()
    }
}
