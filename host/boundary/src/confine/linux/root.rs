//! A root directory in which there is nothing, so that a path leads nowhere: Landlock lets everybody ask whether a file
//! exists and how large it is.
//!
//! It does not hold back who has a descriptor of a directory outside and goes up from there; that is Landlock's.

use super::capabilities;
use crate::layers::Standing;
use rustix::io;
use rustix::process::{DumpableBehavior, chdir, chroot, set_dumpable_behavior};
use rustix::thread::CapabilitySet;

/// A directory that is always there, and in which nobody can make anything. It lists descriptors of this process, which is
/// about to be forbidden too: when it is no longer dumpable, this belongs to root.
const EMPTY: &str = "/proc/self/fdinfo";

pub(super) fn empty() -> Standing {
    if !capabilities::has(CapabilitySet::SYS_CHROOT) {
        return Standing::Missing(
            "it takes a user namespace, or root with the capability `SYS_CHROOT`".to_owned(),
        );
    }
    match change() {
        Ok(()) => Standing::Full,
        Err(errno) => Standing::Missing(format!("the kernel or the container refuses it: {errno}")),
    }
}

fn change() -> io::Result<()> {
    // A change of user has turned this off, and with it the way into the directory.
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    chroot(EMPTY)?;
    chdir("/")
}
