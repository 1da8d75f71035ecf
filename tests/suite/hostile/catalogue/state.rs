//! Guests that leave something behind: handles for the host, secrets for whoever comes next.

use super::Case;
use rwasm_cluster::{FailureCode, Reuse};

pub(super) fn leaks_handles() -> Case {
    // Each timer is two of them; over many calls of one instance they add up.
    let case = Case::row(44).reuse(Reuse::Engine);
    let case = case.call("leak", "100").gives("7").call("leak", "100");
    case.fails(
        FailureCode::MemoryLimit,
        &["256 handles", "`Limits::handles`"],
    )
}

pub(super) fn own_resources() -> Case {
    let case = Case::row(44).call("make", "");
    case.fails(FailureCode::MemoryLimit, &["resources of its own"])
}

pub(super) fn secret() -> Case {
    let case = Case::row(48).call("leave", "").gives("()");
    let case = case
        .call("find", "")
        .gives("0")
        .call("leave", "")
        .gives("()");
    case.call("find", "").gives("0")
}
