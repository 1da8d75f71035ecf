//! What a caller holds: tasks, several of them, and maps, until there is a result and after.

use crate::support::{
    LONG, SOON, cluster, code, module, numbers, occupy, one_line_each, running, soon, until,
};
use futures_core::Stream;
use rwasm_cluster::{
    Cluster, FailureCode, Input, Job, LiveNote, LogLevel, Map, Merge, Progress, Targets, Task,
    TaskError, TaskNote, Tasks, as_completed,
};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

#[test]
fn a_result_can_be_looked_at_often_and_taken_once() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let spin = running(&view, &f.spin);
    let task = view.try_submit(&f.add_one, 1).unwrap();
    assert!(!task.is_ready() && task.is_successful().is_none() && task.info().is_none());
    assert!(task.try_get().is_none());
    let early = task.get_timeout(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(early, TaskError::NotReady(_)));
    assert_eq!(early.to_string(), "there is no result after 1ms");
    drop(spin);
    for _ in 0..3 {
        assert_eq!(task.get().unwrap(), 2);
        assert_eq!(task.get_timeout(Duration::ZERO).unwrap(), 2);
        assert_eq!(task.try_get().unwrap().unwrap(), 2);
    }
    assert_eq!(task.is_successful(), Some(true));
    let elapsed = task.elapsed();
    assert_eq!(task.take().unwrap(), 2);
    for again in [task.take(), task.get(), task.try_get().unwrap()] {
        let error = again.unwrap_err();
        assert!(matches!(error, TaskError::Taken(job) if job == task.id()));
        assert_eq!(
            error.to_string(),
            format!("the result of job {} has already been taken", task.id())
        );
    }
    assert!(task.is_ready() && task.is_successful() == Some(true));
    assert_eq!(task.elapsed(), elapsed, "it has ended");
    assert!(pollster::block_on(task).is_err());
}

#[test]
fn an_abort_stops_what_waits_and_what_runs() {
    // Nothing waits with an engine behind what never ends while another is free.
    let cluster = Cluster::builder().engines(2).hwm(1).start().unwrap();
    let f = numbers();
    let view = cluster.load_balanced_view();
    for patient in [
        view.clone(),
        view.clone().retries(9),
        view.clone().deadline(SOON),
    ] {
        let spin = running(&patient, &f.spin);
        let sleep = patient.try_submit(&f.nap, LONG).unwrap();
        until("it runs", || sleep.is_running());
        let waits = patient.try_submit(&f.add_one, 1).unwrap();
        let other = view.try_submit(&f.add_one, 2).unwrap();
        for task in [&waits, &spin, &sleep] {
            task.abort();
            assert!(task.is_ready(), "it has ended when `abort` comes back");
            assert_eq!(task.is_successful(), Some(false));
            assert_eq!(code(task.get()), FailureCode::Cancelled);
            task.abort();
            assert!(!task.is_running());
        }
        assert_eq!(other.get_timeout(SOON).unwrap(), 3);
    }
    let done = view.try_submit(&f.add_one, 1).unwrap();
    done.wait();
    done.abort();
    assert_eq!(done.get().unwrap(), 2, "what has ended stays as it is");
}

#[test]
fn dropping_cancels_and_detaching_does_not() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view();
    drop(running(&view, &f.spin));
    drop(view.try_submit(&f.nap, LONG).unwrap());
    drop(view.map(&f.nap, [LONG; 4]).unwrap());
    drop(
        cluster
            .direct_view(0)
            .unwrap()
            .try_submit(&f.spin, ())
            .unwrap(),
    );
    assert_eq!(
        view.try_submit(&f.add_one, 1)
            .unwrap()
            .get_timeout(SOON)
            .unwrap(),
        2
    );
    let completed = || cluster.queue_status().engines[0].completed;
    until("the engine is free", || {
        cluster.queue_status().engines[0].outstanding == 0
    });
    let before = completed();
    view.try_submit(&f.nap, 5).unwrap().detach();
    Tasks::join((0..3).map(|n| view.try_submit(&f.add_one, n).unwrap())).detach();
    until("they end", || completed() == before + 4);
    for _ in 0..20 {
        // More than waits for a handle.
        let before = completed();
        view.clone().map(&f.add_one, 0..5000).unwrap().detach();
        until("the map ends", || completed() == before + 5000);
    }
}

