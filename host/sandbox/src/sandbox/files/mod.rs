//! Files as guests reach them: `wasmtime-wasi` opens, reads and writes them, and here is what it
//! does not do. It keeps the account of what a task writes and makes, opens nothing but files and
//! directories, and answers with an error where the handles are used up, which is a trap otherwise.
//!
//! `p1` stands before the functions of preview 1, `p2` before the interface of preview 2.

mod listing;
mod p1;
mod p2;

pub(super) use p1::define as define_in_core;
pub(super) use p2::define as define_in_component;

use super::quota::Quota;
use crate::grants::{Access, Grants};
use crate::limits::Limits;
use listing::Listing;
use wasmtime::component::{Resource, ResourceTable};

/// What is kept of a guest's files beside what `wasmtime-wasi` has.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// None where nothing can be written.
    pub(super) quota: Option<Quota>,
    /// Whether it was refused a handle.
    pub(super) handles_refused: bool,
    /// Where the last write ended, by preview 1.
    end: Option<End>,
    /// The directory that was listed last, by preview 1.
    listing: Option<Listing>,
    /// How many listings of directories it holds, by preview 2.
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

    /// For the next task in the same instance. What it has open it keeps.
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
