//! The load-balanced view: single calls, and maps over whatever gives arguments.

mod streams;

use crate::support::{
    LONG, SOON, cluster, code, events_until, module, numbers, occupy, only_here, running, soon,
    until,
};
use futures_core::Stream;
use rwasm_cluster::{
    Argument, Cluster, ClusterEvent, EngineId, FailureCode, Policy, SubmitError, TargetError, Task,
    TaskError, arguments, zip,
};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

#[test]
fn calls_give_their_values() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    assert_eq!(pollster::block_on(view.apply(&f.add, (40, 2))).unwrap(), 42);
    let blocking = cluster.blocking().load_balanced_view();
    assert_eq!(blocking.apply(&f.fib, 20).unwrap(), 6765);
    assert_eq!(blocking.apply(&f.total, vec![1, 2, 3]).unwrap(), 6);
    assert_eq!(blocking.apply(&f.total, vec![]).unwrap(), 0);
    let error = blocking.apply(&f.divide, (1, 0)).unwrap_err();
    assert_eq!(
        error.to_string().split(": ").collect::<Vec<_>>()[1..],
        ["guest-error", "1 cannot be divided by zero"]
    );
}

#[test]
fn a_map_keeps_the_order_of_its_input() {
    for engines in [1, 3] {
        let cluster = cluster(engines);
        let f = numbers();
        let view = cluster.load_balanced_view();
        for size in [None, Some(0), Some(1), Some(7), Some(usize::MAX)] {
            let view = match size {
                None => view.clone(),
                Some(size) => view.clone().dispatch_size(size),
            };
            let values = view.map(&f.add_one, 0..2000).unwrap().get().unwrap();
            assert!(values.into_iter().eq(1..=2000), "dispatches of {size:?}");
            let unordered = view.unordered().map(&f.add_one, 0..2000).unwrap();
            let mut values = unordered.get().unwrap();
            values.sort_unstable();
            assert!(values.into_iter().eq(1..=2000), "dispatches of {size:?}");
        }
    }
}

#[test]
fn a_map_over_nothing_gives_nothing() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view();
    assert!(view.map(&f.add_one, []).unwrap().get().unwrap().is_empty());
    assert!(view.map(&f.add_one, []).unwrap().outcomes().is_empty());
    let mut map = view.map(&f.add_one, []).unwrap();
    assert!(map.outcome(0).is_none() && map.next().is_none() && map.next().is_none());
    assert_eq!(map.is_successful(), Some(true));
    let lines = view
        .map_lines(&f.add_one, "nothing", std::io::empty())
        .unwrap();
    assert!(lines.get().unwrap().is_empty());
}

/// Counts what is read of it.
fn counted(read: &Arc<AtomicU64>) -> impl Iterator<Item = u64> + Send + 'static {
    let read = Arc::clone(read);
    (0..).inspect(move |_| {
        read.fetch_add(1, Ordering::Relaxed);
    })
}

#[test]
fn an_endless_input_is_read_as_far_as_outcomes_are_taken() {
    let cluster = cluster(2);
    let f = numbers();
    let read = Arc::new(AtomicU64::new(0));
    let view = cluster.load_balanced_view();
    let mut map = view
        .clone()
        .max_outstanding(5)
        .map(&f.add_one, counted(&read))
        .unwrap();
    for n in 0..200 {
        assert_eq!(map.next().unwrap().unwrap(), n + 1);
    }
    assert!(read.load(Ordering::Relaxed) >= 200);
    drop(map);
    // Nobody takes anything: it comes to a stop. Two batches wait for the handle, and another.
    for most in [0, 1, 9] {
        let read = Arc::new(AtomicU64::new(0));
        let view = view.clone().max_outstanding(most);
        let mut map = view.map(&f.add_one, counted(&read)).unwrap();
        assert_eq!(map.next().unwrap().unwrap(), 1);
        drop(map);
        let read = read.load(Ordering::Relaxed);
        assert!(read < 5000, "{read} were read for {most}");
    }
}

