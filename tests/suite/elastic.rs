//! Clusters whose engines come and go while work is done, and the end of a cluster.

use crate::support::{
    LONG, SOON, cluster, code, events_until, module, numbers, occupy, running, soon, threads, until,
};
use rwasm_cluster::{
    Cluster, ClusterEvent, EngineError, EngineId, FailureCode, Input, JobSpec, StartError,
    SubmitError, TargetError, Targets, TaskError,
};
use std::time::{Duration, Instant};

fn ids(ids: impl IntoIterator<Item = u32>) -> Vec<EngineId> {
    ids.into_iter().map(EngineId).collect()
}

#[test]
fn ids_are_never_used_again() {
    let cluster = cluster(2);
    assert_eq!(cluster.add_engines(2).unwrap(), ids([2, 3]));
    for gone in [3, 1] {
        cluster.remove_engine(EngineId(gone)).unwrap();
    }
    assert_eq!(cluster.engines(), ids([0, 2]));
    assert_eq!(cluster.add_engines(1).unwrap(), ids([4]));
    assert_eq!(cluster.add_engines(0).unwrap(), ids([]));
    assert_eq!(cluster.engines(), ids([0, 2, 4]));
}

#[test]
fn what_cannot_be_done_with_engines_is_said() {
    let cluster = Cluster::builder()
        .engines(2)
        .max_engines(3)
        .start()
        .unwrap();
    let unknown = cluster.remove_engine(EngineId(7)).unwrap_err();
    assert!(matches!(
        unknown,
        EngineError::Unknown {
            engine: EngineId(7),
            ..
        }
    ));
    assert_eq!(
        unknown.to_string(),
        "there is no engine 7: the engines are 0, 1"
    );
    assert!(cluster.restart_engine(EngineId(7)).is_err());
    let many = cluster.add_engines(2).unwrap_err();
    assert!(
        matches!(
            many,
            EngineError::TooMany {
                wanted: 2,
                present: 2,
                most: 3
            }
        ),
        "{many}"
    );
    assert!(cluster.add_engines(u32::MAX).is_err());
    cluster.add_engines(1).unwrap();
    cluster.remove_engine(EngineId(0)).unwrap();
    assert!(cluster.remove_engine(EngineId(0)).is_err(), "it is gone");
    until("there is room again", || cluster.add_engines(1).is_ok());
    let refused = Cluster::builder().max_engines(5000).engines(1).start();
    assert!(matches!(
        refused,
        Err(StartError::EngineCount { wanted: 5000 })
    ));
}

#[test]
fn a_map_that_runs_makes_use_of_engines_that_come() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view().dispatch_size(1);
    let mut map = view.map(&f.nap, std::iter::repeat(1)).unwrap();
    assert!(map.next().unwrap().is_ok());
    let added = cluster.add_engines(3).unwrap();
    let begun = Instant::now();
    until("all engines have done something", || {
        assert!(map.next().unwrap().is_ok());
        let status = cluster.queue_status();
        status.engines.len() == 1 + added.len()
            && status.engines.iter().all(|engine| engine.completed > 0)
    });
    assert!(begun.elapsed() < SOON);
}

#[test]
fn a_map_outlives_engines_that_go() {
    let cluster = cluster(3);
    let f = numbers();
    let view = cluster.load_balanced_view().retries(5).dispatch_size(1);
    let mut map = view.map(&f.add_one, 0..3000).unwrap();
    let mut values = Vec::new();
    for _ in 0..500 {
        values.push(map.next().unwrap().unwrap());
    }
    cluster.remove_engine(EngineId(1)).unwrap();
    cluster.restart_engine(EngineId(2)).unwrap();
    for _ in 0..500 {
        values.push(map.next().unwrap().unwrap());
    }
    cluster.remove_engine(EngineId(0)).unwrap();
    cluster.add_engines(1).unwrap();
    values.extend(map.map(Result::unwrap));
    assert!(values.into_iter().eq(1..=3000));
}

