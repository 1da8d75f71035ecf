//! Guests that misuse the async features of the component model.

use super::Case;
use rwasm_cluster::{ByteSize, FailureCode};

pub(super) fn waits_for_itself() -> Case {
    Case::row(49).endless().call("wait", "").times_out()
}

pub(super) fn runs_on() -> Case {
    Case::row(49).endless().call("run", "").times_out()
}

pub(super) fn begins_calls_forever() -> Case {
    let case = Case::row(50).call("begin", "");
    case.fails(
        FailureCode::MemoryLimit,
        &["256 handles", "`Limits::handles`"],
    )
}

pub(super) fn cancels_calls_forever() -> Case {
    let case = Case::row(50).call("begin", "");
    case.fails(
        FailureCode::MemoryLimit,
        &["256 handles", "`Limits::handles`"],
    )
}

pub(super) fn makes_error_contexts() -> Case {
    Case::row(50).refused(&["it makes error contexts"])
}

pub(super) fn streams_without_end() -> Case {
    let case = Case::row(51).output(ByteSize::mib(1)).call("flood", "");
    let case = case.fails(FailureCode::OutputLimit, &["1MiB", "`Limits::output`"]);
    let case = case.call("many", "").fails(
        FailureCode::MemoryLimit,
        &["256 handles", "`Limits::handles`"],
    );
    let case = case.call("twice", "").fails(FailureCode::Trap, &["handle"]);
    let case = case.call("cancel", "").fails(FailureCode::Trap, &[]);
    case.call("fine", "").gives("7")
}