#[test]
fn what_is_outstanding_is_bounded() {
    let cluster = cluster(2);
    let f = numbers();
    let busy = occupy(&cluster);
    let view = cluster.load_balanced_view();
    let read = Arc::new(AtomicU64::new(0));
    let map = view
        .clone()
        .max_outstanding(7)
        .map(&f.add_one, counted(&read))
        .unwrap();
    until("it reads", || read.load(Ordering::Relaxed) == 7);
    let progress = map.progress();
    until("it is told", || progress.now().chunks_read == 7);
    busy.iter().for_each(Task::abort);
    let values: Vec<u64> = map.take(100).map(Result::unwrap).collect();
    assert!(values.into_iter().eq(1..=100));
    // Without a bound of its own it reads ahead, but not without end.
    let busy = occupy(&cluster);
    let read = Arc::new(AtomicU64::new(0));
    let map = view.map(&f.add_one, counted(&read)).unwrap();
    let progress = map.progress();
    until("it reads", || progress.now().chunks_read > 0);
    assert!(read.load(Ordering::Relaxed) <= 100_000);
    drop((busy, map));
}

#[test]
fn an_iterator_that_panics_ends_its_map_with_an_error() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let items = |most: u64| {
        (0..).inspect(move |n| assert!(*n < most, "the iterator of a test panics on purpose"))
    };
    for most in [0, 1, 100] {
        let map = view.map(&f.add_one, items(most)).unwrap();
        let outcomes = soon("the map ends", move || map.outcomes());
        let (last, values) = outcomes.split_last().unwrap();
        assert!(values.iter().all(Result::is_ok));
        assert!(matches!(last, Err(TaskError::Job(_))), "{last:?}");
        let text = last.as_ref().unwrap_err().to_string();
        assert!(text.contains("on purpose"), "{text}");
    }
    let direct = cluster.direct_view(0).unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        direct.map(&f.add_one, items(3).take(9)).map(drop)
    }));
    assert!(caught.is_err(), "it is read on the caller's own thread");
    assert_eq!(view.blocking().apply(&f.add_one, 1).unwrap(), 2);
}

#[test]
fn several_sequences_are_zipped() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let sums = view.map(&f.add, zip((0.., [10, 20, 30]))).unwrap();
    assert_eq!(sums.get().unwrap(), [10, 21, 32]);
    let none = view.map(&f.add, zip((0.., Vec::new()))).unwrap();
    assert!(none.get().unwrap().is_empty());
    let greet = module("numbers")
        .function::<(String, u32), String>("greet")
        .unwrap();
    let names = ["a", "b"].map(str::to_owned);
    let texts = view.map(&greet, zip((names, 1..))).unwrap().get().unwrap();
    assert_eq!(texts, ["hello, a", "hello, b; hello, b"]);
}

#[test]
fn arguments_that_do_not_fit_fail_alone() {
    let cluster = cluster(2);
    let add = module("numbers").dynamic_function("add").unwrap();
    let view = cluster.load_balanced_view();
    let lists: Vec<Vec<Argument>> = vec![
        arguments![1_u64, 2_u64],
        arguments!["x", 2_u64],
        arguments![1_u64],
        arguments![3_u64, 4_u64],
    ];
    let outcomes = view.map(&add, lists).unwrap().outcomes();
    let ok: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, false, false, true]);
    let text = |at: usize| outcomes[at].as_ref().unwrap_err().to_string();
    assert!(
        text(1).contains("argument 1 (`a`)") && text(1).contains("bad-input"),
        "{}",
        text(1)
    );
    assert!(
        text(2).contains("expected 2 arguments (a: u64, b: u64), found 1"),
        "{}",
        text(2)
    );
    let refused = view.try_submit(&add, arguments!["x", 2_u64]).err().unwrap();
    assert!(
        matches!(refused, SubmitError::Arguments { .. }),
        "{refused}"
    );
    // The place of a failure is that of its argument list, in whichever order they come.
    let map = view
        .unordered()
        .map(&add, vec![arguments![1_u64, 2_u64], arguments!["x"]])
        .unwrap();
    let error = map.get().unwrap_err();
    assert_eq!((error.tasks, error.failed, error.first[0].0), (2, 1, 1));
}