#[test]
fn an_engine_that_goes_finishes_what_it_runs_and_fails_what_waits_for_it_alone() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.direct_view(1).unwrap();
    let runs = view.try_submit(&f.nap, 60).unwrap();
    until("it runs", || runs.task(0).unwrap().is_running());
    // One may be with the engine beside the one that runs; the last is not.
    let waiting: Vec<_> = (0..5)
        .map(|_| view.try_submit(&f.nap, LONG).unwrap())
        .collect();
    let any = cluster
        .load_balanced_view()
        .try_submit(&f.add_one, 1)
        .unwrap();
    cluster.remove_engine(EngineId(1)).unwrap();
    assert_eq!(cluster.engines(), ids([0]));
    let refused = view.try_submit(&f.add_one, 1);
    assert!(matches!(
        refused,
        Err(SubmitError::Targets(TargetError::Unknown { .. }))
    ));
    let last = waiting.last().unwrap().task(0).unwrap();
    let error = last.get_timeout(SOON).unwrap_err();
    assert_eq!(code::<u64>(Err(error.clone())), FailureCode::EngineLost);
    assert!(error.to_string().contains("engine 1"), "{error}");
    assert_eq!(any.get_timeout(SOON).unwrap(), 2);
    assert_eq!(runs.task(0).unwrap().get_timeout(SOON).unwrap(), 60);
    drop(waiting);
}

#[test]
fn a_restarted_engine_loses_what_it_has_and_goes_on() {
    let cluster = cluster(1);
    let mut events = cluster.events();
    let f = numbers();
    let view = cluster.load_balanced_view();
    let direct = cluster.direct_view(0).unwrap();
    for _ in 0..20 {
        let lost = running(&view, &f.spin);
        let waits: Vec<_> = (0..4)
            .map(|n| direct.try_submit(&f.add_one, n).unwrap())
            .collect();
        cluster.restart_engine(EngineId(0)).unwrap();
        let error = lost.get_timeout(SOON).unwrap_err();
        assert_eq!(code::<u64>(Err(error)), FailureCode::EngineLost);
        // What was not with the engine waits for it.
        assert_eq!(waits[3].task(0).unwrap().get_timeout(SOON).unwrap(), 4);
        assert_eq!(cluster.engines(), ids([0]));
    }
    let seen = events_until(&mut events, |event| {
        *event == ClusterEvent::EngineReplaced(EngineId(0))
    });
    let lost = |event: &ClusterEvent| {
        matches!(event, ClusterEvent::EngineLost { engine: EngineId(0), reason }
            if reason.contains("restarted"))
    };
    assert!(seen.iter().any(lost), "{seen:?}");
}

#[test]
fn events_tell_what_happens_and_end_with_the_cluster() {
    let cluster = cluster(1);
    let mut events = cluster.events();
    let f = numbers();
    let view = cluster.load_balanced_view();
    let good = view
        .clone()
        .label("good")
        .try_submit(&f.add_one, 1)
        .unwrap();
    let (good_id, bad_id) = {
        good.wait();
        let bad = view.try_submit(&f.fail, "trap").unwrap();
        bad.wait();
        (good.id(), bad.id())
    };
    let map = view.clone().label("map").map(&f.add_one, 0..3).unwrap();
    let map_id = map.id();
    map.get().unwrap();
    cluster.add_engines(1).unwrap();
    cluster.remove_engine(EngineId(0)).unwrap();
    events_until(&mut events, |event| {
        *event
            == ClusterEvent::JobSubmitted {
                job: good_id,
                label: Some("good".into()),
                tenant: None,
            }
    });
    let ended = |event: &ClusterEvent, id, succeeded, ran| {
        matches!(event, ClusterEvent::JobEnded { job, success, usage }
            if (*job, *success, usage.tasks) == (id, succeeded, ran) && !usage.run_time.is_zero())
    };
    events_until(&mut events, |event| ended(event, good_id, true, 1));
    events_until(&mut events, |event| ended(event, bad_id, false, 1));
    events_until(&mut events, |event| {
        *event
            == ClusterEvent::JobSubmitted {
                job: map_id,
                label: Some("map".into()),
                tenant: None,
            }
    });
    events_until(&mut events, |event| ended(event, map_id, true, 3));
    events_until(&mut events, |event| {
        *event == ClusterEvent::EngineAdded(EngineId(1))
    });
    events_until(&mut events, |event| {
        *event == ClusterEvent::EngineRemoved(EngineId(0))
    });
    cluster.shutdown(Duration::ZERO);
    drop(cluster);
    drop(view);
    drop(good);
    let last = soon("the events end", move || events.last());
    assert_eq!(last, Some(ClusterEvent::ShutDown));
}