#[test]
fn tasks_are_joined_and_split() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let tasks: Tasks<u64> = (0..5)
        .map(|n| view.try_submit(&f.add_one, n).unwrap())
        .collect();
    assert_eq!(tasks.len(), 5);
    assert_eq!(tasks.ids().count(), 5);
    assert_eq!(tasks.get().unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(tasks.task(3).unwrap().get().unwrap(), 4);
    assert!(tasks.task(5).is_none());
    assert!(tasks.is_ready() && tasks.is_successful() == Some(true));
    assert_eq!((tasks.progress().done, tasks.progress().total), (5, 5));
    assert!(tasks.serial_time() > Duration::ZERO);
    assert!(tasks.wall_time().unwrap() > Duration::ZERO);
    assert!(tasks.speed_up().unwrap() > 0.0);
    assert_eq!(tasks.wall_time().unwrap(), tasks.elapsed());
    assert!(tasks.info().iter().all(Option::is_some));
    let mut apart = tasks.split();
    let rest = apart.split_off(2);
    assert_eq!(Tasks::join(rest).get().unwrap(), [3, 4, 5]);
    assert_eq!(Tasks::join(apart).outcomes().len(), 2);
    let none: Tasks<u64> = Tasks::join([]);
    assert!(none.is_empty() && none.is_ready());
    assert_eq!(
        (none.wall_time(), none.speed_up()),
        (Some(Duration::ZERO), Some(0.0))
    );
    assert!(none.get().unwrap().is_empty());
    assert!(pollster::block_on(none.fail_fast()).unwrap().is_empty());
}

#[test]
fn failures_stand_beside_values() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view().label("division");
    let tasks: Tasks<i64> = (0..20)
        .map(|n| view.try_submit(&f.divide, (n, n % 2)).unwrap())
        .collect();
    let outcomes = tasks.outcomes();
    assert_eq!(outcomes.iter().filter(|one| one.is_ok()).count(), 10);
    let error = tasks.get().unwrap_err();
    assert_eq!((error.tasks, error.failed, error.first.len()), (20, 10, 4));
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert_eq!(lines[0], "10 of 20 tasks failed");
    assert!(
        lines[1].starts_with("  [0] `divide` (division) on engine "),
        "{text}"
    );
    assert!(lines[2].starts_with("  [2] ") && lines[2].ends_with("2 cannot be divided by zero"));
    assert_eq!(lines[5], "  and 6 more");
    let map = view.map(&f.divide, (0..20).map(|n| (n, n % 2))).unwrap();
    let error = map.get().unwrap_err();
    assert_eq!((error.tasks, error.failed), (20, 10));
    assert_eq!(
        error.first.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        [0, 2, 4, 6]
    );
}

#[test]
fn fail_fast_ends_at_the_first_failure() {
    // Nothing waits with an engine behind what never ends while another is free.
    let cluster = Cluster::builder().engines(2).hwm(1).start().unwrap();
    let f = numbers();
    let view = cluster.load_balanced_view();
    let submit = || {
        let spin = running(&view, &f.spin);
        let bad = view.try_submit(&f.fail, "trap").unwrap();
        let more = view.try_submit(&f.nap, LONG).unwrap();
        Tasks::join([spin, bad, more]).fail_fast()
    };
    let tasks = submit();
    assert_eq!((tasks.len(), tasks.ids().count()), (3, 3));
    let error = soon("it ends", move || pollster::block_on(tasks)).unwrap_err();
    assert_eq!((error.tasks, error.failed, error.first[0].0), (3, 1, 1));
    let tasks = submit();
    let error = soon("it ends when waited for", move || tasks.get()).unwrap_err();
    assert_eq!((error.tasks, error.failed, error.first[0].0), (3, 1, 1));
    assert_eq!(
        view.try_submit(&f.add_one, 1)
            .unwrap()
            .get_timeout(SOON)
            .unwrap(),
        2
    );
    let good: Tasks<u64> = (0..3)
        .map(|n| view.try_submit(&f.add_one, n).unwrap())
        .collect();
    assert_eq!(pollster::block_on(good.fail_fast()).unwrap(), [1, 2, 3]);
    let good: Tasks<u64> = (0..3)
        .map(|n| view.try_submit(&f.add_one, n).unwrap())
        .collect();
    assert_eq!(good.fail_fast().get().unwrap(), [1, 2, 3]);
}

