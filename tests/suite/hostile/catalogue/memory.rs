//! Guests that want more memory than they may have.

use super::{Case, Expected};
use rwasm_cluster::{ByteSize, FailureCode, Reuse};

/// What most of them may have.
fn small(row: u8) -> Case {
    Case::row(row).memory(ByteSize::mib(32))
}

const REFUSED: Expected =
    Expected::Failure(FailureCode::MemoryLimit, &["32MiB", "`Limits::memory`"]);
const TABLES: Expected = Expected::Failure(
    FailureCode::MemoryLimit,
    &["100000", "`Limits::table_elements`"],
);

pub(super) fn grow_to_4_gib() -> Case {
    Case::row(8).call("grow", "").gives("-1")
}

pub(super) fn grow_and_die() -> Case {
    small(8).run().ends(REFUSED)
}

pub(super) fn grow_forever() -> Case {
    small(8).endless().run().times_out()
}

pub(super) fn hoard_in_a_map() -> Case {
    small(8).run().ends(REFUSED)
}

pub(super) fn hoard_in_pieces() -> Case {
    small(8).run().gives("true\n")
}

pub(super) fn begins_too_large() -> Case {
    small(9).run().ends(REFUSED)
}

pub(super) fn many_memories() -> Case {
    small(10).run().ends(REFUSED)
}

pub(super) fn many_memories_that_grow() -> Case {
    // Two memories of one page and 15 times 16 pages each, and once for the first alone.
    small(10).call("pages", "").gives("498")
}

pub(super) fn many_tables() -> Case {
    Case::row(10).run().ends(TABLES)
}

pub(super) fn hundred_memories() -> Case {
    // Where instances come from a pool it has no room for a hundred in one.
    let case = small(10).perhaps_refused();
    case.run().succeeds()
}

pub(super) fn grow_table() -> Case {
    Case::row(11).call("grow", "").gives("-1")
}

pub(super) fn begins_with_a_large_table() -> Case {
    Case::row(11).run().ends(TABLES)
}

pub(super) fn begins_with_a_huge_table() -> Case {
    Case::row(11).perhaps_refused().run().ends(TABLES)
}

pub(super) fn memory_of_64_bits() -> Case {
    Case::row(12).refused(&["memory64"])
}

pub(super) fn collected_objects() -> Case {
    Case::row(12).refused(&["gc proposal"])
}

pub(super) fn collected_array() -> Case {
    Case::row(12).refused(&["gc proposal"])
}

pub(super) fn four_memories() -> Case {
    let case = Case::row(10).reuse(Reuse::Engine);
    case.call("count", "")
        .gives("1")
        .call("count", "")
        .gives("2")
}
