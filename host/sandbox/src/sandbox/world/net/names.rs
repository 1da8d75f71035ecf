//! `wasi:sockets/ip-name-lookup`, answered from the addresses of the job's names: no query for any
//! other name leaves the machine. It replaces wasmtime's own, which asks for whatever a guest
//! names.

use super::super::state::GuestState;
use super::{Peers, Refusals};
use crate::grants::host_name;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    self, Host, HostResolveAddressStream, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, SocketError, SocketResult, subscribe};
use wasmtime_wasi::sockets::WasiSocketsView as _;

/// Defines the interface, replacing wasmtime's.
pub(in crate::sandbox) fn define(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let defined = ip_name_lookup::add_to_linker::<GuestState, Names>(linker, |state| {
        let (peers, refusals) = state.peers();
        Lookups {
            table: state.sockets().table,
            peers,
            refusals,
        }
    });
    linker.allow_shadowing(false);
    defined
}

struct Names;

impl HasData for Names {
    type Data<'a> = Lookups<'a>;
}

/// What look-ups of a guest need of its state.
struct Lookups<'a> {
    table: &'a mut ResourceTable,
    peers: Arc<Peers>,
    refusals: Refusals,
}

/// The answers to one look-up.
enum Answers {
    /// They are known.
    Given(std::vec::IntoIter<IpAddr>),
    /// Those of the name with this index, which may have to be looked up.
    OfName {
        peers: Arc<Peers>,
        place: usize,
        given: usize,
    },
}

/// The same handle, by the name that its entry in the table has: the type that wasmtime's bindings
/// name cannot be made outside of wasmtime, and only we look into the entry.
fn own(stream: &Resource<ResolveAddressStream>) -> Resource<Answers> {
    Resource::new_borrow(stream.rep())
}

impl Host for Lookups<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.table.get(&network)?;
        let asked = asked(&self.peers, &self.refusals, &name).ok_or(ErrorCode::InvalidArgument)?;
        let answers = match asked {
            Asked::Address(address) => Answers::Given(vec![address].into_iter()),
            Asked::Refused => return Err(ErrorCode::AccessDenied.into()),
            Asked::Name(place) => {
                // A guest may ask again and again without waiting for the answer.
                self.peers.ask();
                Answers::OfName {
                    peers: Arc::clone(&self.peers),
                    place,
                    given: 0,
                }
            }
        };
        let answers = self.table.push(answers)?;
        Ok(Resource::new_own(answers.rep()))
    }
}

/// What a guest asks for.
pub(super) enum Asked {
    Address(IpAddr),
    /// The name of the job with this index.
    Name(usize),
    /// A name that is not granted, which is noted.
    Refused,
}

/// Finds out what a guest asks for by `name`; `None` if it is neither a name nor an address.
pub(super) fn asked(peers: &Peers, refusals: &Refusals, name: &str) -> Option<Asked> {
    if let Some(address) = literal(name) {
        return Some(Asked::Address(address));
    }
    let name = host_name(name)?;
    if let Some(place) = peers.place(&name) {
        return Some(Asked::Name(place));
    }
    refusals.note(|| {
        format!("access to the name `{name}` was denied (grant `{name}:PORT` with `Grants::net`)")
    });
    Some(Asked::Refused)
}

/// Parses an address, with or without brackets.
pub(super) fn literal(text: &str) -> Option<IpAddr> {
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    match inner {
        Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

impl HostResolveAddressStream for Lookups<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let (peers, place, given) = match self.table.get_mut(&own(&stream))? {
            Answers::Given(addresses) => return Ok(addresses.next().map(IpAddress::from)),
            Answers::OfName {
                peers,
                place,
                given,
            } => (peers, *place, given),
        };
        let Some(addresses) = peers.known(place) else {
            return Err(ErrorCode::WouldBlock.into());
        };
        if addresses.is_empty() {
            self.refusals.note_no_address(peers.name(place));
            return Err(ErrorCode::NameUnresolvable.into());
        }
        let next = addresses.get(*given).copied().map(IpAddress::from);
        *given += 1;
        Ok(next)
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, own(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table
            .delete(Resource::<Answers>::new_own(stream.rep()))?;
        Ok(())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Answers {
    async fn ready(&mut self) {
        if let Self::OfName { peers, place, .. } = self {
            peers.addresses(*place).await;
        }
    }
}

impl network::Host for Lookups<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        _: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        // It belongs to another interface, which wasmtime answers.
        Ok(None)
    }
}

impl network::HostNetwork for Lookups<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}
