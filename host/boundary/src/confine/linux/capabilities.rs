//! The powers of root, all of which go.

use super::{ConfineError, fail, is_withheld};
use crate::layers::{Layer, Standing};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities,
};

const NONE: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// Whether the thread may use this one.
pub(super) fn has(capability: CapabilitySet) -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(capability))
}

/// Takes all of them from what a program could ever gain, if it may do so. If not, then none is there that could, and no
/// program can be started that gains one either.
pub(super) fn empty_bounding_set() {
    if !has(CapabilitySet::SETPCAP) {
        return;
    }
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        // The first that the kernel does not know.
        if remove_capability_from_bounding_set(capability).is_err() {
            break;
        }
    }
}

/// Does what takes all capabilities from root, but keeps this one.
pub(super) fn keeping<T>(kept: CapabilitySet, change: impl FnOnce() -> T) -> T {
    // Where they cannot be set, all of them would be kept.
    let can_set = capabilities(None).and_then(|sets| set_capabilities(None, sets));
    let is_there = has(kept) && can_set.is_ok();
    // If a step fails, there is less than could be, which shows in the layer for which it was kept.
    let _ = set_keep_capabilities(is_there);
    let changed = change();
    let _ = set_keep_capabilities(false);
    if is_there {
        let only = CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        };
        let _ = set_capabilities(None, only);
    }
    changed
}

/// Drops those that the thread has, and looks whether they are gone. Where there are none, nothing is asked of the kernel: a
/// deployment may forbid the call to whoever needs it not.
pub(super) fn drop_all() -> Result<Standing, ConfineError> {
    let failed =
        |reason: &dyn std::fmt::Display| fail(Layer::Capabilities, "drop all of them", reason);
    if capabilities(None) == Ok(NONE) {
        return Ok(Standing::Full);
    }
    let dropped = clear_ambient_capability_set().and_then(|()| set_capabilities(None, NONE));
    match dropped {
        Ok(()) => {}
        Err(errno) if is_withheld(errno) => {
            return Ok(Standing::Missing(format!(
                "the kernel or the container refuses to drop them: {errno}"
            )));
        }
        Err(errno) => return Err(failed(&errno)),
    }
    match capabilities(None) {
        Ok(NONE) => Ok(Standing::Full),
        Ok(_) => Err(failed(&"some are still there")),
        Err(errno) => Err(failed(&errno)),
    }
}
