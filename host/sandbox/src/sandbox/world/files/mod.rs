//! A guest's files: `wasmtime-wasi` opens, reads and writes them, and this module adds what it does
//! not do. It keeps account of what a task writes and creates, opens nothing but files and
//! directories, and returns an error when the handles are used up, which otherwise traps.
//!
//! `p1` wraps the functions of preview 1, `p2` the interface of preview 2, `p3` that of WASI 0.3.

mod listing;
mod p1;
mod p2;
mod p3;

pub(in crate::sandbox) use p1::define as define_in_core;
pub(in crate::sandbox) use p2::define as define_in_component;
pub(in crate::sandbox) use p3::define as define_in_preview3;

use super::quota::Quota;
use crate::grants::{Access, Grants};
use crate::limits::Limits;
use listing::Listing;
use wasmtime::component::{Resource, ResourceTable};

/// What is kept of a guest's files beside what `wasmtime-wasi` keeps.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Files {
    /// None if nothing can be written.
    pub(in crate::sandbox) quota: Option<Quota>,
    /// Whether it was refused a handle.
    pub(in crate::sandbox) handles_refused: bool,
    /// Where the last write ended, in preview 1.
    end: Option<End>,
    /// The directory that was listed last, in preview 1.
    listing: Option<Listing>,
    /// The number of directory listings it holds, in preview 2.
    listings: usize,
}

/// The end of a write.
#[derive(Clone, Copy, Debug)]
struct End {
    fd: i32,
    position: u64,
}

impl Files {
    pub(super) fn new(grants: &Grants, limits: &Limits) -> Self {
        let is_writable = |access: Access| access != Access::ReadOnly;
        let writes = grants.dirs.iter().any(|dir| is_writable(dir.access));
        Self {
            quota: writes.then(|| Quota::new(limits)),
            ..Self::default()
        }
    }

    /// Resets it for the next task in the same instance, which keeps its open files.
    pub(super) fn rearm(&mut self, limits: &Limits) {
        self.handles_refused = false;
        if let Some(quota) = &self.quota {
            quota.rearm(limits);
        }
    }
}

/// Whether the table has room for this many handles.
fn has_room(table: &mut ResourceTable, wanted: usize) -> bool {
    let mut tried: Vec<Resource<()>> = Vec::with_capacity(wanted);
    while tried.len() < wanted
        && let Ok(handle) = table.push(())
    {
        tried.push(handle);
    }
    let has_room = tried.len() == wanted;
    for handle in tried {
        // It was pushed just now.
        let _ = table.delete(handle);
    }
    has_room
}
