//! A guest's linear memory, as lowering and lifting see it: checked reads and writes.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wasmtime::{AsContextMut, Memory, Store, TypedFunc};

/// Whether a function may wait for something outside the guest, so that it must be called as a
/// future that can be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Waits {
    Never,
    Maybe,
}

/// A guest's memory, and the function by which it allocates for the host.
pub(in crate::sandbox) struct GuestMemory<'a, T: 'static> {
    pub(super) store: &'a mut Store<T>,
    /// None if the module exports none, and then none of its functions needs it.
    pub(super) memory: Option<Memory>,
    pub(super) realloc: Option<TypedFunc<(u32, u32, u32, u32), u32>>,
    waits: Waits,
}

/// How a guest's allocation can fail.
#[derive(Debug)]
pub(super) enum RoomError {
    /// It trapped or was stopped.
    Call(wasmtime::Error),
    /// It returned a place outside its memory, or one that is not aligned.
    Place(String),
    /// It has no such function.
    NoRealloc,
}

impl<'a, T: Send + 'static> GuestMemory<'a, T> {
    pub(in crate::sandbox) fn new(
        store: &'a mut Store<T>,
        memory: Option<Memory>,
        realloc: Option<TypedFunc<(u32, u32, u32, u32), u32>>,
        waits: Waits,
    ) -> Self {
        Self {
            store,
            memory,
            realloc,
            waits,
        }
    }

    /// Asks the guest for `size` bytes and checks its answer. Does not ask for 0 bytes.
    pub(super) fn room(&mut self, size: u32, align: u32) -> Result<u32, RoomError> {
        if size == 0 {
            return Ok(align);
        }
        let realloc = self.realloc.as_ref().ok_or(RoomError::NoRealloc)?;
        let memory = self.memory.ok_or(RoomError::NoRealloc)?;
        let arguments = (0, 0, align, size);
        let place = match self.waits {
            Waits::Never => realloc.call(self.store.as_context_mut(), arguments),
            Waits::Maybe => {
                // Allocating does not wait, so one poll of the future is enough; lowering as a
                // chain of futures would cost each element of a list an allocation.
                let mut call = pin!(realloc.call_async(self.store.as_context_mut(), arguments));
                match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(place) => place,
                    Poll::Pending => {
                        return Err(RoomError::Place("cabi_realloc blocked".to_owned()));
                    }
                }
            }
        }
        .map_err(RoomError::Call)?;
        let end = u64::from(place) + u64::from(size);
        let memory = memory.data_size(&*self.store) as u64;
        if end > memory {
            return Err(RoomError::Place(format!(
                "cabi_realloc returned {place} for {size} bytes, in a memory of {memory} bytes"
            )));
        }
        if !place.is_multiple_of(align) {
            return Err(RoomError::Place(format!(
                "cabi_realloc returned {place}, which is not a multiple of {align}"
            )));
        }
        Ok(place)
    }

    /// Returns the bytes at `place`, which [`Self::room`] has checked. The guest may have grown its
    /// memory since, but never shrunk it.
    pub(super) fn slot(&mut self, place: u32, size: u32) -> &mut [u8] {
        let start = place as usize;
        let memory = self.memory.map(|memory| memory.data_mut(&mut *self.store));
        &mut memory.unwrap_or_default()[start..start + size as usize]
    }
}
