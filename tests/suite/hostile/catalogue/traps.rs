//! Guests that trap, and that end the whole program.

use super::Case;
use rwasm_cluster::{FailureCode, Reuse};

pub(super) fn traps() -> Case {
    let traps: [(&str, &[&str]); 12] = [
        ("unreachable", &["unreachable"]),
        ("read_outside", &["out of bounds memory access"]),
        ("write_outside", &["out of bounds memory access"]),
        ("fill_outside", &["out of bounds memory access"]),
        ("divide_by_zero", &["integer divide by zero"]),
        ("divide_too_far", &["integer overflow"]),
        ("not_a_number", &["invalid conversion to integer"]),
        ("call_nothing", &["uninitialized element"]),
        ("call_outside", &["undefined element"]),
        ("call_another_type", &["indirect call type mismatch"]),
        ("table_outside", &["table access"]),
        ("throw", &["exception"]),
    ];
    let step = |case: Case, (name, parts)| case.call(name, "").fails(FailureCode::Trap, parts);
    traps.into_iter().fold(Case::row(24), step)
}

pub(super) fn names_with_commands() -> Case {
    Case::row(24)
        .call("trap", "")
        .fails(FailureCode::Trap, &["unreachable"])
}

pub(super) fn panic_at_length() -> Case {
    Case::row(24)
        .run()
        .fails(FailureCode::Trap, &["unreachable"])
}

pub(super) fn abort_with_a_text() -> Case {
    Case::row(24)
        .run()
        .fails(FailureCode::Trap, &["unreachable"])
}

pub(super) fn trap_then_again() -> Case {
    let case = Case::row(25).reuse(Reuse::Engine);
    let case = case
        .call("count", "")
        .gives("1")
        .call("count", "")
        .gives("2");
    let case = case.call("trap", "").fails(FailureCode::Trap, &[]);
    case.call("count", "").gives("1")
}

pub(super) fn exit_well() -> Case {
    Case::row(26).run().gives("done\n")
}

pub(super) fn exit_while_starting() -> Case {
    Case::row(26)
        .call("answer", "")
        .fails(FailureCode::ExitCode, &["code 0"])
}

pub(super) fn function_exits() -> Case {
    let case = Case::row(26).map("mapper", "some text");
    case.fails(FailureCode::ExitCode, &["code 0", "instead of returning"])
}

pub(super) fn exit_while_making_room() -> Case {
    let case = Case::row(26).map("mapper", "some text");
    case.fails(FailureCode::ExitCode, &["code 0"])
}

pub(super) fn exit_with_a_code() -> Case {
    Case::row(27)
        .run()
        .fails(FailureCode::ExitCode, &["code 42"])
}

pub(super) fn exit_codes() -> Case {
    let codes: [(&str, &[&str]); 5] = [
        ("1", &["code 1"]),
        ("125", &["code 125"]),
        ("126", &["code 126"]),
        ("256", &["code 256"]),
        ("-1", &["code 4294967295"]),
    ];
    let step =
        |case: Case, (code, parts)| case.call("exit", code).fails(FailureCode::ExitCode, parts);
    codes.into_iter().fold(Case::row(27), step)
}
