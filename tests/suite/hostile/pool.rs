//! What instances come from has room for all that may be kept and run.

use super::catalogue::{Good, all};
use crate::support::target;
use rwasm_cluster::{Cluster, EngineId, Reuse, Targets};

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
