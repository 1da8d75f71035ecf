//! The network, as far as it is granted: which peers a guest may reach, and the addresses of names.
//!
//! `peers` is the list of a job with the addresses of its names, `lookup` asks the system for them,
//! `names` answers the guest's own look-ups, `create` refuses sockets where no peer is granted, all but one, and `preview3`
//! does both for WASI 0.3. The sockets themselves are wasmtime's, which asks before each use of an address. `destination` is where the
//! host connects for a guest.

mod create;
mod destination;
mod lookup;
mod names;
mod peers;
mod preview3;

/// Defines what replaces wasmtime's own functions.
pub(in crate::sandbox) fn define(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    names::define(linker)?;
    create::define(linker)
}

pub(in crate::sandbox) use destination::{Unreachable, destination};
pub(in crate::sandbox) use preview3::define as define_in_preview3;

#[doc(hidden)]
pub use peers::Peers;

use super::state::GuestState;
use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

/// The most refusals of a task that are reported; for a guest that scans, the first ones.
const MAX_REFUSALS: usize = 4;

/// What a task was refused of the network.
#[derive(Clone, Default)]
pub(in crate::sandbox) struct Refusals(Arc<Refused>);

#[derive(Default)]
struct Refused {
    texts: Mutex<BTreeSet<String>>,
    /// Whether a guest that is granted nothing has had its socket.
    had_socket: AtomicBool,
}

impl Refusals {
    fn note(&self, what: impl FnOnce() -> String) {
        let mut refusals = self.texts();
        if refusals.len() < MAX_REFUSALS {
            refusals.insert(what());
        }
    }

    /// Notes that it may not use the network at all.
    fn note_network(&self) {
        self.note(|| {
            "access to the network was denied (grant `HOST:PORT` with `Grants::net`)".to_owned()
        });
    }

    /// Notes that it may not reach this peer.
    fn note_peer(&self, peer: &dyn Display) {
        self.note(|| {
            format!("access to the peer {peer} was denied (grant `{peer}` with `Grants::net`)")
        });
    }

    /// Notes that a name that is granted leads nowhere.
    fn note_no_address(&self, name: &str) {
        self.note(|| format!("the name `{name}` has no address that the task can use"));
    }

    /// Notes that it had as many HTTP requests going on as it may have.
    pub(in crate::sandbox) fn note_requests(&self, most: usize) {
        self.note(|| {
            format!("it had {most} HTTP requests going on, the most that a task may have")
        });
    }

    /// Whether this is the first socket of a guest that is granted nothing, in all its tasks.
    fn is_first_socket(&self) -> bool {
        !self.0.had_socket.swap(true, Ordering::Relaxed)
    }

    fn texts(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the refusals, as a suffix for the failure of the task.
    pub(in crate::sandbox) fn take(&self) -> Option<String> {
        let refusals = std::mem::take(&mut *self.texts());
        let mut text = String::new();
        for what in refusals {
            // Writing to a string cannot fail.
            let _ = write!(text, "; {what}");
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Lets a guest reach these peers only.
pub(super) fn allow(builder: &mut WasiCtxBuilder, peers: &Arc<Peers>, refusals: &Refusals) {
    // `names` answers names, whatever is granted.
    builder.allow_ip_name_lookup(false);
    let any = !peers.is_empty();
    builder.allow_tcp(true).allow_udp(any);
    let (peers, refusals) = (Arc::clone(peers), refusals.clone());
    builder.socket_addr_check(move |address, purpose| {
        let (peers, refusals) = (Arc::clone(&peers), refusals.clone());
        Box::pin(async move { is_allowed(&peers, &refusals, address, purpose).await })
    });
}

async fn is_allowed(
    peers: &Arc<Peers>,
    refusals: &Refusals,
    address: SocketAddr,
    purpose: SocketAddrUse,
) -> bool {
    match purpose {
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend => {
            let allowed = peers.allow(address).await;
            if !allowed {
                refusals.note_peer(&address);
            }
            allowed
        }
        SocketAddrUse::UdpReceive => peers.allow(address).await,
        // Sending and connecting need a local port, which the system picks.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
            address.ip().is_unspecified() && address.port() == 0
        }
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
    }
}
