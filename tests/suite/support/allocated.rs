//! What this process has allocated.

#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

/// How many bytes are allocated now: what is leaked stays among them, and what the allocator holds back does not count,
/// as it does in the memory that the system sees.
pub(crate) fn allocated() -> usize {
    ALLOCATOR.allocated()
}
