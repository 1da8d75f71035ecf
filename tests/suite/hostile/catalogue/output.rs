//! Guests whose results are too large, or claim to be.

use super::{Case, Expected};
use rwasm_cluster::{ByteSize, FailureCode};

const TOO_LARGE: Expected =
    Expected::Failure(FailureCode::OutputLimit, &["1MiB", "`Limits::output`"]);

/// What these may have: what they claim is far above it.
fn small(row: u8) -> Case {
    let case = Case::row(row).memory(ByteSize::mib(16));
    case.output(ByteSize::mib(1)).both_ways()
}

pub(super) fn list_beyond_memory() -> Case {
    let case = small(17).map("mapper", "some text");
    case.fails(FailureCode::BadOutput, &[])
}

pub(super) fn list_of_lists_beyond_memory() -> Case {
    let case = small(17).map("mapper", "some text");
    case.fails(FailureCode::BadOutput, &[])
}

pub(super) fn same_text_many_times() -> Case {
    small(18).map("mapper", "some text").ends(TOO_LARGE)
}

pub(super) fn same_list_many_times() -> Case {
    small(18).map("mapper", "some text").ends(TOO_LARGE)
}

pub(super) fn large_error() -> Case {
    let case = small(18)
        .output(ByteSize::mib(16))
        .map("mapper", "some text");
    case.fails(FailureCode::GuestError, &["bytes in all"])
}

pub(super) fn print_without_end() -> Case {
    let case = Case::row(15).output(ByteSize::mib(1));
    case.run().ends(TOO_LARGE)
}

pub(super) fn print_lines_without_end() -> Case {
    let case = Case::row(15).output(ByteSize::mib(1));
    case.run().ends(TOO_LARGE)
}
