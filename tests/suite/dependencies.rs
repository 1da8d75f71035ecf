//! Calls and jobs that wait for others: `after` and `follow`.

use crate::support::{
    LONG, SOON, cluster, code, finish, module, numbers, occupy, one_line_each, running, soon, spec,
    until,
};
use rwasm_cluster::{
    Dependency, DependencyError, EngineId, FailureCode, Input, JobError, JobId, Merge, SubmitError,
    Task, Tasks,
};

#[test]
fn after_waits_for_what_it_names() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let spin = running(&view, &f.spin);
    let nap = view.try_submit(&f.nap, 20).unwrap();
    let after = view.clone().after(&nap).try_submit(&f.add_one, 1).unwrap();
    assert_eq!(after.get_timeout(SOON).unwrap(), 2);
    assert!(nap.is_ready());
    let info = (nap.info().unwrap(), after.info().unwrap());
    assert!(info.0.usage.finished() <= info.1.usage.started + std::time::Duration::from_millis(1));
    drop(spin);
}

#[test]
fn all_and_any_on_success_and_on_failure() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let good = view.try_submit(&f.add_one, 1).unwrap();
    let bad = view.try_submit(&f.fail, "trap").unwrap();
    let ids = || [good.id(), bad.id()];
    let (all, any) = (|| Dependency::all(ids()), || Dependency::any(ids()));
    let cases = [
        ("all on success", all(), false),
        (
            "all on failure",
            all().on_success(false).on_failure(true),
            false,
        ),
        ("all on either", all().on_failure(true), true),
        ("any on success", any(), true),
        (
            "any on failure",
            any().on_success(false).on_failure(true),
            true,
        ),
        ("any on either", any().on_failure(true), true),
        ("good", Dependency::from(&good), true),
        ("bad", Dependency::from(&bad), false),
        ("all of none", Dependency::all([]), true),
    ];
    // Before they have ended, and after.
    for _ in 0..2 {
        for (name, dependency, is_met) in &cases {
            for follow in [false, true] {
                if follow && *name == "all on either" {
                    // They may have run on two engines, and no engine is both.
                    continue;
                }
                let view = view.clone();
                let view = if follow {
                    view.follow(dependency.clone())
                } else {
                    view.after(dependency.clone())
                };
                let task = view.try_submit(&f.add_one, 1).unwrap();
                let result = task.get_timeout(SOON);
                if *is_met {
                    assert_eq!(result.unwrap(), 2, "{name}, follow: {follow}");
                } else {
                    assert_eq!(code(result), FailureCode::DependencyFailed, "{name}");
                }
            }
        }
        good.wait();
        bad.wait();
    }
}

#[test]
fn what_can_never_be_met_is_refused() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let done = view.try_submit(&f.add_one, 1).unwrap();
    let refused = |dependency: Dependency| match view
        .clone()
        .after(dependency.clone())
        .try_submit(&f.add_one, 1)
    {
        Err(SubmitError::Dependency(error)) => {
            let map = view.clone().after(dependency).map(&f.add_one, 0..3);
            assert!(matches!(map, Err(SubmitError::Dependency(_))));
            error
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it should be refused"),
    };
    let unknown = JobId(1_000_000);
    assert_eq!(refused(unknown.into()), DependencyError::Unknown(unknown));
    assert_eq!(
        refused(Dependency::any([done.id(), unknown])),
        DependencyError::Unknown(unknown)
    );
    assert_eq!(refused(Dependency::any([])), DependencyError::Empty);
    let never = Dependency::from(&done).on_success(false);
    assert_eq!(refused(never), DependencyError::NeverMet);
    // The name that the next call will have.
    let own = JobId(view.try_submit(&f.add_one, 1).unwrap().id().0 + 1);
    let error = view
        .clone()
        .after(own)
        .try_submit(&f.add_one, 1)
        .err()
        .unwrap();
    assert!(
        matches!(
            error,
            SubmitError::Dependency(DependencyError::Itself(job)) if job == own
        ),
        "{error}"
    );
    // What is purged is not known any more.
    let gone = view.try_submit(&f.add_one, 1).unwrap();
    gone.wait();
    let id = gone.id();
    drop(gone);
    // The engine that ran it may have it in hand for a moment more.
    until("it is not known", || {
        view.clone().after(id).try_submit(&f.add_one, 1).is_err()
    });
    assert_eq!(refused(id.into()), DependencyError::Unknown(id));
}

