//! Engines that are silent for a while, and tasks that take longer than engines may be silent.

use super::{ACK_WAIT, assets, begun, connect, engines, server, show, work};
use crate::support::until;
use rwasm_cluster::EngineId;
use std::time::{Duration, Instant};

#[test]
fn a_frozen_engine_s_task_runs_elsewhere_and_its_late_result_is_refused() {
    let server = server(&assets(ACK_WAIT));
    let url = server.url();
    let engines = engines(url, 2);
    let cluster = connect(url);
    let ids = || {
        let mut ids: Vec<_> = cluster.engines().iter().map(|EngineId(id)| *id).collect();
        ids.sort_unstable();
        ids
    };
    let all = [engines[0].ids[0], engines[1].ids[0]];
    until("both engines are known", || ids() == all);
    let view = cluster.load_balanced_view();
    let map = view.map(&work(), [(1, 4000)]).expect("it begins");
    let mut notes = map.notes();
    let mut first = None;
    until("it has begun", || {
        first = begun(&mut notes);
        first.is_some()
    });
    let frozen = first.map(|(_, engine)| engine).expect("it has begun");
    let (frozen, other): (Vec<_>, Vec<_>) =
        engines.iter().partition(|process| process.ids == [frozen]);
    let (frozen, other) = (frozen[0], other[0]);
    frozen.freeze();
    let since = Instant::now();
    assert_eq!(map.get().expect("it runs elsewhere"), [1]);
    show(&format!("its result came after {:?}", since.elapsed()));
    assert_eq!(begun(&mut notes), Some((0, other.ids[0])));
    until("the frozen engine is taken for lost", || ids() == other.ids);
    frozen.thaw();
    until("its late result is refused", || {
        frozen.metric("rwasm_results_refused_total") == 1
    });
    until("it is there again, under its id", || ids() == all);
    until("nothing runs", || !frozen.is_busy() && !other.is_busy());
    // It takes tasks as before.
    let view = cluster.direct_view(EngineId(frozen.ids[0]));
    let tasks = view.expect("it is there").try_submit(&work(), (3, 0));
    assert_eq!(tasks.expect("it is submitted").get().expect("it runs"), [3]);
}

#[test]
fn a_task_that_outlives_the_wait_for_its_engine_runs_once() {
    // Signs of life come three times within it: so long may a busy machine keep the engine from its next.
    let ack_wait = Duration::from_secs(4);
    let server = server(&assets(ack_wait));
    let engines = engines(server.url(), 2);
    let cluster = connect(server.url());
    let view = cluster.load_balanced_view();
    let map = view.map(&work(), [(1, 12_000)]).expect("it begins");
    let mut notes = map.notes();
    assert_eq!(map.get().expect("it runs"), [1]);
    assert!(begun(&mut notes).is_some());
    assert_eq!(begun(&mut notes), None);
    until("one engine says that it ran a task", || {
        let done = engines
            .iter()
            .map(|engine| engine.metric("rwasm_tasks_total"));
        done.sum::<u64>() == 1
    });
    for engine in &engines {
        assert_eq!(engine.metric("rwasm_results_refused_total"), 0);
    }
}