#[test]
fn lines_of_text_are_argument_lists() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let text = "1\n2\r\nx\n\n18446744073709551615\n7";
    let outcomes = view
        .map_lines(&f.add_one, "lines", text.as_bytes())
        .unwrap()
        .outcomes();
    let values: Vec<Option<u64>> = outcomes
        .iter()
        .map(|one| one.as_ref().ok().copied())
        .collect();
    assert_eq!(values, [Some(2), Some(3), None, None, Some(0), Some(8)]);
    let failure = outcomes[2].as_ref().unwrap_err().failure().unwrap();
    assert_eq!(failure.origin.to_string(), "lines, line 3");
    let sums = view
        .map_lines(&f.add, "pairs", "[1, 2]\n[3, 4]\n".as_bytes())
        .unwrap();
    assert_eq!(sums.get().unwrap(), [3, 7]);
}

#[test]
fn every_policy_gives_every_task_an_engine() {
    let policies = [
        Policy::LeastLoad,
        Policy::LeastRecentlyUsed,
        Policy::Random,
        Policy::TwoBin,
        Policy::Weighted,
    ];
    for policy in policies {
        for hwm in [0, 1, 2, 100] {
            let cluster = Cluster::builder()
                .engines(3)
                .policy(policy)
                .hwm(hwm)
                .seed(7)
                .start()
                .unwrap();
            let f = numbers();
            let view = cluster.load_balanced_view();
            let tasks: Vec<_> = (0..60)
                .map(|n| view.try_submit(&f.add_one, n).unwrap())
                .collect();
            let map = view
                .clone()
                .dispatch_size(1)
                .map(&f.add_one, 0..300)
                .unwrap();
            assert!(map.get().unwrap().into_iter().eq(1..=300), "{policy}");
            assert!(
                tasks
                    .iter()
                    .zip(1..)
                    .all(|(task, n)| task.get().unwrap() == n),
                "{policy}"
            );
        }
    }
}

#[test]
fn a_higher_priority_goes_past_a_long_queue() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let many = |priority| -> Vec<_> {
        let view = view.clone().priority(priority);
        let tasks = (0..200).map(|_| view.try_submit(&f.nap, 5).unwrap());
        tasks.collect()
    };
    let (low, usual) = (many(-1), many(0));
    let high = view.clone().priority(1).try_submit(&f.add_one, 1).unwrap();
    assert_eq!(high.get_timeout(SOON).unwrap(), 2);
    let waiting = |tasks: &[Task<u64>]| tasks.iter().filter(|task| !task.is_ready()).count();
    assert!(waiting(&usual) > 100, "{} wait", waiting(&usual));
    usual.iter().for_each(Task::wait);
    assert!(waiting(&low) > 100, "{} wait", waiting(&low));
}

#[test]
fn higher_priorities_go_first() {
    if only_here("there are three classes, and each engine has a few tasks in advance") {
        return;
    }
    let cluster = cluster(1);
    let f = numbers();
    let mut events = cluster.events();
    let view = cluster.load_balanced_view();
    let busy = occupy(&cluster);
    // One dispatch is with the engine beside the one that runs.
    let with_it = view.try_submit(&f.add_one, 0).unwrap();
    let priorities = [0, -5, 7, i32::MIN, 7, i32::MAX];
    let tasks: Vec<_> = priorities
        .iter()
        .map(|priority| {
            view.clone()
                .priority(*priority)
                .try_submit(&f.add_one, 0)
                .unwrap()
        })
        .collect();
    busy.iter().for_each(Task::abort);
    tasks.iter().for_each(Task::wait);
    let ids: Vec<_> = tasks.iter().map(Task::id).collect();
    let mut ended = Vec::new();
    let is_last = |event: &ClusterEvent| matches!(event, ClusterEvent::JobEnded { job, .. } if *job == ids[3]);
    for event in events_until(&mut events, is_last) {
        if let ClusterEvent::JobEnded { job, .. } = event {
            ended.extend(ids.iter().position(|id| *id == job));
        }
    }
    assert_eq!(ended, [5, 2, 4, 0, 1, 3]);
    drop(with_it);
}

