//! Guests that were granted one peer on the network, and want more.

use super::Case;
use rwasm_cluster::{FailureCode, Grants};

/// The discard port, where most likely nobody listens; nothing is sent there.
fn granted() -> Case {
    let grants = Grants::none().net("127.0.0.1:9".parse().expect("a peer"));
    Case::row(47).grants(grants)
}

pub(super) fn reach_other_peers() -> Case {
    granted().run().gives(
        "another port: access-denied\n\
         a neighbour: access-denied\n\
         metadata: access-denied\n\
         itself by IPv6: access-denied\n\
         a mapped address: invalid-argument\n\
         a datagram: access-denied\n\
         a datagram to all: access-denied\n\
         a server: access-denied\n\
         a server at a port: access-denied\n\
         localhost: access-denied\n\
         a secret in a name: access-denied\n\
         an odd address: invalid-argument\n",
    )
}

pub(super) fn hold_sockets_without_end() -> Case {
    granted().run().fails(
        FailureCode::MemoryLimit,
        &["256 handles", "`Limits::handles`"],
    )
}

pub(super) fn wait_for_datagrams() -> Case {
    granted().endless().run().times_out()
}
