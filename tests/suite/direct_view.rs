//! The direct view: calls on engines that are named, and values that are pushed to them.

use crate::support::{
    SOON, cluster, code, is_alone, is_over_nats, memory, module, numbers, only_here,
    only_in_threads, until,
};
use rwasm_cluster::{
    ByteSize, Callable, Cluster, Distribution, EngineId, FailureCode, Limits, PushError, Reference,
    Reuse, SubmitError, TargetError, Targets, Value, arguments,
};

fn where_am_i() -> Callable<(), (u32, u32)> {
    module("hosted")
        .function("where-am-i")
        .expect("it goes well")
}

/// The engines that a call runs on.
fn engines(cluster: &Cluster, targets: impl Into<Targets>) -> Vec<u32> {
    let view = cluster
        .direct_view(targets)
        .expect("it goes well")
        .blocking();
    let places = view.apply(&where_am_i(), ()).expect("it goes well");
    let count = u32::try_from(cluster.engines().len()).expect("it goes well");
    assert!(places.iter().all(|(_, engines)| *engines == count));
    places.into_iter().map(|(engine, _)| engine).collect()
}

#[test]
fn targets_of_every_kind() {
    let cluster = cluster(5);
    cluster.remove_engine(EngineId(1)).unwrap();
    assert_eq!(engines(&cluster, Targets::All), [0, 2, 3, 4]);
    assert_eq!(engines(&cluster, 2), [2]);
    assert_eq!(engines(&cluster, -1), [4]);
    assert_eq!(engines(&cluster, [-1, 0]), [4, 0]);
    assert_eq!(engines(&cluster, 2..4), [2, 3]);
    assert_eq!(engines(&cluster, 2..=4), [2, 3, 4]);
    assert_eq!(engines(&cluster, -2..=-1), [3, 4]);
    assert_eq!(
        engines(&cluster, "0,2..3".parse::<Targets>().unwrap()),
        [0, 2, 3]
    );
    assert_eq!(engines(&cluster, EngineId(3)), [3]);
    assert_eq!(engines(&cluster, vec![EngineId(3), EngineId(0)]), [3, 0]);
    let refused = |targets: Targets| cluster.direct_view(targets).err().unwrap();
    assert!(matches!(
        refused(1.into()),
        TargetError::Unknown { engine: 1, .. }
    ));
    assert!(matches!(
        refused((-5).into()),
        TargetError::Unknown { engine: -5, .. }
    ));
    assert!(matches!(
        refused((0..9).into()),
        TargetError::Unknown { .. }
    ));
    assert_eq!(refused((3..3).into()), TargetError::Empty);
    assert_eq!(refused(Targets::Only(vec![])), TargetError::Empty);
    assert_eq!(refused([4, -1].into()), TargetError::Twice(EngineId(4)));
    assert!(matches!(
        refused(i64::MAX.into()),
        TargetError::Unknown { .. }
    ));
    assert!(matches!(
        refused(i64::MIN.into()),
        TargetError::Unknown { .. }
    ));
    assert!(matches!(
        refused((0..i64::MAX).into()),
        TargetError::Unknown { .. }
    ));
}

#[test]
fn all_grows_with_the_cluster_and_a_frozen_view_does_not() {
    let cluster = cluster(2);
    let all = cluster.direct_view(Targets::All).unwrap();
    let frozen = all.clone().frozen().unwrap();
    let last = cluster.direct_view(-1).unwrap();
    cluster.add_engines(1).unwrap();
    assert_eq!(all.engines().unwrap(), [0, 1, 2].map(EngineId));
    assert_eq!(frozen.engines().unwrap(), [0, 1].map(EngineId));
    assert_eq!(
        last.engines().unwrap(),
        [EngineId(1)],
        "the last when it was made"
    );
    cluster.remove_engine(EngineId(1)).unwrap();
    assert_eq!(all.engines().unwrap(), [0, 2].map(EngineId));
    assert!(matches!(
        frozen.engines(),
        Err(TargetError::Unknown { engine: 1, .. })
    ));
    let f = numbers();
    assert!(matches!(
        frozen.try_submit(&f.add_one, 1),
        Err(SubmitError::Targets(TargetError::Unknown { .. }))
    ));
    assert!(frozen.push("a", 1_u64).is_err());
    assert_eq!(
        all.pull("a").err().map(|error| error.to_string()),
        Some("engine 0 has no pushed value `a`: it has nothing".to_owned())
    );
}

