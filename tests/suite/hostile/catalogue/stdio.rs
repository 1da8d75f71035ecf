//! Guests that abuse their streams, and what else WASI has without any grant.

use super::Case;
use rwasm_cluster::{ByteSize, FailureCode};

pub(super) fn read_forever() -> Case {
    Case::row(7).run_on("some text").gives("9\n")
}

pub(super) fn print_10_gib_of_errors() -> Case {
    Case::row(15).endless().run().times_out()
}

pub(super) fn tells_forever() -> Case {
    let case = Case::row(15).memory(ByteSize::mib(1));
    case.endless().run().times_out()
}

pub(super) fn very_many_buffers() -> Case {
    Case::row(15).run().succeeds()
}

pub(super) fn writes_without_memory() -> Case {
    Case::row(22).run().fails(FailureCode::Trap, &["memory"])
}

pub(super) fn writes_from_outside() -> Case {
    let step = |case: Case, name| {
        case.call(name, "")
            .fails(FailureCode::Trap, &["out of bounds"])
    };
    ["buffer", "list"].into_iter().fold(Case::row(17), step)
}

pub(super) fn log_what_is_no_text() -> Case {
    Case::row(16)
        .run()
        .fails(FailureCode::ExitCode, &["code 3"])
}

pub(super) fn random_4_gib() -> Case {
    let case = Case::row(45).memory(ByteSize::mib(200));
    let parts = &["random bytes", "limit of 1MiB", "`Limits::random`"];
    let case = case.call("most", "").fails(FailureCode::MemoryLimit, parts);
    case.call("all", "").fails(FailureCode::MemoryLimit, parts)
}

pub(super) fn random_forever() -> Case {
    Case::row(45).endless().run().times_out()
}

pub(super) fn look_around() -> Case {
    Case::row(46).run().gives("0 []\n")
}

pub(super) fn connect() -> Case {
    Case::row(47).run().gives("0\n")
}

pub(super) fn sockets() -> Case {
    Case::row(30).call("opened", "").gives("0")
}

pub(super) fn opens_without_grant() -> Case {
    Case::row(40).call("opened", "").gives("0")
}

pub(super) fn open_without_end() -> Case {
    Case::row(43).run().gives("0\n")
}