#[test]
fn tasks_of_several_jobs_come_as_they_end() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let spin = running(&view, &f.spin);
    let direct = cluster.direct_view(Targets::All).unwrap();
    let fast = view.try_submit(&f.add_one, 1).unwrap();
    fast.wait();
    let both = direct.try_submit(&f.nap, 5).unwrap();
    let mut ended = as_completed([spin, fast].into_iter().chain(both));
    assert_eq!(ended.next().unwrap().0, 1);
    // Of the engine that is free the task of the direct call ends.
    let (at, task) = ended.next().unwrap();
    assert!([2, 3].contains(&at) && task.get().unwrap() == 5);
    drop(ended);
    let tasks: Tasks<u64> = (0..9)
        .map(|n| view.try_submit(&f.nap, n % 3).unwrap())
        .collect();
    let mut places: Vec<usize> = tasks.as_completed().map(|(at, _)| at).collect();
    places.sort_unstable();
    assert!(places.into_iter().eq(0..9));
    assert!(as_completed(Vec::<Task<u64>>::new()).next().is_none());
}

#[test]
fn outcomes_of_a_map_can_be_looked_at_by_place() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let mut map = view.map(&f.add_one, 0..10).unwrap();
    assert_eq!(*map.outcome(3).unwrap().as_ref().unwrap(), 4);
    assert_eq!(*map.outcome(0).unwrap().as_ref().unwrap(), 1);
    // What was looked at is not lost to whoever takes.
    assert_eq!(map.next().unwrap().unwrap(), 1);
    assert_eq!(
        map.next_outcome().map(|(at, value)| (at, value.unwrap())),
        Some((1, 2))
    );
    assert_eq!(*map.outcome(0).unwrap().as_ref().unwrap(), 3);
    assert!(map.outcome(8).is_none());
    assert_eq!(map.get().unwrap(), [3, 4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn a_map_knows_how_far_it_is_and_how_long_it_took() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let mut map = view.map(&f.fib, [15_u32; 50]).unwrap();
    let progress = map.progress();
    assert_eq!(progress.now().tasks_total, Some(50));
    assert!(map.stats().is_none());
    assert_eq!(map.by_ref().count(), 50);
    let now = progress.now();
    assert_eq!(
        (now.chunks_done, now.chunks_read, now.input_ended),
        (50, 50, true)
    );
    let stats = map.stats().unwrap();
    assert_eq!((stats.tasks, stats.chunks), (50, 50));
    assert!(stats.serial_time > Duration::ZERO && stats.wall_time > Duration::ZERO);
    assert!(stats.speed_up() > 0.0);
    let elapsed = map.elapsed();
    assert!(elapsed >= stats.wall_time);
    assert_eq!(map.elapsed(), elapsed, "it has ended");
}

#[test]
fn what_a_task_says_is_heard_live_and_kept() {
    let cluster = cluster(1);
    let tell = module("hosted").function::<u64, u64>("tell").unwrap();
    let view = cluster.load_balanced_view();
    let busy = occupy(&cluster);
    let task = view.try_submit(&tell, 3).unwrap();
    let (live, second) = (task.notes(), task.notes());
    busy.iter().for_each(Task::abort);
    let live = soon("the notes end", move || live.collect::<Vec<LiveNote>>());
    let said: Vec<TaskNote> = live
        .into_iter()
        .map(|note| match note {
            LiveNote::Said { index: 0, note } => note,
            other => panic!("{other:?}"),
        })
        .collect();
    let text = |stream: fn(&TaskNote) -> Option<&[u8]>| {
        String::from_utf8(said.iter().filter_map(stream).collect::<Vec<_>>().concat()).unwrap()
    };
    let out = text(|note| match note {
        TaskNote::Stdout(bytes) => Some(bytes),
        _ => None,
    });
    let err = text(|note| match note {
        TaskNote::Stderr(bytes) => Some(bytes),
        _ => None,
    });
    assert_eq!(
        (&*out, &*err),
        ("out 1\nout 2\nout 3\n", "err 1\nerr 2\nerr 3\n")
    );
    let is_log = |note: &&TaskNote| matches!(note, TaskNote::Log { level: LogLevel::Debug, message } if message == "step 2 of 3");
    assert_eq!(said.iter().filter(is_log).count(), 1);
    let progress = |note: &TaskNote| match note {
        TaskNote::Progress { done, total } => Some((*done, *total)),
        _ => None,
    };
    let steps: Vec<_> = said.iter().filter_map(progress).collect();
    assert_eq!(steps, [(1, Some(3)), (2, Some(3)), (3, Some(3))]);
    let published = |note: &TaskNote| match note {
        TaskNote::Published { name, bytes } if &**name == "latest" => Some(bytes.to_vec()),
        _ => None,
    };
    let values: Vec<_> = said.iter().filter_map(published).collect();
    assert_eq!(values, [b"1", b"2", b"3"].map(|one| one.to_vec()));
    assert_eq!(second.count(), said.len(), "everyone who listens hears all");
    // And after.
    assert_eq!(task.get().unwrap(), 3);
    let usage = task.info().unwrap().usage;
    let logs = usage.logs.unwrap();
    assert_eq!(
        (logs.stdout.kept, logs.stderr.kept),
        (out.into_bytes(), err.into_bytes())
    );
    let notes = usage.notes.unwrap();
    assert_eq!(notes.log.len(), 3);
    assert_eq!(&*notes.published[0].bytes, b"3");
    assert!(matches!(
        notes.progress,
        Some(Progress {
            done: 3,
            total: Some(3),
            ..
        })
    ));
    assert!(task.notes().next().is_none(), "there is nothing more");
}

#[test]
fn no_output_comes_twice_and_each_has_its_task() {
    let cluster = cluster(2);
    let tell = module("hosted").function::<u64, u64>("tell").unwrap();
    let view = cluster.load_balanced_view();
    let busy = occupy(&cluster);
    let mut map = view.map(&tell, [2; 30]).unwrap();
    let live = map.notes();
    busy.iter().for_each(Task::abort);
    assert_eq!(map.by_ref().filter_map(Result::ok).sum::<u64>(), 60);
    drop(map);
    let mut lines = vec![0; 30];
    for note in live {
        if let LiveNote::Said {
            index,
            note: TaskNote::Log { .. },
        } = note
        {
            lines[usize::try_from(index).unwrap()] += 1;
        }
    }
    assert_eq!(lines, [2; 30]);
}

#[test]
fn the_same_is_true_of_runs() {
    let cluster = cluster(2);
    let text = "word\n".repeat(3000);
    let run = || {
        let inputs = vec![Input::bytes("text", text.clone())];
        cluster
            .run(&module("wordcount"), inputs, &one_line_each(Merge::None))
            .unwrap()
    };
    let mut job = run();
    let mut taken = 0;
    while let Some(_outcome) = pollster::block_on(std::future::poll_fn(|context| {
        Pin::new(&mut job).poll_next(context)
    })) {
        taken += 1;
    }
    assert_eq!(taken, 3000);
    assert!(pollster::block_on(&mut job).is_ok());
    let again = pollster::block_on(&mut job);
    assert!(matches!(again, Err(rwasm_cluster::JobError::Taken(_))));
    assert!(
        run().wait().is_ok(),
        "outcomes that nobody takes do not hold it up then"
    );
    run().detach();
}

/// Counts how often it was woken.
struct Counting(std::sync::atomic::AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn wakers_may_be_replaced_and_threads_changed_between_polls() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let mut task = running(&view, &f.spin);
    let first = Arc::new(Counting(0.into()));
    let waker = Waker::from(Arc::clone(&first));
    assert!(
        Pin::new(&mut task)
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(waker);
    for _ in 0..1000 {
        let waker = Waker::from(Arc::new(Counting(0.into())));
        assert!(
            Pin::new(&mut task)
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    assert_eq!(
        Arc::strong_count(&first),
        1,
        "a waker that was replaced is let go"
    );
    let last = Arc::new(Counting(0.into()));
    let waker = Waker::from(Arc::clone(&last));
    task = std::thread::spawn(move || {
        assert!(
            Pin::new(&mut task)
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        task
    })
    .join()
    .unwrap();
    cluster.shutdown(Duration::ZERO);
    until("the last is woken", || {
        last.0.load(std::sync::atomic::Ordering::SeqCst) > 0
    });
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut task).poll(&mut context).is_ready());
    assert!(
        Pin::new(&mut task).poll(&mut context).is_ready(),
        "and again"
    );
}

#[test]
fn a_map_is_polled_from_threads_in_turn() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view().dispatch_size(1);
    let mut map = view.map(&f.add_one, 0..40).unwrap();
    for n in 1..=40 {
        let mut context = Context::from_waker(Waker::noop());
        let item = match Pin::new(&mut map).poll_next(&mut context) {
            Poll::Ready(item) => item,
            Poll::Pending => {
                let (back, item) = soon("it comes", move || {
                    let item = map.next();
                    (map, item)
                });
                map = back;
                item
            }
        };
        assert_eq!(item.unwrap().unwrap(), n);
    }
    assert!(map.next().is_none());
}

#[test]
fn everything_goes_within_a_tokio_runtime_and_without() {
    let cluster = Arc::new(cluster(2));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let inner = Arc::clone(&cluster);
    runtime.block_on(async move {
        let f = numbers();
        let view = inner.load_balanced_view();
        assert_eq!(view.apply(&f.add_one, 1).await.unwrap(), 2);
        let task = view.submit(&f.add_one, 1).await.unwrap();
        assert_eq!(tokio::spawn(task).await.unwrap().unwrap(), 2);
        let map = view.map(&f.add_one, 0..100).unwrap();
        assert_eq!(tokio::spawn(map).await.unwrap().unwrap().len(), 100);
        // The blocking twins do not mind.
        assert_eq!(view.clone().blocking().apply(&f.add_one, 1).unwrap(), 2);
        let task = view.try_submit(&f.add_one, 5).unwrap();
        assert_eq!(task.get().unwrap(), 6);
        assert!(view.map(&f.add_one, 0..100).unwrap().get().is_ok());
        assert_eq!(view.map(&f.add_one, 0..10).unwrap().count(), 10);
        let direct = inner.blocking().direct_view(Targets::All).unwrap();
        assert_eq!(direct.apply(&f.add_one, 1).unwrap(), [2, 2]);
        let mut stream = pin!(view.map_stream(&f.add_one, OneByOne(3)).unwrap());
        let mut sum = 0;
        while let Some(item) =
            std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await
        {
            sum += item.unwrap();
        }
        assert_eq!(sum, 1 + 2 + 3);
        inner.shutdown(Duration::ZERO);
    });
    drop(runtime);
    drop(cluster);
}

struct OneByOne(u64);

impl Stream for OneByOne {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u64>> {
        Poll::Ready(self.0.checked_sub(1).inspect(|left| self.0 = *left))
    }
}

#[test]
fn handles_and_futures_are_send() {
    fn is_send<T: Send>(_: &T) {}
    fn are_send<T: Send + 'static>() {}
    fn are_sync<T: Sync>() {}
    are_send::<Task<u64>>();
    are_send::<Tasks<u64>>();
    are_send::<Map<u64>>();
    are_send::<Job>();
    are_send::<rwasm_cluster::AsCompleted<u64>>();
    are_send::<rwasm_cluster::ClusterEvents>();
    are_send::<rwasm_cluster::LiveNotes>();
    are_send::<rwasm_cluster::SubmitError>();
    are_sync::<Cluster>();
    are_sync::<rwasm_cluster::LoadBalancedView>();
    are_sync::<rwasm_cluster::DirectView>();
    are_sync::<Task<u64>>();
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view();
    is_send(&view.submit(&f.add_one, 1));
    is_send(&view.apply(&f.add_one, 1));
    let direct = cluster.direct_view(0).unwrap();
    is_send(&direct.submit(&f.add_one, 1));
    is_send(&direct.apply(&f.add_one, 1));
}

#[test]
fn a_map_is_waited_for_no_longer_than_is_said() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let mut endless = view.map(&f.spin, [(), ()]).unwrap();
    let moment = Duration::from_millis(1);
    assert!(matches!(
        endless.next_timeout(moment),
        Err(TaskError::NotReady(_))
    ));
    assert!(!endless.wait_timeout(moment));
    assert!(endless.get_timeout(Duration::ZERO).is_none());
    drop(endless);

    // As they end, and yet in order where all are asked for.
    let mut map = view.clone().unordered().map(&f.nap, [30, 1, 20]).unwrap();
    assert!(map.wait_timeout(SOON));
    assert_eq!(map.get_timeout(SOON).unwrap().unwrap(), [30, 1, 20]);
    let map = view.unordered().map(&f.nap, [30, 1, 20]).unwrap();
    assert_eq!(map.get().unwrap(), [30, 1, 20]);

    let tasks = cluster.direct_view(rwasm_cluster::Targets::All).unwrap();
    let tasks = tasks.try_submit(&f.spin, ()).unwrap();
    assert!(tasks.get_timeout(moment).is_none());
    tasks.abort();
    assert!(tasks.get_timeout(SOON).unwrap().is_err());
}
