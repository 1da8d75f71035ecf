//! Engines that are killed in the middle: what they had runs elsewhere, and what kills them is given up.

use super::engine::EngineProcess;
use super::job::Naps;
use super::{ACK_WAIT, assets, begun, connect, engines, server, show, work};
use crate::support::{LONG, Prng, until};
use rwasm_cluster::FailureCode;

/// As many engines as may be lost with a task.
const DEATHS: u32 = 5;

#[test]
fn ten_killed_engines_lose_no_task_and_double_none() {
    const TASKS: usize = 20_000;
    let seed = fastrand::u64(..);
    show(&format!("seed {seed}"));
    let mut random = Prng::new(seed);
    let server = server(&assets(ACK_WAIT));
    let url = server.url();
    let mut engines: Vec<_> = (0..3).map(|_| EngineProcess::join(url, "-n 2")).collect();
    let cluster = connect(url);
    let mut moments: Vec<_> = (0..10).map(|_| random.below(TASKS - 1000)).collect();
    moments.sort_unstable();
    let mut job = Naps::start(&cluster, TASKS);
    for moment in moments {
        job.take(moment.saturating_sub(job.count()));
        let at = random.below(engines.len());
        // A supervisor starts another at once.
        engines[at].kill();
        engines[at] = EngineProcess::join(url, "-n 2");
    }
    job.take(TASKS - job.count());
    let refused: u64 = engines
        .iter()
        .map(|engine| engine.metric("rwasm_results_refused_total"))
        .sum();
    let (count, took) = job.end();
    assert_eq!(count, TASKS);
    show(&format!(
        "{count} tasks in {took:?}, {refused} late results refused"
    ));
}

#[test]
fn a_task_that_kills_engines_fails_alone() {
    const POISON: u64 = 57;
    let server = server(&assets(ACK_WAIT));
    let url = server.url();
    let mut engines = engines(url, 2);
    let cluster = connect(url);
    let inputs = (0..100_i64).map(|n| {
        (
            n,
            if n == POISON.cast_signed() {
                LONG.cast_signed()
            } else {
                1
            },
        )
    });
    // It travels with others.
    let view = cluster.load_balanced_view().unordered().dispatch_size(20);
    let mut map = view.map(&work(), inputs).expect("it begins");
    let mut notes = map.notes();
    let mut outcomes = Vec::new();
    let mut deaths = 0;
    let mut runs = [0; 100];
    until("the task is given up", || {
        while let Some((place, engine)) = begun(&mut notes) {
            runs[usize::try_from(place).expect("it fits")] += 1;
            if place == POISON {
                deaths += 1;
                let mut dying = engines.iter_mut();
                let dying = dying.find(|process| process.ids == [engine]);
                let dying = dying.expect("it runs on one of them");
                dying.kill();
                *dying = EngineProcess::join(url, "-n 1");
            }
        }
        outcomes.extend(map.try_next_outcome());
        outcomes.len() == 100
    });
    assert!(map.next_outcome().is_none());
    assert_eq!(deaths, DEATHS);
    outcomes.sort_by_key(|(place, _)| *place);
    for (place, outcome) in outcomes {
        if place == POISON {
            let error = outcome.expect_err("it was given up");
            let failure = &error.failure().expect("it failed").failure;
            assert_eq!(failure.code, FailureCode::EngineLost);
            assert!(failure.message.contains("5 engines"), "{failure:?}");
        } else {
            assert_eq!(outcome.expect("it runs").cast_unsigned(), place);
        }
    }
    show(&format!("runs of each task: {runs:?}"));
}