#[test]
fn events_can_be_polled_and_looked_at_in_turn() {
    let cluster = cluster(1);
    let mut events = cluster.events();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = futures_core::Stream::poll_next(std::pin::Pin::new(&mut events), &mut context);
    assert!(polled.is_pending());
    cluster.add_engines(1).unwrap();
    let seen = events_until(&mut events, |_| true);
    assert_eq!(seen, [ClusterEvent::EngineAdded(EngineId(1))]);
}

#[test]
fn a_listener_that_is_slow_is_told_what_it_missed() {
    let cluster = cluster(1);
    let mut events = cluster.events();
    let f = numbers();
    let view = cluster.load_balanced_view();
    let tasks: Vec<_> = (0..2000)
        .map(|n| view.try_submit(&f.add_one, n).unwrap())
        .collect();
    tasks.iter().for_each(rwasm_cluster::Task::wait);
    let mut missed = 0;
    let mut seen = 0;
    until("all are accounted for", || {
        while let Some(event) = events.try_next() {
            match event {
                ClusterEvent::Missed(count) => missed += count,
                _ => seen += 1,
            }
        }
        missed + seen == 4000
    });
    assert!(missed > 0 && seen > 0, "{missed} missed, {seen} seen");
}

#[test]
fn the_queue_is_told_as_it_is() {
    let cluster = cluster(2);
    let f = numbers();
    let busy = occupy(&cluster);
    let direct = cluster.direct_view(1).unwrap();
    let waiting: Vec<_> = (0..5)
        .map(|_| direct.try_submit(&f.add_one, 1).unwrap())
        .collect();
    let any: Vec<_> = (0..7)
        .map(|_| {
            cluster
                .load_balanced_view()
                .try_submit(&f.add_one, 1)
                .unwrap()
        })
        .collect();
    let status = cluster.queue_status();
    let engine = |at: usize| status.engines[at].clone();
    assert_eq!(
        (engine(0).engine, engine(1).engine),
        (EngineId(0), EngineId(1))
    );
    assert!(engine(0).outstanding >= 1 && engine(1).outstanding >= 1);
    let all = engine(0).outstanding + engine(1).outstanding + engine(1).queue + status.unassigned;
    assert_eq!(all, 2 + 5 + 7, "{status:?}");
    busy.iter().for_each(rwasm_cluster::Task::abort);
    for task in any {
        assert_eq!(task.get().unwrap(), 2);
    }
    for tasks in waiting {
        assert_eq!(tasks.get().unwrap(), [2]);
    }
    until("nothing is left", || {
        let status = cluster.queue_status();
        status.unassigned == 0
            && status
                .engines
                .iter()
                .all(|engine| engine.outstanding + engine.queue == 0)
    });
    let done: u64 = cluster
        .queue_status()
        .engines
        .iter()
        .map(|engine| engine.completed)
        .sum();
    assert_eq!(done, 14);
}