#[test]
fn impossible_ones_fail_at_once_though_every_engine_is_busy() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let bad = view.try_submit(&f.fail, "trap").unwrap();
    bad.wait();
    let busy = occupy(&cluster);
    let waits = view.try_submit(&f.add_one, 1).unwrap();
    let chain: Vec<Task<u64>> = (0..5).fold(Vec::new(), |mut chain, _| {
        let before = chain
            .last()
            .map_or(Dependency::from(&waits), Dependency::from);
        chain.push(
            view.clone()
                .after(before)
                .try_submit(&f.add_one, 1)
                .unwrap(),
        );
        chain
    });
    let late = view.clone().after(&bad).try_submit(&f.add_one, 1).unwrap();
    assert_eq!(code(late.get_timeout(SOON)), FailureCode::DependencyFailed);
    let info = late.info().unwrap();
    assert!(
        info.attempts.is_empty() && info.usage.engine.is_none(),
        "it never ran"
    );
    let map = view.clone().after(&bad).map(&f.add_one, 0_u64..).unwrap();
    let outcomes = soon("the map ends", move || map.outcomes());
    assert_eq!(outcomes.len(), 1);
    let text = outcomes[0].as_ref().unwrap_err().to_string();
    assert!(text.starts_with("the job did not start"), "{text}");
    // What is given up takes all that wait for it along.
    waits.abort();
    for task in &chain {
        assert_eq!(code(task.get_timeout(SOON)), FailureCode::DependencyFailed);
    }
    assert!(busy.iter().all(|task| !task.is_ready()));
}

#[test]
fn what_waits_can_be_given_up_or_dropped() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let spin = running(&view, &f.spin);
    let waits = view.clone().after(&spin).try_submit(&f.add_one, 1).unwrap();
    let map = view.clone().after(&spin).map(&f.add_one, 0_u64..).unwrap();
    let second = view.clone().after(&map).try_submit(&f.add_one, 1).unwrap();
    waits.abort();
    assert_eq!(code(waits.get()), FailureCode::Cancelled);
    drop(map);
    assert_eq!(
        code(second.get_timeout(SOON)),
        FailureCode::DependencyFailed
    );
    let on_failure = Dependency::from(&spin).on_failure(true);
    let dropped = view.clone().after(&spin).try_submit(&f.add_one, 1).unwrap();
    let cleanup = view
        .clone()
        .after(on_failure)
        .try_submit(&f.add_one, 1)
        .unwrap();
    drop(dropped);
    drop(spin);
    assert_eq!(cleanup.get_timeout(SOON).unwrap(), 2);
}

#[test]
fn a_diamond_runs_in_order() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    for round in 0..20 {
        let top = view.try_submit(&f.nap, round % 3).unwrap();
        let sides = view.clone().after(&top);
        let left = sides.try_submit(&f.fib, 15).unwrap();
        let right = sides.try_submit(&f.add_one, round).unwrap();
        let bottom = view.clone().after(Dependency::all([left.id(), right.id()]));
        let bottom = bottom.try_submit(&f.add_one, 1).unwrap();
        assert_eq!(bottom.get_timeout(SOON).unwrap(), 2);
        assert!(top.is_ready() && left.is_ready() && right.is_ready());
        let (top, bottom) = (top.info().unwrap().usage, bottom.info().unwrap().usage);
        for side in [left.info().unwrap().usage, right.info().unwrap().usage] {
            assert!(top.started <= side.started && side.started <= bottom.started);
        }
    }
}

