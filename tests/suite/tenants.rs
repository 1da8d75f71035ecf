//! Tenants of a cluster in this process: their budgets, what each sees, what it leaves behind, and what it has used.

use crate::support::{LONG, SOON, bounded, code, module, numbers, occupy, soon, until};
use rwasm_cluster::{
    Budget, ByteSize, Cluster, Dependency, DependencyError, FailureCode, HostFunctions, Limits,
    PushError, QueueLimits, Reference, Reuse, Stock, SubmitError, Targets, Task, Tenant,
    TenantLimit, TenantStatus,
};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn cluster(engines: u32) -> Cluster {
    Cluster::builder()
        .engines(engines)
        .start()
        .expect("it goes well")
}

fn budget(change: impl FnOnce(&mut Budget)) -> Budget {
    let mut budget = Budget::default();
    change(&mut budget);
    budget
}

#[track_caller]
fn limit<T>(submitted: Result<T, SubmitError>) -> TenantLimit {
    match submitted.err() {
        Some(SubmitError::TenantLimit(limit)) => limit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_spent_stock_is_refused_and_concerns_nobody_else() {
    let cluster = cluster(1);
    let f = numbers();
    let busy = occupy(&cluster);
    let alice = cluster
        .tenant("alice")
        .with_budget(budget(|budget| budget.queued_tasks = Some(2)));
    let view = alice.load_balanced_view();
    let mut waiting: Vec<_> = (0..2)
        .map(|n| view.try_submit(&f.add_one, n).unwrap())
        .collect();
    let refused = limit(view.try_submit(&f.add_one, 9));
    assert_eq!((refused.which, refused.most), (Stock::QueuedTasks, 2));
    assert!(refused.retry_after.is_some());
    assert_eq!(
        refused.to_string(),
        "tenant `alice` may have 2 tasks in the queue, and has them: try again later"
    );
    // Nothing waits for a tenant's own room; a map is one more.
    let refused = soon("an async call is refused", {
        let (view, f) = (view.clone(), numbers());
        move || limit(pollster::block_on(view.submit(&f.add_one, 9)))
    });
    assert_eq!(refused.which, Stock::QueuedTasks);
    assert_eq!(limit(view.map(&f.add_one, 0..3)).which, Stock::QueuedTasks);
    let others = [
        cluster.tenant("bob").load_balanced_view(),
        cluster.load_balanced_view(),
    ];
    let others = others.map(|view| view.try_submit(&f.add_one, 1).unwrap());
    drop(waiting.pop());
    let more = view.try_submit(&f.add_one, 7).unwrap();
    drop(busy);
    for task in waiting.iter().chain(&others).chain([&more]) {
        task.get_timeout(SOON).unwrap();
    }
    assert_eq!(alice.status().queued_tasks, 0);
}

#[test]
fn bytes_and_memory_have_budgets_too() {
    let cluster = cluster(1);
    let f = numbers();
    let busy = occupy(&cluster);
    let alice = cluster.tenant("alice").with_budget(budget(|budget| {
        budget.queued_bytes = Some(ByteSize::kib(64));
        budget.memory = Some(ByteSize::mib(256));
    }));
    let view = alice.load_balanced_view();
    let data: &'static [u8] = vec![7; 65 << 10].leak();
    let first = view.try_submit(&f.length, &data[..40 << 10]).unwrap();
    let refused = limit(view.try_submit(&f.length, &data[..40 << 10]));
    assert_eq!(refused.which, Stock::QueuedBytes);
    assert!(refused.retry_after.is_some());
    let never = limit(view.try_submit(&f.length, data));
    assert_eq!((never.which, never.retry_after), (Stock::QueuedBytes, None));
    assert_eq!(
        never.to_string(),
        "tenant `alice` may have 64KiB of arguments in the queue, and this alone needs more"
    );
    let mut limits = Limits::default();
    limits.memory = ByteSize::mib(257);
    let never = limit(view.clone().limits(limits).try_submit(&f.add_one, 1));
    assert_eq!((never.which, never.retry_after), (Stock::Memory, None));
    drop((first, busy));
    // The cluster's own bound goes for all of them together.
    let mut whole = QueueLimits::default();
    whole.tasks = 2;
    let cluster = Cluster::builder().engines(1).queue(whole).start().unwrap();
    let busy = occupy(&cluster);
    let alice = cluster.tenant("alice").load_balanced_view();
    let waiting = alice.try_submit(&f.add_one, 1).unwrap();
    let full = cluster.tenant("bob").load_balanced_view();
    let full = full.try_submit(&f.add_one, 1).err().unwrap();
    assert!(matches!(full, SubmitError::QueueFull(_)), "{full}");
    drop((waiting, busy));
}

#[test]
fn a_map_reads_no_further_than_its_tenant_may_queue() {
    let cluster = cluster(1);
    let f = numbers();
    let busy = occupy(&cluster);
    let alice = cluster
        .tenant("alice")
        .with_budget(budget(|budget| budget.queued_tasks = Some(10)));
    let read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&read);
    let items = (0..1000_u64).inspect(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    // Dispatches of a hundred would have it read hundreds ahead.
    let view = alice.load_balanced_view().dispatch_size(100);
    let map = view.map(&f.add_one, items).unwrap();
    until("it has read what it may", || {
        alice.status().queued_tasks == 10
    });
    // The map itself is one.
    assert_eq!(read.load(Ordering::SeqCst), 9);
    assert_eq!(
        limit(alice.load_balanced_view().try_submit(&f.add_one, 1)).which,
        Stock::QueuedTasks
    );
    drop(busy);
    let sum: u64 = map.get().unwrap().into_iter().sum();
    assert_eq!(sum, (1..=1000).sum::<u64>());
    until("its last dispatch has ended", || {
        alice.status() == TenantStatus::default().with_modules(1)
    });
}

/// A status that differs in one thing.
trait WithModules {
    fn with_modules(self, modules: usize) -> Self;
}

impl WithModules for TenantStatus {
    fn with_modules(mut self, modules: usize) -> Self {
        self.modules = modules;
        self
    }
}

#[test]
fn what_may_run_at_a_time_changes_while_tasks_wait() {
    let cluster = cluster(2);
    let f = numbers();
    let alice = cluster
        .tenant("alice")
        .with_budget(budget(|budget| budget.running = Some(1)));
    let view = alice.load_balanced_view();
    let tasks = [(); 2].map(|()| view.try_submit(&f.spin, ()).unwrap());
    let running = || tasks.iter().filter(|task| task.is_running()).count();
    until("one runs", || running() == 1);
    // The other engine is free for others, and what they run there has come later.
    let other = cluster.load_balanced_view();
    assert_eq!(other.blocking().apply(&f.add_one, 1).unwrap(), 2);
    let status = alice.status();
    assert_eq!((status.running, status.waiting), (1, 1));
    alice.set_budget(Budget::default());
    until("both run", || running() == 2);
}

#[test]
fn a_flood_is_not_served_before_what_came_later() {
    const FLOOD: u64 = 2_000;
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.tenant("flooding").load_balanced_view();
    let busy = occupy(&cluster);
    // A priority counts among the calls of one tenant.
    let flood: Vec<Task<u64>> = (0..FLOOD)
        .map(|n| view.clone().priority(9).try_submit(&f.add_one, n).unwrap())
        .collect();
    let view = cluster.tenant("other").load_balanced_view();
    let calls: Vec<Task<u64>> = (0..20)
        .map(|n| view.try_submit(&f.add_one, n).unwrap())
        .collect();
    drop(busy);
    let begun = |task: &Task<u64>| {
        task.wait();
        task.info().expect("it has ended").usage.started
    };
    let last = calls.iter().map(begun).max().unwrap();
    let before = flood.iter().filter(|task| begun(task) < last).count();
    assert!(before < 500, "{before} of a flood went before 20 calls");
}

#[test]
fn nobody_sees_another() {
    let cluster = cluster(2);
    let f = numbers();
    let (alice, bob) = (cluster.tenant("alice"), cluster.tenant("bob"));
    let all = |tenant: &Tenant| tenant.direct_view(Targets::All).unwrap();
    all(&alice).push("secret", 41_u64).unwrap();
    let by_name = module("numbers")
        .function::<(Reference,), u64>("add-one")
        .unwrap();
    let secret = || (Reference::new("secret"),);
    assert_eq!(
        all(&alice).blocking().apply(&by_name, secret()).unwrap(),
        [42, 42]
    );
    for view in [all(&bob), cluster.direct_view(Targets::All).unwrap()] {
        assert!(view.names().unwrap().iter().all(Vec::is_empty));
        let missing = view.pull("secret").unwrap_err();
        assert!(matches!(missing, PushError::NoSuchName { .. }), "{missing}");
        view.clear().unwrap();
        let tasks = view.try_submit(&by_name, secret()).unwrap();
        for task in tasks {
            assert_eq!(code(task.get_timeout(SOON)), FailureCode::BadInput);
        }
    }
    assert_eq!(all(&alice).pull("secret").unwrap().len(), 2);

    // A job is known to its own tenant alone, be its id ever so easy to guess.
    let task = alice
        .load_balanced_view()
        .try_submit(&f.add_one, 1)
        .unwrap();
    task.get_timeout(SOON).unwrap();
    let after = |tenant: &Tenant| {
        let view = tenant.load_balanced_view();
        view.after(task.id()).try_submit(&f.add_one, 1)
    };
    after(&alice).unwrap().get_timeout(SOON).unwrap();
    let unknown = after(&bob).err().unwrap();
    assert!(
        matches!(&unknown, SubmitError::Dependency(DependencyError::Unknown(job)) if *job == task.id()),
        "{unknown}"
    );
    let own = cluster.load_balanced_view();
    let own = own.after(Dependency::all([task.id()]));
    assert!(own.try_submit(&f.add_one, 1).is_err());
}

#[test]
fn a_closed_tenant_leaves_nothing_behind() {
    let cluster = cluster(2);
    let f = numbers();
    let alice = cluster.tenant("alice");
    let context = Arc::new("her own");
    let view = alice.load_balanced_view().context(Arc::clone(&context));
    let everywhere = alice
        .direct_view(Targets::All)
        .unwrap()
        .reuse(Reuse::Engine)
        .context(Arc::clone(&context));
    // An instance on each engine, a pushed value on each, a module.
    let counts = everywhere.clone().blocking();
    assert_eq!(counts.apply(&f.count_up, ()).unwrap(), [1, 1]);
    assert_eq!(counts.apply(&f.count_up, ()).unwrap(), [2, 2]);
    everywhere.push("secret", 1_u64).unwrap();
    let status = alice.status();
    assert_eq!((status.modules, status.pushed), (1, 2));

    let running = [(); 2].map(|()| view.try_submit(&f.spin, ()).unwrap());
    until("both run", || running.iter().all(Task::is_running));
    let waiting = view.try_submit(&f.add_one, 1).unwrap();
    let bound = everywhere.try_submit(&f.add_one, 1).unwrap();
    let cared = view.clone().retries(1).try_submit(&f.add_one, 1).unwrap();
    let dependent = {
        let view = view.clone().after(&running[0]);
        view.try_submit(&f.add_one, 1).unwrap()
    };
    let map = view.map(&f.add_one, 0..1_000_000).unwrap();
    let other = cluster.load_balanced_view();
    let other = other.try_submit(&f.add_one, 1).unwrap();

    alice.close();
    for task in running.iter().chain([&waiting, &cared, &dependent]) {
        assert_eq!(code(task.get_timeout(SOON)), FailureCode::Cancelled);
    }
    for task in bound {
        assert_eq!(code(task.get_timeout(SOON)), FailureCode::Cancelled);
    }
    assert!(soon("the map has ended", move || map.get()).is_err());
    assert_eq!(other.get_timeout(SOON).unwrap(), 2);
    until("nothing is left", || {
        alice.status() == TenantStatus::default()
    });
    let ended = alice.usage().tasks();
    assert!(ended >= 4, "{ended}");

    assert!(alice.is_closed());
    let refused = view.try_submit(&f.add_one, 1).err().unwrap();
    assert!(matches!(&refused, SubmitError::TenantClosed { tenant } if **tenant == *"alice"));
    assert_eq!(refused.to_string(), "tenant `alice` was closed");
    assert!(matches!(
        everywhere.push("secret", 1_u64),
        Err(PushError::TenantClosed { .. })
    ));
    // The views and handles have it still; instances kept by engines have not.
    drop((view, everywhere, counts, running, waiting, cared, dependent));
    until("nobody has her value", || Arc::strong_count(&context) == 1);

    // The next with this label is another.
    let next = cluster.tenant("alice");
    assert_eq!(next.status(), TenantStatus::default());
    let view = next.load_balanced_view().blocking();
    assert_eq!(view.apply(&f.add_one, 1).unwrap(), 2);
    assert_eq!(next.usage().succeeded, 1);
    alice.close();
    assert_eq!(view.apply(&f.add_one, 2).unwrap(), 3);
}

#[test]
fn modules_are_kept_within_the_budget() {
    let cluster = cluster(1);
    let alice = cluster
        .tenant("alice")
        .with_budget(budget(|budget| budget.modules = Some(2)));
    let view = alice.load_balanced_view().blocking();
    for n in 0..5_i32 {
        let text = format!(r#"(module (func (export "f") (result i32) (i32.const {n})))"#);
        let module = rwasm_cluster::Module::from_bytes("constant", text).unwrap();
        let f = module.function::<(), i32>("f").unwrap();
        assert_eq!(view.apply(&f, ()).unwrap(), n);
        assert_eq!(
            alice.status().modules,
            usize::try_from(n + 1).unwrap().min(2)
        );
    }
    alice.set_budget(budget(|budget| budget.modules = Some(1)));
    assert_eq!(alice.status().modules, 1);
}

#[test]
fn usage_is_that_of_the_tenant() {
    let cluster = cluster(1);
    let f = numbers();
    let (alice, bob) = (cluster.tenant("alice"), cluster.tenant("bob"));
    let mut limits = Limits::default();
    limits.fuel = Some(10_000_000);
    let view = alice.load_balanced_view().limits(limits).blocking();
    assert_eq!(view.apply(&f.fib, 15).unwrap(), 610);
    let data: &'static [u8] = &[7; 1000];
    assert_eq!(view.apply(&f.length, data).unwrap(), 1000);
    assert!(view.apply(&f.fail, "trap").is_err());
    let squares = view.map(&f.add_one, 0..100).unwrap();
    assert_eq!(squares.get().unwrap().len(), 100);
    drop(bob.load_balanced_view().try_submit(&f.spin, ()).unwrap());

    let usage = alice.usage();
    assert_eq!(usage.succeeded, 102);
    assert_eq!(usage.failed, [(FailureCode::Trap, 1)]);
    assert_eq!(usage.tasks(), 103);
    assert!(usage.wall_time > Duration::ZERO);
    assert!(usage.fuel > 1000, "{usage:?}");
    assert!(usage.peak_memory >= ByteSize::kib(64), "{usage:?}");
    assert!(usage.bytes_in >= 1000 && usage.bytes_out > 0, "{usage:?}");
    until("the engine has said what it computed", || {
        alice.usage().processor_time > Duration::ZERO
    });
    until("a task that is not wanted counts as well", || {
        bob.usage().failed == [(FailureCode::Cancelled, 1)]
    });
    assert_eq!(bob.usage().succeeded, 0);
}

#[test]
fn waiting_costs_wall_time_and_no_processor_time() {
    let cluster = cluster(1);
    let f = numbers();
    let alice = cluster.tenant("alice");
    let view = alice.load_balanced_view().blocking();
    let _: u64 = view.apply(&f.nap, 200).unwrap();
    until("the engine has said what it computed", || {
        alice.usage().processor_time > Duration::ZERO
    });
    let usage = alice.usage();
    assert!(usage.wall_time >= Duration::from_millis(200), "{usage:?}");
    assert!(usage.processor_time < usage.wall_time, "{usage:?}");
}

/// A user of the embedding program.
struct User {
    name: &'static str,
}

#[test]
fn host_functions_learn_for_whom_they_are_called() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let calls = Arc::clone(&seen);
    let functions = HostFunctions::new().function(
        "example:dictionary/words@0.1.0",
        "lookup",
        move |call: rwasm_cluster::HostCall, (_,): (String,)| {
            let user = call.context::<User>().map(|user| user.name);
            assert!(call.context::<String>().is_none());
            let tenant = call.tenant().map(str::to_owned);
            calls.lock().unwrap().push((user, tenant));
            async { Ok(None::<String>) }
        },
    );
    let cluster = bounded(Cluster::builder().engines(1).host_functions(functions))
        .start()
        .unwrap();
    let define = module("lookup")
        .function::<&'static str, Option<String>>("define")
        .unwrap();
    let alice = cluster.tenant("alice");
    let of = |name| Arc::new(User { name });
    let views = [
        cluster.load_balanced_view(),
        cluster.load_balanced_view().context(of("carol")),
        alice.load_balanced_view(),
        alice.load_balanced_view().context(of("x")).context(of("y")),
    ];
    for view in &views {
        view.clone().blocking().apply(&define, "word").unwrap();
    }
    views[3].map(&define, ["word"]).unwrap().get().unwrap();
    let label = |name: &str| Some(name.to_owned());
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (None, None),
            (Some("carol"), None),
            (None, label("alice")),
            (Some("y"), label("alice")),
            (Some("y"), label("alice")),
        ]
    );
}

