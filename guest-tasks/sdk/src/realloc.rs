//! `cabi_realloc`, with which the host allocates memory for arguments: from Rust's own allocator,
//! so that strings and lists can take the memory over as it is.

use std::alloc::{Layout, alloc, handle_alloc_error, realloc};
use std::ptr;

/// Allocates `new_len` bytes, moving what is at `old`, if anything.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_len: usize,
    align: usize,
    new_len: usize,
) -> *mut u8 {
    if new_len == 0 {
        return ptr::without_provenance_mut(align);
    }
    // SAFETY: the host keeps to the canonical ABI: it hands back what it was given, with its length and alignment, and
    // asks for alignments that types have.
    unsafe {
        let layout =
            Layout::from_size_align_unchecked(if old_len == 0 { new_len } else { old_len }, align);
        let room = if old_len == 0 {
            alloc(layout)
        } else {
            realloc(old, layout, new_len)
        };
        if room.is_null() {
            handle_alloc_error(layout);
        }
        room
    }
}
