//! Guests whose typed functions break the canonical ABI, when they return values or make room for them.

use super::{Case, Unfinished};
use rwasm_cluster::FailureCode;

/// A call of `mapper` on some text, by either lowering.
fn mapped(row: u8) -> Unfinished {
    Case::row(row).both_ways().map("mapper", "some text")
}

/// That fails since what it returned, or the room it made, is wrong.
fn broken(row: u8, parts: &'static [&'static str]) -> Case {
    mapped(row).fails(FailureCode::BadOutput, parts)
}

pub(super) fn result_not_aligned() -> Case {
    broken(19, &["mapper", "canonical ABI"])
}

pub(super) fn list_not_aligned() -> Case {
    broken(19, &["mapper", "canonical ABI"])
}

pub(super) fn result_at_the_end() -> Case {
    broken(19, &["mapper", "canonical ABI"])
}

pub(super) fn size_wraps_around() -> Case {
    broken(19, &["mapper", "canonical ABI"])
}

pub(super) fn end_wraps_around() -> Case {
    broken(19, &["mapper", "canonical ABI"])
}

pub(super) fn text_not_utf8() -> Case {
    broken(20, &["mapper", "canonical ABI"])
}

pub(super) fn no_such_case() -> Case {
    broken(21, &["mapper", "canonical ABI"])
}

pub(super) fn no_such_character() -> Case {
    broken(21, &["mapper", "canonical ABI"])
}

pub(super) fn odd_flags() -> Case {
    mapped(21).gives("({green}, true)")
}

pub(super) fn room_at_null() -> Case {
    // The `s` of the text.
    mapped(22).gives("115")
}

pub(super) fn room_outside() -> Case {
    broken(22, &["canonical ABI"])
}

pub(super) fn room_wraps_around() -> Case {
    broken(22, &["canonical ABI"])
}

pub(super) fn room_not_aligned() -> Case {
    let case = Case::row(22).both_ways().call("total", "[1, 2, 3]");
    case.fails(FailureCode::BadOutput, &["canonical ABI"])
}

pub(super) fn room_is_too_small() -> Case {
    let case = Case::row(23).both_ways().call("total", "[1, 2, 3]");
    case.fails(FailureCode::BadOutput, &["canonical ABI"])
}

pub(super) fn room_over_room() -> Case {
    let case = Case::row(22).both_ways();
    case.call("join", r#"["a", "bc", "def"]"#).gives("7")
}

pub(super) fn grows_while_making_room() -> Case {
    let case = Case::row(23).both_ways();
    case.call("lengths", r#"["x", "xy", "xyz"]"#).gives("6")
}

pub(super) fn traps_while_making_room() -> Case {
    mapped(22).fails(FailureCode::Trap, &["unreachable"])
}

pub(super) fn trap_while_freeing() -> Case {
    let case = Case::row(3).both_ways().reuse(rwasm_cluster::Reuse::Engine);
    case.call("mapper", "text")
        .fails(FailureCode::Trap, &["unreachable"])
}

pub(super) fn no_room() -> Case {
    let case = Case::row(22).map("mapper", "some text");
    case.fails(FailureCode::BadOutput, &["cabi_realloc"])
}

pub(super) fn room_of_another_type() -> Case {
    let case = Case::row(22).map("mapper", "some text");
    case.fails(FailureCode::BadOutput, &["cabi_realloc"])
}

pub(super) fn memory_is_no_memory() -> Case {
    Case::row(22)
        .perhaps_refused()
        .map("mapper", "")
        .impossible(&["mapper"])
}