#[test]
fn without_engines_work_waits_for_one_to_come() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let mut running = view.map(&f.add_one, 0_u64..).unwrap();
    assert!(running.next().unwrap().is_ok());
    for engine in cluster.engines() {
        cluster.remove_engine(engine).unwrap();
    }
    assert_eq!(cluster.engines(), ids([]));
    let refused = cluster.direct_view(Targets::All);
    assert!(matches!(refused, Err(TargetError::Empty)));
    let call = view.try_submit(&f.add_one, 1).unwrap();
    let cared = view.clone().retries(3).try_submit(&f.add_one, 2).unwrap();
    let hasty = view.clone().queue_timeout(Duration::from_millis(10));
    let given_up = hasty.try_submit(&f.add_one, 1).unwrap();
    assert_eq!(code(given_up.get_timeout(SOON)), FailureCode::Timeout);
    let outcomes = hasty.map(&f.add_one, [1, 2]).unwrap();
    let outcomes = soon("its time is over", move || outcomes.outcomes());
    assert!(
        outcomes
            .into_iter()
            .all(|one| code(one) == FailureCode::Timeout)
    );
    let map = view.map(&f.add_one, 0..10).unwrap();
    let run = cluster
        .run(
            &module("wordcount"),
            vec![Input::bytes("text", "a")],
            &JobSpec::default(),
        )
        .unwrap();
    soon("what waits can be dropped", {
        let dropped = view.map(&f.add_one, 0_u64..).unwrap();
        move || drop(dropped)
    });
    assert!(!call.is_ready() && !cared.is_ready());
    cluster.add_engines(1).unwrap();
    assert_eq!(call.get_timeout(SOON).unwrap(), 2);
    assert_eq!(cared.get_timeout(SOON).unwrap(), 3);
    assert_eq!(soon("the map ends", move || map.get().unwrap()).len(), 10);
    assert!(soon("the run ends", move || run.wait()).is_ok());
    for n in 2..3000 {
        assert_eq!(running.next().unwrap().unwrap(), n);
    }
}

#[test]
fn shutdown_gives_what_runs_its_time() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let short: Vec<_> = (0..6)
        .map(|_| view.try_submit(&f.nap, 5).unwrap())
        .collect();
    let ended = cluster.shutdown(SOON);
    assert_eq!((ended.finished, ended.stopped), (6, 0));
    assert!(short.iter().all(|task| task.get().unwrap() == 5));
    assert_eq!(cluster.shutdown(SOON), rwasm_cluster::Shutdown::default());
}

#[test]
fn shutdown_stops_what_takes_longer() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let spin = running(&view, &f.spin);
    let sleep = view.try_submit(&f.nap, LONG).unwrap();
    let waits = view.try_submit(&f.add_one, 1).unwrap();
    let after = view.clone().after(&spin).try_submit(&f.add_one, 1).unwrap();
    let map = view.map(&f.nap, std::iter::repeat(LONG)).unwrap();
    let mut done_map = view.map(&f.add_one, []).unwrap();
    assert!(done_map.next().is_none());
    let begun = Instant::now();
    let ended = cluster.shutdown(Duration::from_millis(30));
    assert!(begun.elapsed() >= Duration::from_millis(30));
    assert!(begun.elapsed() < SOON);
    assert_eq!(ended.finished + ended.stopped, 5);
    assert!(ended.stopped >= 4, "{ended:?}");
    for task in [spin, sleep, waits] {
        assert_eq!(code(task.get_timeout(SOON)), FailureCode::Cancelled);
    }
    let code = code(after.get_timeout(SOON));
    assert!(
        matches!(code, FailureCode::Cancelled | FailureCode::DependencyFailed),
        "{code}"
    );
    let outcomes = soon("the map ends", move || map.outcomes());
    assert!(outcomes.iter().all(Result::is_err));
    assert!(
        matches!(outcomes.last(), Some(Err(TaskError::Job(_)))),
        "{outcomes:?}"
    );
}

#[test]
fn a_long_grace_is_no_overflow() {
    let cluster = cluster(1);
    let ended = soon("shutdown", move || cluster.shutdown(Duration::MAX));
    assert_eq!(ended.stopped, 0);
}

#[test]
fn shutdown_does_not_wait_for_a_slow_iterator() {
    let cluster = cluster(1);
    let f = numbers();
    let (open, gate) = std::sync::mpsc::channel::<u64>();
    let map = cluster.load_balanced_view().map(&f.add_one, gate).unwrap();
    let detached = {
        let (keep, gate) = std::sync::mpsc::channel::<u64>();
        let map = cluster.load_balanced_view().map(&f.add_one, gate);
        map.unwrap().detach();
        keep
    };
    open.send(1).unwrap();
    let map = soon("shutdown", move || {
        cluster.shutdown(Duration::ZERO);
        map
    });
    soon("the map ends", move || {
        assert!(map.last().unwrap().is_err());
    });
    drop((open, detached));
}