#[test]
fn a_map_gives_each_engine_a_contiguous_block() {
    let cluster = cluster(4);
    let f = numbers();
    for targets in [vec![0, 1, 2, 3], vec![2, 0], vec![1]] {
        let ids: Vec<EngineId> = targets.iter().copied().map(EngineId).collect();
        let view = cluster.direct_view(ids.clone()).unwrap().keep_records();
        for count in [0, 1, 3, 10, 500] {
            let mut map = view.map(&f.add_one, 0..count).unwrap();
            assert!(map.by_ref().map(Result::unwrap).eq(1..=count));
            let mut records: Vec<_> = map
                .result()
                .unwrap()
                .records
                .iter()
                .map(|record| (record.origin.index, record.usage.engine.unwrap()))
                .collect();
            records.sort_unstable();
            let order: Vec<usize> = records
                .iter()
                .map(|(_, engine)| ids.iter().position(|id| id == engine).unwrap())
                .collect();
            assert!(order.is_sorted(), "{count} over {targets:?}: {order:?}");
            if count >= ids.len() as u64 {
                let of = |at| order.iter().filter(|place| **place == at).count();
                let sizes: Vec<usize> = (0..ids.len()).map(of).collect();
                let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
                assert!(most - least <= 1, "{sizes:?}");
            }
        }
    }
}

#[test]
fn what_is_pushed_is_pulled() {
    let cluster = cluster(3);
    let all = cluster.direct_view(Targets::All).unwrap();
    let one = cluster.direct_view(1).unwrap();
    all.push("a", 1_u64).unwrap();
    one.push("a", "text").unwrap();
    one.push("", Value::List(vec![])).unwrap();
    let pulled = all.pull("a").unwrap();
    assert_eq!(pulled, [Value::U64(1), Value::from("text"), Value::U64(1)]);
    let names: Vec<usize> = all.names().unwrap().iter().map(Vec::len).collect();
    assert_eq!(names, [1, 2, 1]);
    assert_eq!(
        all.pull("").unwrap_err(),
        PushError::NoSuchName {
            engine: EngineId(0),
            name: String::new(),
            present: vec!["a".into()],
        }
    );
    one.clear().unwrap();
    assert!(one.pull("a").is_err() && all.pull("a").is_err());
    assert_eq!(
        cluster.direct_view([0, 2]).unwrap().pull("a").unwrap(),
        [Value::U64(1), Value::U64(1)]
    );
    all.broadcast("b", Value::List(vec![1_u64.into(), 2_u64.into()]))
        .unwrap();
    assert_eq!(all.pull("b").unwrap().len(), 3);
    all.clear().unwrap();
    assert!(all.names().unwrap().iter().all(Vec::is_empty));
}

#[test]
fn a_sequence_is_scattered_and_gathered() {
    let cluster = cluster(3);
    let total = module("numbers")
        .function::<Reference, u64>("total")
        .unwrap();
    let view = cluster.direct_view(Targets::All).unwrap();
    for distribution in [Distribution::Block, Distribution::RoundRobin] {
        let view = view.clone().distribution(distribution);
        for count in [0_u64, 1, 2, 3, 8, 100] {
            view.scatter("numbers", 0..count).unwrap();
            let gathered = view.gather("numbers").unwrap();
            assert!(gathered.iter().cloned().eq((0..count).map(Value::from)));
            let sums = view
                .clone()
                .blocking()
                .apply(&total, Reference::new("numbers"))
                .unwrap();
            assert_eq!(sums.len(), 3);
            assert_eq!(sums.iter().sum::<u64>(), (0..count).sum::<u64>());
        }
    }
    view.scatter("numbers", 0..7_u64).unwrap();
    let list = |items: &[u64]| Value::List(items.iter().copied().map(Value::from).collect());
    assert_eq!(
        view.pull("numbers").unwrap(),
        [list(&[0, 1, 2]), list(&[3, 4]), list(&[5, 6])]
    );
    view.clone()
        .distribution(Distribution::RoundRobin)
        .scatter("numbers", 0..7_u64)
        .unwrap();
    assert_eq!(
        view.pull("numbers").unwrap(),
        [list(&[0, 3, 6]), list(&[1, 4]), list(&[2, 5])]
    );
    view.push("numbers", 7_u64).unwrap();
    assert!(matches!(
        view.gather("numbers"),
        Err(PushError::NotASequence { .. })
    ));
    assert!(matches!(
        view.gather("nothing"),
        Err(PushError::NoSuchName { .. })
    ));
}

