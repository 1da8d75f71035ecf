//! Random graphs under random schedules of events.

use super::super::{Backoff, Dependency, FailureSet};
use super::world::{OTHERS, World};
use super::*;
use proptest::prelude::*;
use rwasm_sandbox::outcome::FailureCode;

/// What happens next, with a number to pick whom it happens to.
#[derive(Clone, Debug)]
enum Step {
    Submit,
    Begin(u64),
    Report(u64, Option<FailureCode>),
    Repeat(u64),
    /// One of the other jobs ends, on the engines whose bits are set.
    EndOther(u64, bool, u8),
    Cancel(u64),
    Answer(u64),
    Advance(u64),
    Dawdle(u64),
    ShutDown,
}

/// A dependency whose jobs are picked among those there are when its task is submitted.
#[derive(Clone, Debug)]
struct Wish {
    picks: Vec<u64>,
    all: bool,
    on: (bool, bool),
}

const OTHER_JOBS: u64 = 4;

impl Wish {
    fn on_jobs_before(&self, task: u64) -> Dependency {
        let jobs = self.picks.iter().map(|pick| {
            let pick = pick % (task + OTHER_JOBS);
            JobId(if pick < task {
                pick
            } else {
                OTHERS + pick - task
            })
        });
        let dependency = if self.all {
            Dependency::all(jobs)
        } else {
            Dependency::any(jobs)
        };
        dependency.on_success(self.on.0).on_failure(self.on.1)
    }
}

type Plan = (Vec<Wish>, Vec<Wish>, Terms);

fn any_wish() -> impl Strategy<Value = Wish> {
    let on = prop_oneof![
        4 => Just((true, false)),
        1 => Just((false, true)),
        1 => Just((true, true)),
    ];
    let picks = prop::collection::vec(any::<u64>(), 1..4);
    (picks, any::<bool>(), on).prop_map(|(picks, all, on)| Wish { picks, all, on })
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let eligible = prop_oneof![
        3 => Just(Eligible::Any),
        1 => (0_u32..3).prop_map(|engine| Eligible::One(EngineId(engine))),
        1 => Just(Eligible::Of([EngineId(2), EngineId(0)].into())),
    ];
    let retry = (0_u32..4, any::<bool>(), 0_u64..3).prop_map(|(retries, all, pause)| {
        let on = if all {
            FailureSet::ALL
        } else {
            FailureSet::ENGINE_LOST
        };
        Retry::times(retries)
            .on(on)
            .backoff(Backoff::exponential(ms(pause * 5), ms(20)))
    });
    let limit = || prop::option::weighted(0.2, (1_u64..60).prop_map(ms));
    let wishes = |most| prop::collection::vec(any_wish(), 0..most);
    (wishes(3), wishes(2), eligible, retry, limit(), limit()).prop_map(
        |(after, follow, eligible, retry, queue_time, deadline)| {
            let terms = Terms {
                eligible,
                retry,
                queue_time,
                deadline,
                ..free()
            };
            (after, follow, terms)
        },
    )
}

fn any_failure() -> impl Strategy<Value = Option<FailureCode>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(FailureCode::EngineLost)),
        1 => Just(Some(FailureCode::GuestError)),
        1 => Just(Some(FailureCode::Cancelled)),
        1 => Just(Some(FailureCode::BadInput)),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let pick = any::<u64>;
    prop_oneof![
        60 => Just(Step::Submit),
        30 => pick().prop_map(Step::Begin),
        60 => (pick(), any_failure()).prop_map(|(pick, failure)| Step::Report(pick, failure)),
        10 => pick().prop_map(Step::Repeat),
        8 => (pick(), any::<bool>(), 0_u8..8)
            .prop_map(|(pick, success, engines)| Step::EndOther(pick, success, engines)),
        8 => pick().prop_map(Step::Cancel),
        10 => pick().prop_map(Step::Answer),
        20 => (0_u64..30).prop_map(Step::Advance),
        10 => (0_u64..30).prop_map(Step::Dawdle),
        1 => Just(Step::ShutDown),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn each_task_is_resolved_once_and_as_soon_as_it_can_be(
        plans in prop::collection::vec(any_plan(), 1..40),
        steps in prop::collection::vec((any_step(), any::<bool>()), 0..200),
    ) {
        let mut world = World::new();
        let mut plans = plans.into_iter().zip(0..);
        let mut submit = |world: &mut World| {
            let Some(((after, follow, mut terms), job)) = plans.next() else {
                return false;
            };
            let on_jobs = |wishes: Vec<Wish>| wishes.iter().map(|wish| wish.on_jobs_before(job)).collect();
            terms.after = on_jobs(after);
            terms.follow = on_jobs(follow);
            world.submit(JobId(job), terms);
            true
        };
        for (step, decides) in steps {
            match step {
                Step::Submit => { submit(&mut world); }
                Step::Begin(pick) => world.begin(pick),
                Step::Report(pick, failure) => world.report(pick, failure),
                Step::Repeat(pick) => world.repeat(pick),
                Step::EndOther(pick, success, bits) => {
                    let engines = (0..3).filter(|engine| bits & (1 << engine) != 0).map(EngineId);
                    world.end_other(JobId(OTHERS + pick % OTHER_JOBS), success, engines.collect());
                }
                Step::Cancel(pick) => world.cancel(pick),
                Step::Answer(pick) => world.answer(pick),
                Step::Advance(time) => world.advance(ms(time)),
                Step::Dawdle(time) => world.dawdle(ms(time)),
                Step::ShutDown => world.shut_down(),
            }
            if decides {
                world.decide();
            }
        }
        while submit(&mut world) {}
        world.run_out((OTHERS..OTHERS + OTHER_JOBS).map(JobId));
    }
}
