//! The bounded queue: how much may be submitted and not yet done.

use crate::support::{SOON, module, numbers, occupy, soon};
use rwasm_cluster::{ByteSize, Cluster, QueueLimits, SubmitError, Task};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn bounded(tasks: u32, bytes: ByteSize) -> Cluster {
    let mut limits = QueueLimits::default();
    limits.tasks = tasks;
    limits.bytes = bytes;
    Cluster::builder()
        .engines(1)
        .queue(limits)
        .start()
        .expect("it goes well")
}

#[test]
fn a_full_queue_refuses_and_has_room_again() {
    let cluster = bounded(3, ByteSize::mib(1));
    let f = numbers();
    let view = cluster.load_balanced_view();
    let mut busy = occupy(&cluster);
    let waiting: Vec<_> = (0..2)
        .map(|n| view.try_submit(&f.add_one, n).unwrap())
        .collect();
    for view in [
        view.clone(),
        view.clone().retries(1),
        view.clone().priority(9),
    ] {
        let refused = view.try_submit(&f.add_one, 9).err().unwrap();
        assert!(matches!(refused, SubmitError::QueueFull(limits) if limits.tasks == 3));
        assert_eq!(
            refused.to_string(),
            "the queue is full: it holds at most 3 calls and 1MiB of arguments"
        );
    }
    drop(busy.pop());
    // Whatever ends, however it ends, makes room at once.
    let more = view.try_submit(&f.fail, "trap").unwrap();
    for task in &waiting {
        task.get_timeout(SOON).unwrap();
    }
    assert!(more.get_timeout(SOON).is_err());
    let again: Vec<_> = (0..3)
        .map(|n| view.try_submit(&f.add_one, n).unwrap())
        .collect();
    assert!(again.iter().all(|task| task.get_timeout(SOON).is_ok()));
}

#[test]
fn the_bytes_of_arguments_count() {
    let cluster = bounded(100, ByteSize::kib(64));
    let f = numbers();
    let view = cluster.load_balanced_view();
    let busy = occupy(&cluster);
    let data: &'static [u8] = vec![7; 40 << 10].leak();
    let first = view.try_submit(&f.length, data).unwrap();
    assert!(matches!(
        view.try_submit(&f.length, data),
        Err(SubmitError::QueueFull(_))
    ));
    let small = view.try_submit(&f.length, &data[..10]).unwrap();
    let huge: &'static [u8] = vec![7; 65 << 10].leak();
    let refused = view.try_submit(&f.length, huge).err().unwrap();
    assert!(matches!(refused, SubmitError::TooLarge { .. }), "{refused}");
    let refused = pollster::block_on(view.submit(&f.length, huge))
        .err()
        .unwrap();
    assert!(matches!(refused, SubmitError::TooLarge { .. }), "{refused}");
    first.abort();
    let second = view.try_submit(&f.length, data).unwrap();
    drop(busy);
    assert_eq!(second.get_timeout(SOON).unwrap(), 40 << 10);
    assert_eq!(small.get_timeout(SOON).unwrap(), 10);
}

#[test]
fn submit_waits_for_room() {
    let cluster = bounded(2, ByteSize::mib(1));
    let f = numbers();
    let view = cluster.load_balanced_view();
    let busy = occupy(&cluster);
    let waits = view.try_submit(&f.add_one, 1).unwrap();
    {
        let mut context = Context::from_waker(Waker::noop());
        let mut submit = pin!(view.submit(&f.add_one, 2));
        assert!(submit.as_mut().poll(&mut context).is_pending());
        // One that is given up keeps no room.
        let mut other = Box::pin(view.submit(&f.add_one, 3));
        assert!(other.as_mut().poll(&mut context).is_pending());
        drop(other);
        waits.abort();
        let Poll::Ready(task) = submit.as_mut().poll(&mut context) else {
            panic!("there is room");
        };
        drop(busy);
        assert_eq!(task.unwrap().get_timeout(SOON).unwrap(), 3);
    }
    let tasks: Vec<Task<u64>> = (0..500)
        .map(|n| view.clone().blocking().submit(&f.add_one, n).unwrap())
        .collect();
    assert!(
        tasks
            .iter()
            .zip(1..)
            .all(|(task, n)| task.get().unwrap() == n)
    );
}

#[test]
fn who_waits_for_room_hears_of_the_end() {
    let cluster = bounded(1, ByteSize::mib(1));
    let f = numbers();
    let view = cluster.load_balanced_view();
    let busy = occupy(&cluster);
    let waits = std::thread::spawn(move || {
        pollster::block_on(view.submit(&f.add_one, 1))
            .err()
            .map(|error| error.to_string())
    });
    cluster.shutdown(std::time::Duration::ZERO);
    let reason = soon("who waits is told", move || waits.join().unwrap());
    assert_eq!(reason.as_deref(), Some("the cluster was shut down"));
    drop(busy);
}

#[test]
fn direct_calls_get_room_for_all_engines_or_for_none() {
    let mut limits = QueueLimits::default();
    limits.tasks = 5;
    let cluster = Cluster::builder().engines(3).queue(limits).start().unwrap();
    let f = numbers();
    let view = cluster.direct_view(rwasm_cluster::Targets::All).unwrap();
    let busy = occupy(&cluster);
    assert!(matches!(
        view.try_submit(&f.add_one, 1),
        Err(SubmitError::QueueFull(_))
    ));
    let one = cluster.load_balanced_view();
    let rest: Vec<_> = (0..2)
        .map(|n| one.try_submit(&f.add_one, n).unwrap())
        .collect();
    assert!(one.try_submit(&f.add_one, 1).is_err());
    drop((busy, rest));
    assert_eq!(
        view.try_submit(&f.add_one, 1).unwrap().get().unwrap(),
        [2; 3]
    );
    // More engines than there is room: one after the other.
    let cluster = {
        let mut limits = QueueLimits::default();
        limits.tasks = 1;
        Cluster::builder().engines(3).queue(limits).start().unwrap()
    };
    let view = cluster
        .direct_view(rwasm_cluster::Targets::All)
        .unwrap()
        .blocking();
    let add_one = module("numbers").function::<u64, u64>("add-one").unwrap();
    assert_eq!(
        soon("it ends", move || view.apply(&add_one, 4).unwrap()),
        [5; 3]
    );
}

#[test]
fn a_queue_of_nothing_has_room_for_one() {
    let cluster = bounded(0, ByteSize::new(0));
    let f = numbers();
    let view = cluster.load_balanced_view();
    let spin = view.try_submit(&f.spin, ()).unwrap();
    assert!(matches!(
        view.try_submit(&f.spin, ()),
        Err(SubmitError::QueueFull(_))
    ));
    assert!(matches!(
        view.try_submit(&f.add_one, 1),
        Err(SubmitError::TooLarge { .. })
    ));
    drop(spin);
}
