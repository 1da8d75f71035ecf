//! Files that are not modules, and modules that take too much to load.

use super::Case;
use rwasm_cluster::FailureCode;

pub(super) fn empty_file() -> Case {
    Case::row(31).refused(&["not a WebAssembly module", "empty"])
}

pub(super) fn cut_off() -> Case {
    Case::row(31).refused(&["not valid", "truncated"])
}

pub(super) fn random_bytes() -> Case {
    Case::row(31).refused(&["not a WebAssembly module", "it begins with"])
}

pub(super) fn plain_text() -> Case {
    Case::row(31).refused(&["not a WebAssembly module"])
}

pub(super) fn broken_text() -> Case {
    Case::row(31).refused(&["not valid WebAssembly text"])
}

pub(super) fn native_program() -> Case {
    Case::row(31).refused(&["not a WebAssembly module", "native program"])
}

pub(super) fn precompiled() -> Case {
    Case::row(31).refused(&["not a WebAssembly module", "precompiled"])
}

pub(super) fn flipped_bits() -> Case {
    Case::row(32).refused(&["not valid"])
}

pub(super) fn compressed() -> Case {
    Case::row(35).refused(&["not a WebAssembly module", "1f 8b"])
}

pub(super) fn very_large() -> Case {
    Case::row(36).heavy().refused(&["128MiB"])
}

pub(super) fn very_many_functions() -> Case {
    let case = Case::row(33).heavy().perhaps_refused();
    case.call("f0", "").gives("0")
}

pub(super) fn very_large_function() -> Case {
    let case = Case::row(33).heavy().perhaps_refused();
    case.call("f", "1").succeeds()
}

pub(super) fn very_many_branches() -> Case {
    let case = Case::row(33).heavy().perhaps_refused();
    case.call("f", "1").succeeds()
}

pub(super) fn deep_blocks() -> Case {
    let case = Case::row(33).heavy().perhaps_refused();
    case.call("f", "").succeeds()
}

pub(super) fn very_many_locals() -> Case {
    let case = Case::row(33).heavy().perhaps_refused();
    case.call("f", "").succeeds()
}

pub(super) fn deep_types() -> Case {
    Case::row(34).heavy().refused(&["not valid"])
}

pub(super) fn types_that_double() -> Case {
    Case::row(34).heavy().refused(&["not valid"])
}

pub(super) fn deep_components() -> Case {
    Case::row(34)
        .heavy()
        .refused(&["not valid", "deeper than 100"])
}

pub(super) fn very_many_types() -> Case {
    Case::row(34).heavy().refused(&["not valid"])
}

pub(super) fn thousand_instances() -> Case {
    let case = Case::row(37).heavy().perhaps_refused();
    case.call("f", "").fails(FailureCode::MemoryLimit, &[])
}
