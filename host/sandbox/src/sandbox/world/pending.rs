//! Calls of the host that a guest has begun and that go on, in WASI 0.3: a bound on their number, and the clocks.
//!
//! wasmtime frees the entry of a call that the guest cancels, but keeps the call until the guest waits for something. So
//! they are counted here, from their beginning until they are dropped.

use super::state::GuestState;
use crate::sandbox::module::imports::PREVIEW3;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmtime::component::{Accessor, Linker, ResourceTableError};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::p3::bindings::clocks::monotonic_clock::HostWithStore as _;

/// The calls of a guest that go on.
#[derive(Debug)]
pub(in crate::sandbox) struct Pending {
    count: Arc<AtomicUsize>,
    most: usize,
}

/// One of them, which is no more when this is dropped.
pub(super) struct Call(Arc<AtomicUsize>);

impl Pending {
    pub(super) fn new(most: usize) -> Self {
        let count = Arc::default();
        Self { count, most }
    }

    /// How many go on.
    pub(in crate::sandbox) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Begins a call.
    ///
    /// # Errors
    ///
    /// Returns the error of a table without room if there are too many.
    pub(super) fn begin(&self) -> wasmtime::Result<Call> {
        let call = Call(Arc::clone(&self.count));
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.most {
            return Err(ResourceTableError::Full.into());
        }
        Ok(call)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Begins a call of the guest.
pub(super) fn begin(accessor: &Accessor<GuestState>) -> wasmtime::Result<Call> {
    accessor.with(|mut access| access.get().pending.begin())
}

/// Defines functions in place of wasmtime's.
pub(super) fn replacing(
    linker: &mut Linker<GuestState>,
    define: impl FnOnce(&mut Linker<GuestState>) -> wasmtime::Result<()>,
) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let defined = define(linker);
    linker.allow_shadowing(false);
    defined
}

/// Defines the waits of the clock, in place of wasmtime's, to which they are passed.
pub(in crate::sandbox) fn define(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    replacing(linker, replace)
}

fn replace(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut clock = linker.instance(&format!("wasi:clocks/monotonic-clock@{PREVIEW3}"))?;
    clock.func_wrap_concurrent("wait-until", |accessor, (when,): (u64,)| {
        let call = begin(accessor);
        Box::pin(async move {
            let _call = call?;
            let clocks = accessor.with_getter::<WasiClocks>(GuestState::clocks);
            WasiClocks::wait_until(&clocks, when).await
        })
    })?;
    clock.func_wrap_concurrent("wait-for", |accessor, (time,): (u64,)| {
        let call = begin(accessor);
        Box::pin(async move {
            let _call = call?;
            let clocks = accessor.with_getter::<WasiClocks>(GuestState::clocks);
            WasiClocks::wait_for(&clocks, time).await
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_are_over_make_room_for_others() {
        let pending = Pending::new(2);
        let calls = [pending.begin(), pending.begin()];
        assert!(calls.iter().all(Result::is_ok));
        assert!(pending.begin().is_err() && pending.begin().is_err());
        drop(calls);
        assert!(pending.begin().is_ok());
    }
}