#[test]
fn maps_and_runs_wait_too() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let first = view.map(&f.nap, [5, 1, 5]).unwrap();
    let second = view.clone().after(&first).map(&f.add_one, 0..100).unwrap();
    let wordcount = module("wordcount");
    let run = cluster.run_after(
        &wordcount,
        vec![Input::bytes("text", "word word\n")],
        &spec(Merge::Default),
        [Dependency::from(&second)],
    );
    let run = run.unwrap();
    let last = view.clone().after(&run).try_submit(&f.add_one, 1).unwrap();
    assert!(!last.is_ready());
    assert_eq!(first.get().unwrap(), [5, 1, 5]);
    assert!(second.get().unwrap().into_iter().eq(1..=100));
    assert!(run.wait().unwrap().merged.is_some());
    assert_eq!(last.get_timeout(SOON).unwrap(), 2);
    // Of a run that fails, and of one that cannot begin.
    let mut bad = one_line_each(Merge::None);
    bad.map = Some("mapper".to_owned());
    let bad = cluster
        .run(
            &module("faulty"),
            vec![Input::bytes("text", "trap\n")],
            &bad,
        )
        .unwrap();
    let after = cluster
        .run_after(
            &wordcount,
            vec![],
            &spec(Merge::Default),
            [Dependency::from(&bad)],
        )
        .unwrap();
    let then = view
        .clone()
        .after(&after)
        .try_submit(&f.add_one, 1)
        .unwrap();
    let error = soon("it ends", move || {
        let _ = bad.wait();
        after.wait().err().unwrap()
    });
    assert!(
        matches!(&error, JobError::NeverBegan(failure)
        if failure.code == FailureCode::DependencyFailed),
        "{error}"
    );
    assert_eq!(code(then.get_timeout(SOON)), FailureCode::DependencyFailed);
    let counts = finish(&cluster, &wordcount, "word\n", &spec(Merge::Default));
    assert!(counts.merged.is_some());
}

#[test]
fn a_map_in_which_tasks_failed_has_not_succeeded() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let mut map = view.map(&f.divide, [(1, 1), (1, 0), (2, 1)]).unwrap();
    let after = view.clone().after(&map).try_submit(&f.add_one, 1).unwrap();
    let either = Dependency::from(&map).on_failure(true);
    let either = view
        .clone()
        .after(either)
        .try_submit(&f.add_one, 1)
        .unwrap();
    assert_eq!(map.by_ref().filter(Result::is_err).count(), 1);
    assert_eq!(map.is_successful(), Some(false));
    assert_eq!(code(after.get_timeout(SOON)), FailureCode::DependencyFailed);
    assert_eq!(either.get_timeout(SOON).unwrap(), 2);
}

#[test]
fn what_follows_runs_where_the_other_ran() {
    let cluster = cluster(4);
    let f = numbers();
    for engine in [3, 0, 2] {
        let there = cluster.direct_view(engine).unwrap();
        let first = there.try_submit(&f.add_one, 1).unwrap();
        for _ in 0..5 {
            let view = cluster.load_balanced_view().follow(first.task(0).unwrap());
            let second = view.try_submit(&f.add_one, 1).unwrap();
            assert_eq!(second.get_timeout(SOON).unwrap(), 2);
            let ran = second.info().unwrap().usage.engine;
            assert_eq!(ran, first.task(0).unwrap().info().unwrap().usage.engine);
        }
        let mut map = cluster
            .load_balanced_view()
            .follow(&first)
            .dispatch_size(1)
            .map(&f.add_one, 0..50)
            .unwrap();
        assert!(map.by_ref().all(|outcome| outcome.is_ok()));
        let engines: Vec<_> = map
            .stats()
            .unwrap()
            .engines
            .keys()
            .map(|id| i64::from(id.0))
            .collect();
        assert_eq!(engines, [i64::from(engine)]);
    }
    // The engine is gone: it cannot follow.
    let there = cluster.direct_view(1).unwrap();
    let first = there.try_submit(&f.add_one, 1).unwrap();
    first.wait();
    cluster.remove_engine(EngineId(1)).unwrap();
    let view = cluster.load_balanced_view().follow(&first);
    let result = view.try_submit(&f.add_one, 1).unwrap().get_timeout(SOON);
    let code = code(result);
    assert!(
        matches!(
            code,
            FailureCode::EngineLost | FailureCode::DependencyFailed
        ),
        "{code}"
    );
}

#[test]
fn a_taken_or_joined_result_is_still_waited_for() {
    let cluster = cluster(2);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let done = view.try_submit(&f.add_one, 1).unwrap();
    assert_eq!(done.take().unwrap(), 2);
    let after = view.clone().after(&done).try_submit(&f.add_one, 1).unwrap();
    assert_eq!(after.get_timeout(SOON).unwrap(), 2);
    let joined = Tasks::join([done, after, view.try_submit(&f.nap, 1).unwrap()]);
    let last = view
        .clone()
        .after(&joined)
        .try_submit(&f.add_one, 5)
        .unwrap();
    assert_eq!(last.get_timeout(SOON).unwrap(), 6);
    let sleeping = view.try_submit(&f.nap, LONG).unwrap().detach();
    let after = view
        .clone()
        .after(sleeping)
        .try_submit(&f.add_one, 5)
        .unwrap();
    assert!(!after.is_ready());
}
