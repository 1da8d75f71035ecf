//! The functions of `rwasm:task/host`, in the core types of the canonical ABI.

use super::Level;
use super::interface::{FUNCTIONS, INTERFACE};
use crate::encode;
use std::ptr;

/// Declares the interface, for tools that make a component of the module.
#[expect(dead_code, reason = "it is read in the module, and not by it")]
#[unsafe(link_section = "component-type:rwasm-task:host")]
static SECTION: [u8; encode::import_len(INTERFACE, &FUNCTIONS)] =
    encode::import(INTERFACE, &FUNCTIONS);

#[link(wasm_import_module = "rwasm:task/host@0.2.0")]
unsafe extern "C" {
    #[link_name = "log"]
    fn host_log(level: u32, message: *const u8, length: usize);
    #[link_name = "progress"]
    fn host_progress(done: u64, has_total: u32, total: u64);
    #[link_name = "publish"]
    fn host_publish(name: *const u8, name_length: usize, value: *const u8, length: usize);
    #[link_name = "engine-id"]
    fn host_engine_id() -> u32;
    #[link_name = "engine-count"]
    fn host_engine_count() -> u32;
    #[link_name = "pushed"]
    fn host_pushed(name: *const u8, length: usize, answer: *mut Answer);
    #[cfg(feature = "panics")]
    #[link_name = "panicked"]
    fn host_panicked(
        message: *const u8,
        message_length: usize,
        file: *const u8,
        file_length: usize,
        line: u32,
        column: u32,
    );
}

/// An `option<list<u8>>` in memory.
#[repr(C)]
struct Answer {
    is_some: u8,
    start: *mut u8,
    length: usize,
}

pub(super) fn log(level: Level, message: &str) {
    // SAFETY: the host reads the text.
    unsafe { host_log(level as u32, message.as_ptr(), message.len()) }
}

pub(super) fn progress(done: u64, total: Option<u64>) {
    // SAFETY: numbers.
    unsafe { host_progress(done, total.is_some().into(), total.unwrap_or_default()) }
}

pub(super) fn publish(name: &str, value: &[u8]) {
    // SAFETY: the host reads both.
    unsafe { host_publish(name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
}

pub(super) fn engine_id() -> u32 {
    // SAFETY: a number.
    unsafe { host_engine_id() }
}

pub(super) fn engine_count() -> u32 {
    // SAFETY: a number.
    unsafe { host_engine_count() }
}

pub(super) fn pushed(name: &str) -> Option<Vec<u8>> {
    let mut answer = Answer {
        is_some: 0,
        start: ptr::null_mut(),
        length: 0,
    };
    // SAFETY: the host reads the name and writes the answer, which points to memory from `cabi_realloc`.
    unsafe {
        host_pushed(name.as_ptr(), name.len(), &raw mut answer);
        match (answer.is_some, answer.length) {
            (0, _) => None,
            (_, 0) => Some(Vec::new()),
            (_, length) => Some(Vec::from_raw_parts(answer.start, length, length)),
        }
    }
}

#[cfg(feature = "panics")]
pub(crate) fn panicked(message: &str, file: &str, line: u32, column: u32) {
    // SAFETY: the host reads both texts.
    unsafe {
        host_panicked(
            message.as_ptr(),
            message.len(),
            file.as_ptr(),
            file.len(),
            line,
            column,
        );
    }
}
