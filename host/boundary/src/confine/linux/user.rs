//! From root to a user and a group that own nothing.

use super::super::{UNUSED_USER, User};
use crate::layers::Standing;
use rustix::process::{Gid, Uid, geteuid, getuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Becomes the unused user, if it may and should.
///
/// The calls change only the calling thread, where those of libc change all: there is no other.
pub(super) fn leave(user: User) -> Standing {
    if !getuid().is_root() && !geteuid().is_root() {
        let user = geteuid();
        return Standing::Missing(format!(
            "the program does not run as root, so the worker stays user {user}, like it"
        ));
    }
    let groups = set_thread_groups(&[]);
    if user == User::AsStarted {
        return Standing::Missing("it was asked to stay root".to_owned());
    }
    let (uid, gid) = (Uid::from_raw(UNUSED_USER), Gid::from_raw(UNUSED_USER));
    // The user last: with it goes the right to change the group.
    let changed =
        set_thread_res_gid(gid, gid, gid).and_then(|()| set_thread_res_uid(uid, uid, uid));
    match (changed, groups) {
        (Ok(()), Ok(())) => Standing::Full,
        (Ok(()), Err(errno)) => {
            Standing::Partial(format!("it keeps its supplementary groups: {errno}"))
        }
        (Err(errno), _) => Standing::Missing(format!("it stays root: {errno}")),
    }
}