#[test]
fn nothing_is_compiled_while_a_future_is_polled() {
    let cluster = cluster(1);
    let f = numbers();
    let view = cluster.load_balanced_view();
    let nobody = || Context::from_waker(Waker::noop());
    let calls = [1, 2, 3].map(|n| Box::pin(view.submit(&f.add_one, n)));
    let mut calls: Vec<_> = calls.into_iter().collect();
    // The module is cold: the first starts to compile it elsewhere, and the others wait for that one.
    for call in &mut calls {
        assert!(call.as_mut().poll(&mut nobody()).is_pending());
    }
    // The first is given up, which stops nothing.
    drop(calls.remove(0));
    for (n, call) in calls.into_iter().enumerate() {
        let task = pollster::block_on(call).unwrap();
        assert_eq!(task.get_timeout(SOON).unwrap(), n as u64 + 3);
    }
    // By now it is ready, and so is a call.
    let mut ready = pin!(view.submit(&f.add_one, 4));
    let Poll::Ready(task) = ready.as_mut().poll(&mut nobody()) else {
        panic!("it waits for nothing");
    };
    assert_eq!(task.unwrap().get_timeout(SOON).unwrap(), 5);
    let broken = r#"(module (import "nobody" "knows" (func)) (func (export "f")))"#;
    let broken = rwasm_cluster::Module::from_bytes("broken", broken).unwrap();
    let strict = Cluster::builder().engines(1).strict_imports(true);
    let strict = strict.start().unwrap();
    let prepared = strict.prepare_async(&broken, strict.limits());
    let refused = pollster::block_on(prepared).unwrap_err();
    assert!(matches!(refused, SubmitError::Load(_)), "{refused}");
}

#[test]
fn a_cluster_is_shut_down_without_blocking_whoever_waits() {
    let cluster = cluster(1);
    let f = numbers();
    let task = cluster.load_balanced_view();
    let task = task.try_submit(&f.nap, LONG).unwrap();
    let mut shutting = Box::pin(cluster.shutdown_async(Duration::ZERO));
    let mut nobody = Context::from_waker(Waker::noop());
    // Either it is over at once or it goes on elsewhere.
    let shutdown = match shutting.as_mut().poll(&mut nobody) {
        Poll::Ready(shutdown) => shutdown,
        Poll::Pending => pollster::block_on(shutting),
    };
    assert_eq!((shutdown.finished, shutdown.stopped), (0, 1));
    assert!(task.get_timeout(SOON).is_err());
    assert!(cluster.engines().is_empty());
}