#[test]
fn references_stand_for_what_each_engine_has() {
    let cluster = cluster(3);
    let f = module("numbers");
    let add = f.function::<(Reference, u64), u64>("add").unwrap();
    let dynamic = f.dynamic_function("add").unwrap();
    let view = cluster.direct_view(Targets::All).unwrap();
    for engine in 0..3_u64 {
        let one = cluster.direct_view(i64::try_from(engine).unwrap()).unwrap();
        one.push("n", engine * 10).unwrap();
    }
    let of = |name: &'static str| (Reference::new(name), 1);
    let blocking = view.clone().blocking();
    assert_eq!(blocking.apply(&add, of("n")).unwrap(), [1, 11, 21]);
    let values = blocking
        .apply(&dynamic, arguments![5_u64, Reference::new("n")])
        .unwrap();
    assert_eq!(values, [5_u64, 15, 25].map(Value::from));
    let map = view
        .map(&add, (0..6).map(|n| (Reference::new("n"), n)))
        .unwrap();
    assert_eq!(map.get().unwrap(), [0, 1, 12, 13, 24, 25]);
    // What a call takes along is what there was when it was made.
    let busy = crate::support::occupy(&cluster);
    let early = view.try_submit(&add, of("n")).unwrap();
    view.push("n", 1000_u64).unwrap();
    drop(busy);
    assert_eq!(early.get().unwrap(), [1, 11, 21]);
    assert_eq!(blocking.apply(&add, of("n")).unwrap(), [1001; 3]);
    // A replaced engine has what the one before had.
    cluster.restart_engine(EngineId(1)).unwrap();
    assert_eq!(blocking.apply(&add, of("n")).unwrap(), [1001; 3]);
    // Missing, and of the wrong type.
    let task = view.try_submit(&add, of("missing")).unwrap();
    for outcome in task.outcomes() {
        let text = outcome.as_ref().unwrap_err().to_string();
        assert!(text.contains("no pushed value `missing`"), "{text}");
        assert_eq!(code(outcome), FailureCode::BadInput);
    }
    view.push("n", "text").unwrap();
    let error = blocking.apply(&add, of("n")).unwrap_err().to_string();
    assert!(
        error.contains("does not fit: ") && error.contains("expected u64"),
        "{error}"
    );
    // The balanced view reads the values of the engine it comes to.
    view.push("n", 7_u64).unwrap();
    let balanced = cluster.load_balanced_view().blocking();
    assert_eq!(balanced.apply(&add, of("n")).unwrap(), 8);
}

#[test]
fn guests_read_what_is_pushed() {
    let cluster = cluster(2);
    let hosted = module("hosted");
    let read = hosted
        .function::<&'static str, Option<Vec<u8>>>("read-pushed")
        .unwrap();
    let view = cluster.direct_view(Targets::All).unwrap();
    cluster.direct_view(0).unwrap().push("a", "text").unwrap();
    cluster
        .direct_view(1)
        .unwrap()
        .push("a", Value::List(vec![1_u64.into(), 2_u64.into()]))
        .unwrap();
    let values = view.clone().blocking().apply(&read, "a").unwrap();
    assert_eq!(values, [Some(b"text".to_vec()), Some(b"[1,2]".to_vec())]);
    assert_eq!(view.blocking().apply(&read, "b").unwrap(), [None, None]);
}

#[test]
fn state_lives_between_the_calls_of_one_view() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster
        .direct_view(Targets::All)
        .unwrap()
        .reuse(Reuse::Engine);
    let other = view.clone().reuse(Reuse::Engine);
    let count =
        |view: &rwasm_cluster::DirectView| view.clone().blocking().apply(&f.count_up, ()).unwrap();
    for n in 1..5 {
        assert_eq!(count(&view), [n, n]);
    }
    assert_eq!(
        count(&other),
        [1, 1],
        "another owner has instances of its own"
    );
    assert_eq!(count(&view.clone()), [5, 5], "a clone has the same");
    assert_eq!(count(&cluster.direct_view(0).unwrap()), [1]);
    // A trap loses it, and says so.
    let failed = view.try_submit(&f.fail, "trap").unwrap();
    failed.wait();
    assert!(
        failed
            .info()
            .iter()
            .all(|info| info.as_ref().unwrap().usage.state_lost)
    );
    let task = view.try_submit(&f.count_up, ()).unwrap();
    assert_eq!(task.get().unwrap(), [1, 1]);
    // So do a timeout and an abort, of the engine alone.
    let spin = cluster.direct_view(0).unwrap();
    drop(spin);
    let slow = view.clone().timeout(std::time::Duration::from_millis(20));
    assert_eq!(count(&view), [2, 2]);
    let timed_out = slow.try_submit(&f.spin, ()).unwrap();
    timed_out.wait();
    assert!(
        timed_out
            .info()
            .iter()
            .all(|info| info.as_ref().unwrap().usage.state_lost)
    );
    assert_eq!(count(&view), [1, 1]);
    assert_eq!(count(&view), [2, 2]);
    assert!(
        !view
            .try_submit(&f.count_up, ())
            .unwrap()
            .into_iter()
            .any(|task| {
                task.wait();
                task.info().unwrap().usage.state_lost
            })
    );
}