#[test]
fn calls_after_shutdown_say_so() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let direct = cluster.direct_view(Targets::All).unwrap();
    let one = cluster.direct_view(1).unwrap();
    let done = view.try_submit(&f.add_one, 1).unwrap();
    done.wait();
    cluster.shutdown(Duration::ZERO);
    let is_shut_down = |error: SubmitError| {
        assert!(matches!(error, SubmitError::ShutDown), "{error}");
        assert_eq!(error.to_string(), "the cluster was shut down");
    };
    is_shut_down(view.try_submit(&f.add_one, 1).err().unwrap());
    is_shut_down(
        pollster::block_on(view.submit(&f.add_one, 1))
            .err()
            .unwrap(),
    );
    is_shut_down(view.map(&f.add_one, 0..3).err().unwrap());
    is_shut_down(
        view.clone()
            .after(&done)
            .try_submit(&f.add_one, 1)
            .err()
            .unwrap(),
    );
    is_shut_down(view.clone().retries(1).map(&f.add_one, 0..3).err().unwrap());
    is_shut_down(
        view.clone()
            .targets(1)
            .try_submit(&f.add_one, 1)
            .err()
            .unwrap(),
    );
    is_shut_down(view.clone().targets(1).map(&f.add_one, 0..3).err().unwrap());
    let job = cluster.run(&module("wordcount"), vec![], &JobSpec::default());
    is_shut_down(job.err().unwrap());
    for view in [&direct, &one] {
        is_shut_down(view.try_submit(&f.add_one, 1).err().unwrap());
        is_shut_down(view.map(&f.add_one, 0..3).err().unwrap());
        assert_eq!(
            view.push("a", 1_u64),
            Err(rwasm_cluster::PushError::ShutDown)
        );
        assert_eq!(
            view.scatter("a", [1_u64]),
            Err(rwasm_cluster::PushError::ShutDown)
        );
        assert_eq!(view.pull("a"), Err(rwasm_cluster::PushError::ShutDown));
        assert_eq!(view.clear(), Err(rwasm_cluster::PushError::ShutDown));
    }
    assert_eq!(done.get().unwrap(), 2, "what was done is there");
    assert!(matches!(cluster.add_engines(1), Err(EngineError::ShutDown)));
    assert!(matches!(
        cluster.remove_engine(EngineId(0)),
        Err(EngineError::ShutDown)
    ));
    assert!(matches!(
        cluster.restart_engine(EngineId(0)),
        Err(EngineError::ShutDown)
    ));
    assert!(cluster.engines().is_empty() && cluster.queue_status().engines.is_empty());
}

#[test]
fn handles_and_views_may_outlive_their_cluster() {
    let f = numbers();
    let (view, task, map) = {
        let cluster = cluster(1);
        let view = cluster.load_balanced_view();
        let task = running(&view, &f.spin);
        let map = view.map(&f.add_one, 0_u64..).unwrap();
        (view, task, map)
    };
    assert_eq!(code(task.get_timeout(SOON)), FailureCode::Cancelled);
    task.abort();
    assert!(matches!(
        view.try_submit(&f.add_one, 1),
        Err(SubmitError::ShutDown)
    ));
    soon("the map ends", move || map.last());
    drop(view);
}

#[test]
fn a_cluster_may_be_dropped_and_shut_down_from_several_threads() {
    let cluster = std::sync::Arc::new(cluster(2));
    let f = numbers();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            cluster
                .load_balanced_view()
                .try_submit(&f.nap, LONG)
                .unwrap()
        })
        .collect();
    let others: Vec<_> = (0..4)
        .map(|_| {
            let cluster = std::sync::Arc::clone(&cluster);
            std::thread::spawn(move || cluster.shutdown(Duration::ZERO))
        })
        .collect();
    soon("they end", move || {
        for other in others {
            other.join().unwrap();
        }
        drop(cluster);
    });
    assert!(
        tasks
            .iter()
            .all(|task| code(task.get()) == FailureCode::Cancelled)
    );
    assert!(threads().len() < 10_000);
}
