//! The powers of root, all of which go.

use super::{ConfineError, fail};
use crate::layers::Layer;
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
    let is_there = has(kept);
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

/// Drops those that the thread has, and looks whether they are gone.
pub(super) fn drop_all() -> Result<(), ConfineError> {
    let failed =
        |reason: &dyn std::fmt::Display| fail(Layer::Capabilities, "drop all of them", reason);
    clear_ambient_capability_set().map_err(|errno| failed(&errno))?;
    set_capabilities(None, NONE).map_err(|errno| failed(&errno))?;
    match capabilities(None) {
        Ok(NONE) => Ok(()),
        Ok(_) => Err(failed(&"some are still there")),
        Err(errno) => Err(failed(&errno)),
    }
}