#[test]
fn a_restart_loses_the_state_and_tells_of_it() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.direct_view(0).unwrap().reuse(Reuse::Engine);
    for n in 1..4 {
        assert_eq!(view.clone().blocking().apply(&f.count_up, ()).unwrap(), [n]);
    }
    cluster.restart_engine(EngineId(0)).unwrap();
    let counted = || {
        let task = view.try_submit(&f.count_up, ()).unwrap();
        let value = task.get().unwrap();
        (value[0], task.info()[0].as_ref().unwrap().usage.state_lost)
    };
    assert_eq!(counted(), (1, true), "it begins anew and says so");
    assert_eq!(counted(), (2, false), "once");
    // So does the call after one that was aborted.
    let spin = view.try_submit(&f.spin, ()).unwrap();
    until("it runs", || spin.task(0).unwrap().is_running());
    spin.abort();
    assert_eq!(counted(), (1, true));
    // An engine keeps few instances: other views' push this one's out. That a view has gone is not told to engines elsewhere.
    if !is_over_nats() {
        for _ in 0..4 {
            let other = view.clone().reuse(Reuse::Engine).blocking();
            assert_eq!(other.apply(&f.count_up, ()).unwrap(), [1]);
            assert_eq!(other.apply(&f.count_up, ()).unwrap(), [2]);
        }
        assert_eq!(counted(), (2, false), "those that are gone take no room");
    }
    let others: Vec<_> = (0..4).map(|_| view.clone().reuse(Reuse::Engine)).collect();
    for other in &others {
        assert_eq!(
            other.clone().blocking().apply(&f.count_up, ()).unwrap(),
            [1]
        );
    }
    assert_eq!(counted(), (1, true));
}

#[test]
fn a_pushed_buffer_is_held_once() {
    const BUFFER: usize = 64 << 20;
    const MIB: u64 = 1 << 20;
    if only_in_threads("workers have copies of their own") {
        return;
    }
    if only_here("the engines' memory is not this process's") {
        return;
    }
    if !is_alone("direct_view::a_pushed_buffer_is_held_once") {
        return;
    }
    let mut limits = Limits::default();
    limits.input = ByteSize::mib(65);
    let cluster = cluster(8);
    let view = cluster.direct_view(Targets::All).unwrap();
    let f = numbers();
    view.clone().blocking().apply(&f.add_one, 1).unwrap();
    let before = memory("VmHWM");
    view.push("buffer", vec![7_u8; BUFFER]).unwrap();
    let after = memory("VmHWM");
    assert!(
        after - before < 2 * BUFFER as u64,
        "{} MiB",
        (after - before) / MIB
    );
    // Named in a call it is packed once, and copied into the guest that runs alone.
    let length = module("numbers")
        .function::<Reference, u64>("length")
        .unwrap();
    for engine in 0..8 {
        let one = cluster
            .direct_view(engine)
            .unwrap()
            .limits(limits.clone())
            .blocking();
        assert_eq!(
            one.apply(&length, Reference::new("buffer")).unwrap(),
            [BUFFER as u64]
        );
    }
    let peak = memory("VmHWM") - before;
    assert!(peak < 4 * BUFFER as u64, "{} MiB", peak / MIB);
}

#[test]
fn one_engine_that_fails_does_not_hide_the_others() {
    let cluster = cluster(3);
    let f = module("numbers")
        .function::<(i64, Reference), i64>("divide")
        .unwrap();
    let view = cluster.direct_view(Targets::All).unwrap();
    for (engine, by) in [(0, 1_i64), (1, 0), (2, 5)] {
        cluster.direct_view(engine).unwrap().push("by", by).unwrap();
    }
    let tasks = view.try_submit(&f, (10, Reference::new("by"))).unwrap();
    assert!(tasks.wait_timeout(SOON));
    assert_eq!(tasks.is_successful(), Some(false));
    let error = tasks.get().unwrap_err();
    assert_eq!((error.tasks, error.failed, error.first[0].0), (3, 1, 1));
    let outcomes: Vec<_> = tasks.outcomes().into_iter().map(Result::ok).collect();
    assert_eq!(outcomes, [Some(10), None, Some(2)]);
    let targets: Vec<_> = tasks.iter().map(|task| task.target().unwrap().0).collect();
    assert_eq!(targets, [0, 1, 2]);
}
