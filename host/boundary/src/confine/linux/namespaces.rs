//! Namespaces of its own, in which there is nothing.

use super::capabilities;
use crate::layers::{Layer, Standing};
use rustix::io::{self, Errno};
use rustix::thread::{CapabilitySet, UnshareFlags};

/// The flag of the network namespace.
pub(crate) const NETWORK: UnshareFlags = UnshareFlags::NEWNET;

const OTHERS: UnshareFlags = UnshareFlags::NEWIPC.union(UnshareFlags::NEWUTS);

/// What is wanted, and how far it is.
pub(super) struct Namespaces {
    user: Standing,
    network: Standing,
    others: Standing,
    keeps_network: bool,
}

impl Namespaces {
    /// Nothing made so far. A worker with sockets keeps the network.
    pub(super) fn wanted(keeps_network: bool) -> Self {
        let not_yet = || Standing::Missing(String::new());
        Self {
            user: not_yet(),
            network: if keeps_network {
                Standing::Missing("left out, since sockets are granted".to_owned())
            } else {
                not_yet()
            },
            others: not_yet(),
            keeps_network,
        }
    }

    /// Makes those for which root needs no user namespace.
    pub(super) fn make_as_root(&mut self) {
        if capabilities::has(CapabilitySet::SYS_ADMIN) {
            self.make_inner();
        }
    }

    /// Makes a user namespace, and by its capabilities what is not there yet.
    ///
    /// Nobody is mapped in it, so that no number inside means a user of outside. Files are opened as before, since that goes by
    /// the users outside.
    pub(super) fn make_as_anyone(&mut self) {
        self.user = attempt(UnshareFlags::NEWUSER);
        self.make_inner();
    }

    fn make_inner(&mut self) {
        if !self.keeps_network && !self.network.is_full() {
            self.network = attempt(NETWORK);
        }
        if !self.others.is_full() {
            self.others = attempt(OTHERS);
        }
    }

    /// Whether it is in a user namespace of its own.
    pub(super) fn has_own_users(&self) -> bool {
        self.user.is_full()
    }

    pub(super) fn into_layers(self) -> Vec<(Layer, Standing)> {
        vec![
            (Layer::UserNamespace, self.user),
            (Layer::NetworkNamespace, self.network),
            (Layer::OtherNamespaces, self.others),
        ]
    }
}

fn attempt(which: UnshareFlags) -> Standing {
    match unshare(which) {
        Ok(()) => Standing::Full,
        Err(Errno::NOSPC | Errno::USERS) => {
            Standing::Missing("there are as many as `user.max_*_namespaces` allows".to_owned())
        }
        Err(errno) => Standing::Missing(format!("the kernel or the container refuses it: {errno}")),
    }
}

/// Moves the calling thread into new namespaces.
#[expect(
    deprecated,
    reason = "its successor is unsafe for the flag `FILES`, which is not used here"
)]
pub(crate) fn unshare(which: UnshareFlags) -> io::Result<()> {
    debug_assert!(
        !which.contains(UnshareFlags::FILES),
        "descriptors stay shared"
    );
    rustix::thread::unshare(which)
}
