//! The canonical ABI, written by hand for core modules (32-bit memories, UTF-8 strings).
//!
//! `layout` knows where things are, `lower` writes values into a guest, and `lift` reads them.
//! Components, for which wasmtime speaks the ABI, take and return its dynamic values (see `val`), and streams of
//! `element`s. On
//! the host, values are in packed form, so that data that only passes through needs no tree of
//! values. Every pointer and length from a guest is checked against its memory before anything is
//! read, written or allocated.

mod element;
mod layout;
mod lift;
mod lower;
mod memory;
pub(super) mod val;

pub(super) use element::{Element, carried, with_element};
pub(super) use layout::{Layout, Signature};
pub(super) use lift::{LiftError, lift_result};
pub(super) use lower::{
    Flat, LowerError, flat_argument, lower_list_of, lower_memory, lower_params,
};
pub(super) use memory::{GuestMemory, Waits};
