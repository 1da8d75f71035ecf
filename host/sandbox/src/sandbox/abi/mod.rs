//! The canonical ABI, spoken by hand with core modules (32-bit memories, UTF-8 strings).
//!
//! `layout` knows where things lie, `lower` writes values into a guest, `lift` reads them out.
//! Values are in their packed form on the host's side, so that no value tree is built for data
//! that only passes through. Every pointer and length a guest gives is checked against its
//! memory before anything is read, written or allocated.

mod layout;
mod lift;
mod lower;
mod memory;

pub(super) use layout::{Layout, Signature};
pub(super) use lift::{LiftError, lift_result};
pub(super) use lower::{
    Flat, LowerError, flat_argument, lower_list_of, lower_memory, lower_params,
};
pub(super) use memory::GuestMemory;
