//! What instances come from has room for all that may be kept and run.

use super::catalogue::{Good, all};
use crate::support::numbers;
use crate::support::target;
use rwasm_cluster::ByteSize;
use rwasm_cluster::{Cluster, EngineId, Limits, Module, Reuse, Targets};

#[test]
fn kept_instances_leave_room_for_others() {
    let cluster = Cluster::builder()
        .engines(2)
        .max_engines(2)
        .start()
        .expect("a cluster starts");
    let built = target().join("guests");
    let good = Good::new(&built);
    let found = all()
        .into_iter()
        .find(|(guest, _)| guest.name == "four_memories");
    let module = found
        .expect("it is listed")
        .0
        .load(&built)
        .expect("it is a module");
    let count = module.function::<(), i32>("count").expect("it is there");
    // Each has an instance on each engine, as long as an engine keeps that many.
    let view = || cluster.direct_view(Targets::All).expect("they are there");
    let views: Vec<_> = (0..5)
        .map(|_| view().reuse(Reuse::Engine).blocking())
        .collect();
    for view in views.iter().chain(&views) {
        view.apply(&count, ()).expect("it goes well");
        for engine in [EngineId(0), EngineId(1)] {
            good.is_right_on(&cluster, engine);
        }
    }
}

/// A component of as many core instances as one may have.
fn of_many_instances() -> Module {
    let mut text = String::from(
        r#"(component
            (core module $one (func (export "f") (result i32) i32.const 7))
            (core module $empty)
            (core instance $one (instantiate $one))
            (func (export "f") (result s32) (canon lift (core func $one "f")))"#,
    );
    for _ in 1..32 {
        text += " (core instance (instantiate $empty))";
    }
    text.push(')');
    Module::from_bytes("many", text).expect("it is a component")
}

#[test]
fn kept_components_of_many_parts_leave_room_for_others() {
    let cluster = Cluster::builder()
        .engines(1)
        .max_engines(1)
        .start()
        .expect("a cluster starts");
    let module = of_many_instances();
    let function = module.function::<(), i32>("f").expect("it is there");
    let numbers = numbers();
    let view = || {
        let view = cluster.direct_view(Targets::All).expect("they are there");
        view.reuse(Reuse::Engine).blocking()
    };
    // As many as an engine keeps, and more.
    let views = [view(), view(), view()];
    for view in views.iter().chain(&views) {
        assert_eq!(view.apply(&function, ()).expect("it goes well"), [7]);
        let plain = cluster.load_balanced_view().blocking();
        assert_eq!(plain.apply(&numbers.fib, 10).expect("it goes well"), 55);
    }
}

#[test]
fn jobs_with_many_settings_do_not_keep_others_from_running() {
    let cluster = Cluster::builder()
        .engines(1)
        .max_engines(1)
        .start()
        .expect("a cluster starts");
    let numbers = numbers();
    for number in 0..24_u64 {
        let mut limits = Limits::default();
        limits.stack = ByteSize::kib(16 + number * 300);
        limits.fuel = (number % 2 == 0).then_some(1_000_000);
        let view = cluster.load_balanced_view().limits(limits);
        let view = view.deterministic(number % 3 == 0).blocking();
        assert_eq!(view.apply(&numbers.fib, 10).expect("it goes well"), 55);
    }
}