#[test]
fn targets_restrict_where_calls_run() {
    let cluster = cluster(4);
    let f = numbers();
    let view = cluster.load_balanced_view().targets([1, 3]);
    let tasks: Vec<_> = (0..40)
        .map(|n| view.try_submit(&f.add_one, n).unwrap())
        .collect();
    for task in &tasks {
        task.wait();
        let engine = task.info().unwrap().usage.engine.unwrap();
        assert!([1, 3].contains(&engine.0), "it ran on engine {engine}");
    }
    let mut map = view
        .clone()
        .dispatch_size(1)
        .map(&f.add_one, 0..200)
        .unwrap();
    assert!(map.by_ref().map(Result::unwrap).eq(1..=200));
    let engines: Vec<_> = map.stats().unwrap().engines.keys().copied().collect();
    assert!(
        engines
            .iter()
            .all(|engine| [EngineId(1), EngineId(3)].contains(engine))
    );
    let nowhere = view.clone().targets(Vec::<EngineId>::new());
    assert!(matches!(
        nowhere.try_submit(&f.add_one, 1),
        Err(SubmitError::Targets(TargetError::Empty))
    ));
    assert!(nowhere.map(&f.add_one, 0..3).is_err());
    let text = view
        .clone()
        .targets(9)
        .try_submit(&f.add_one, 1)
        .err()
        .unwrap()
        .to_string();
    assert_eq!(text, "there is no engine 9: the engines are 0, 1, 2, 3");
    assert!(
        view.clone()
            .targets([2, 2])
            .try_submit(&f.add_one, 1)
            .is_err()
    );
    // Both are busy: nothing else takes their work.
    let spins: Vec<_> = [1, 3]
        .map(|n| running(&view.clone().targets(n), &f.spin))
        .into();
    let waits = view.try_submit(&f.add_one, 1).unwrap();
    assert_eq!(
        view.clone()
            .targets(0)
            .blocking()
            .apply(&f.add_one, 1)
            .unwrap(),
        2
    );
    assert!(!waits.is_ready());
    drop(spins);
    assert_eq!(waits.get_timeout(SOON).unwrap(), 2);
}

#[test]
fn a_map_is_stopped_in_any_moment() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    for taken in [0, 1, 3, 50] {
        let mut map = view.map(&f.add_one, 0_u64..).unwrap();
        for _ in 0..taken {
            map.next().unwrap().unwrap();
        }
        drop(map);
        let mut map = view
            .clone()
            .unordered()
            .map(&f.spin, std::iter::repeat(()))
            .unwrap();
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut map).poll_next(&mut context).is_pending());
        drop(map);
        let map = view.map(&f.nap, (0..taken).map(|n| n % 2 * LONG)).unwrap();
        map.abort();
        map.abort();
        let outcomes = soon("it ends", move || map.outcomes());
        assert!(matches!(outcomes.last(), Some(Err(TaskError::Job(_)))) || taken == 0);
    }
    assert_eq!(view.blocking().apply(&f.add_one, 1).unwrap(), 2);
}

#[test]
fn a_map_is_dropped_at_once_though_others_keep_the_engine() {
    let cluster = Cluster::builder().engines(1).hwm(2).start();
    let cluster = cluster.expect("it starts");
    let f = numbers();
    let view = cluster.load_balanced_view();
    let spin = running(&view, &f.spin);
    let map = view.map(&f.add_one, 0_u64..).unwrap();
    until("it is with the engine", || {
        cluster.queue_status().engines[0].outstanding == 2
    });
    soon("it is dropped", move || drop(map));
    assert!(!spin.is_ready());
}

#[test]
fn a_map_ends_at_the_first_failure_if_it_is_to() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view().fail_fast();
    let pairs = (0..).map(|n: i64| (100, 5 - n));
    let mut map = view.map(&f.divide, pairs).unwrap();
    let values: Vec<_> = map.by_ref().collect();
    assert_eq!(values.len(), 6);
    assert!(values[..5].iter().all(Result::is_ok));
    assert_eq!(code(values[5].clone()), FailureCode::GuestError);
    assert_eq!(map.is_successful(), Some(false));
    assert!(map.error().is_some());
    let map = view
        .clone()
        .max_failures(rwasm_cluster::Tolerance::Count(2));
    let outcomes = map.map(&f.fail, ["x", "trap", "x", "trap", "trap", "x"]);
    let failed = outcomes
        .unwrap()
        .outcomes()
        .iter()
        .filter(|one| one.is_err())
        .count();
    assert_eq!(failed, 3);
}
