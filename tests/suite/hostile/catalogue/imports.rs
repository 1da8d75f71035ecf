//! Guests that import, or claim to export, what there is not.

use super::Case;
use rwasm_cluster::FailureCode;

pub(super) fn no_such_export() -> Case {
    Case::row(28).call("mapper", "").impossible(&["mapper"])
}

pub(super) fn export_of_another_type() -> Case {
    Case::row(28).refused(&["mapper", "core type", "its WIT declares"])
}

pub(super) fn export_is_no_function() -> Case {
    Case::row(28).call("mapper", "").impossible(&["mapper"])
}

pub(super) fn start_of_another_type() -> Case {
    Case::row(28).refused(&["_start"])
}

pub(super) fn unknown_import() -> Case {
    let case = Case::row(29).call("call_it", "");
    let case = case.fails(FailureCode::ImportDenied, &["`system` of `env`"]);
    case.call("leave_it", "").gives("42")
}

pub(super) fn import_of_another_type() -> Case {
    Case::row(29).refused(&["fd_write"])
}

pub(super) fn import_of_a_memory() -> Case {
    Case::row(29).refused(&["env::memory"])
}

pub(super) fn import_of_a_global() -> Case {
    Case::row(29).refused(&["the global `stack_pointer` of `env`"])
}

pub(super) fn wasi_of_another_time() -> Case {
    let case = Case::row(29).call("new", "");
    case.fails(
        FailureCode::ImportDenied,
        &["`fd_write` of `wasi_snapshot_preview9`"],
    )
}

pub(super) fn import_names_with_commands() -> Case {
    let case = Case::row(29).call("call_it", "");
    case.fails(FailureCode::ImportDenied, &["title"])
}

pub(super) fn component_asks_for_a_store() -> Case {
    let case = Case::row(29).call("open", "");
    case.fails(
        FailureCode::ImportDenied,
        &["`open` of `wasi:keyvalue/store@0.2.0`"],
    )
}

pub(super) fn component_of_another_time() -> Case {
    let case = Case::row(29).call("ask", "");
    case.fails(FailureCode::ImportDenied, &["wasi:cli/environment@0.9.0"])
}

pub(super) fn shared_memory() -> Case {
    Case::row(38).refused(&["threads"])
}

pub(super) fn waits_for_a_thread() -> Case {
    Case::row(39).refused(&["threads"])
}

pub(super) fn starts_a_thread() -> Case {
    Case::row(38).refused(&["cannot run here", "threads"])
}

pub(super) fn frees_another_type() -> Case {
    Case::row(28).refused(&["cabi_post_mapper"])
}
