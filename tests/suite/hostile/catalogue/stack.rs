//! Guests whose calls nest without end.

use super::{Case, Expected};
use rwasm_cluster::FailureCode;

const OVERFLOW: Expected = Expected::Failure(FailureCode::StackOverflow, &["512KiB"]);

pub(super) fn recurse() -> Case {
    Case::row(13).run().ends(OVERFLOW)
}

pub(super) fn recurse_with_large_frames() -> Case {
    Case::row(13).call("deep", "").ends(OVERFLOW)
}

pub(super) fn recurse_in_a_program() -> Case {
    // Its own stack, of one MiB in its memory, ends where its memory begins.
    Case::row(13).run().fails(
        FailureCode::Trap,
        &[
            "out of bounds",
            "its own stack in linear memory may have overflowed",
            "-zstack-size",
        ],
    )
}

pub(super) fn recurse_while_making_room() -> Case {
    let case = Case::row(13).both_ways();
    let case = case.map("mapper", "some text").ends(OVERFLOW);
    case.call("mapper", "some text").ends(OVERFLOW)
}

pub(super) fn host_calls_it_back() -> Case {
    let case = Case::row(14).pushed("name", "a value");
    case.call("ask", "")
        .fails(FailureCode::Trap, &["was being allocated"])
}
