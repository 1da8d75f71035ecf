//! Where a connection that the host makes for a guest goes: to a host and a port that are granted, at the addresses that
//! the host's name has for the job.

use super::names::literal;
use super::{Peers, Refusals};
use crate::grants::host_name;
use std::net::SocketAddr;
use std::sync::Arc;

/// Why a guest reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Unreachable {
    /// It named neither a host nor an address.
    Malformed,
    /// The peer is not granted, which is noted.
    Denied,
    /// The name has no address that may be used, which is noted.
    NoAddress,
}

/// Returns the addresses of the peer that a guest names, by name or by address.
pub(in crate::sandbox) async fn destination(
    peers: &Arc<Peers>,
    refusals: &Refusals,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Unreachable> {
    if let Some(address) = literal(host) {
        let address = SocketAddr::new(address, port);
        if peers.allow(address).await {
            return Ok(vec![address]);
        }
        refusals.note_peer(&address);
        return Err(Unreachable::Denied);
    }
    let name = host_name(host).ok_or(Unreachable::Malformed)?;
    let Some(place) = peers.place_at(&name, port) else {
        refusals.note_peer(&format_args!("{name}:{port}"));
        return Err(Unreachable::Denied);
    };
    let addresses = peers.addresses(place).await;
    if addresses.is_empty() {
        refusals.note_no_address(&name);
        return Err(Unreachable::NoAddress);
    }
    let addresses = addresses.iter();
    Ok(addresses
        .map(|address| SocketAddr::new(*address, port))
        .collect())
}
