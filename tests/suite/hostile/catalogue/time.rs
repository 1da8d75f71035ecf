//! Guests that want to run for ever, or to know the time better than they should.

use super::Case;
use rwasm_cluster::{FailureCode, Reuse};

pub(super) fn loop_forever() -> Case {
    Case::row(1).endless().run().times_out()
}

pub(super) fn loop_on_fuel() -> Case {
    let case = Case::row(1).fuel(1_000_000).run();
    case.fails(
        FailureCode::FuelExhausted,
        &["fuel of 1000000", "`Limits::fuel`"],
    )
}

pub(super) fn tail_calls_forever() -> Case {
    Case::row(1).endless().run().times_out()
}

pub(super) fn start_never_ends() -> Case {
    Case::row(2).endless().run().times_out()
}

pub(super) fn initialize_never_ends() -> Case {
    Case::row(2).endless().call("answer", "").times_out()
}

pub(super) fn room_is_never_made() -> Case {
    let case = Case::row(3).endless().both_ways();
    let case = case.map("mapper", "some text").times_out();
    case.call("mapper", "some text").times_out()
}

pub(super) fn result_is_never_freed() -> Case {
    // Only what is used again frees its results.
    let case = Case::row(3).endless().both_ways().reuse(Reuse::Engine);
    case.call("mapper", "some text").times_out()
}

pub(super) fn copy_memory_forever() -> Case {
    Case::row(4).endless().run().times_out()
}

pub(super) fn sleep_forever() -> Case {
    Case::row(5).endless().run().times_out()
}

pub(super) fn sleep_many_times() -> Case {
    Case::row(6).endless().run().times_out()
}

pub(super) fn polls_forever() -> Case {
    Case::row(6).endless().run().times_out()
}

pub(super) fn waits_for_very_many() -> Case {
    let case = Case::row(44).call("wait", "");
    case.fails(
        FailureCode::MemoryLimit,
        &["256 handles", "`Limits::handles`"],
    )
}

pub(super) fn reads_clocks_forever() -> Case {
    Case::row(45).endless().run().times_out()
}

pub(super) fn clock_steps() -> Case {
    Case::row(45).call("is_coarse", "").gives("1")
}
