//! The network in WASI 0.3: the functions that create sockets and look up names, in place of wasmtime's, with the rules
//! of `create` and `names`.

use super::super::pending::{begin, replacing};
use super::super::state::GuestState;
use super::names::{Asked, asked};
use crate::sandbox::module::imports::PREVIEW3;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode as LookupError;
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, HostTcpSocket, HostTcpSocketWithStore, HostUdpSocket, HostUdpSocketWithStore,
    IpAddress, IpAddressFamily, IpSocketAddress,
};
use wasmtime_wasi::p3::sockets::SocketResult;
use wasmtime_wasi::sockets::{TcpSocket, UdpSocket, WasiSockets, WasiSocketsView as _};

/// The longest datagram of IP, and the longest name of a host, in bytes.
const LONGEST_DATAGRAM: usize = 65_535;
const LONGEST_NAME: usize = 253;

type Answer<T> = wasmtime::Result<(Result<T, ErrorCode>,)>;

/// Defines the functions, replacing wasmtime's.
pub(in crate::sandbox) fn define(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    replacing(linker, replace)
}

fn replace(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut types = linker.instance(&format!("wasi:sockets/types@{PREVIEW3}"))?;
    types.func_wrap("[static]tcp-socket.create", create_tcp)?;
    types.func_wrap_async(
        "[static]udp-socket.create",
        |mut store: StoreContextMut<'_, GuestState>, (family,): (IpAddressFamily,)| {
            Box::new(async move {
                if !may_create(store.data_mut(), false) {
                    return Ok((Err(ErrorCode::AccessDenied),));
                }
                let mut sockets = store.data_mut().sockets();
                answer::<Resource<UdpSocket>>(HostUdpSocket::create(&mut sockets, family).await)
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]tcp-socket.connect",
        |accessor, (socket, peer): (Resource<TcpSocket>, IpSocketAddress)| {
            let call = begin(accessor);
            Box::pin(async move {
                let _call = call?;
                answer(HostTcpSocketWithStore::connect(&sockets(accessor), socket, peer).await)
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]udp-socket.send",
        |accessor,
         (socket, data, peer): (Resource<UdpSocket>, Vec<u8>, Option<IpSocketAddress>)| {
            let call = begin(accessor);
            let is_long = data.len() > LONGEST_DATAGRAM;
            let data = if is_long { Vec::new() } else { data };
            Box::pin(async move {
                let _call = call?;
                if is_long {
                    return Ok((Err(ErrorCode::DatagramTooLarge),));
                }
                answer(HostUdpSocketWithStore::send(&sockets(accessor), socket, data, peer).await)
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]udp-socket.receive",
        |accessor, (socket,): (Resource<UdpSocket>,)| {
            let call = begin(accessor);
            Box::pin(async move {
                let _call = call?;
                answer(HostUdpSocketWithStore::receive(&sockets(accessor), socket).await)
            })
        },
    )?;
    let mut lookup = linker.instance(&format!("wasi:sockets/ip-name-lookup@{PREVIEW3}"))?;
    lookup.func_wrap_concurrent("resolve-addresses", |accessor, (name,): (String,)| {
        let call = begin(accessor);
        let name = (name.len() <= LONGEST_NAME).then_some(name);
        Box::pin(async move {
            let _call = call?;
            let Some(name) = name else {
                return Ok((Err(LookupError::InvalidArgument),));
            };
            let (peers, refusals) = accessor.with(|mut access| access.get().peers());
            let addresses = match asked(&peers, &refusals, &name) {
                None => return Ok((Err(LookupError::InvalidArgument),)),
                Some(Asked::Refused) => return Ok((Err(LookupError::AccessDenied),)),
                Some(Asked::Address(address)) => vec![address],
                Some(Asked::Name(place)) => {
                    let addresses = peers.addresses(place).await;
                    if addresses.is_empty() {
                        refusals.note_no_address(peers.name(place));
                        return Ok((Err(LookupError::NameUnresolvable),));
                    }
                    addresses.to_vec()
                }
            };
            let addresses: Vec<IpAddress> = addresses.into_iter().map(Into::into).collect();
            Ok((Ok(addresses),))
        })
    })
}

/// The store of a guest, as wasmtime's own functions see it.
fn sockets(accessor: &Accessor<GuestState>) -> Accessor<GuestState, WasiSockets> {
    accessor.with_getter::<WasiSockets>(GuestState::sockets)
}

fn answer<T>(made: SocketResult<T>) -> Answer<T> {
    match made {
        Ok(socket) => Ok((Ok(socket),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

/// Whether a guest may have another socket. Without a grant it gets one for TCP, so that its refusal can name the peer.
fn may_create(state: &GuestState, is_tcp: bool) -> bool {
    let (peers, refusals) = state.peers();
    let may = !peers.is_empty() || is_tcp && refusals.is_first_socket();
    if !may {
        refusals.note_network();
    }
    may
}

fn create_tcp(
    mut store: StoreContextMut<'_, GuestState>,
    (family,): (IpAddressFamily,),
) -> Answer<Resource<TcpSocket>> {
    if !may_create(store.data(), true) {
        return Ok((Err(ErrorCode::AccessDenied),));
    }
    let made = answer(HostTcpSocket::create(
        &mut store.data_mut().sockets(),
        family,
    ));
    let (peers, refusals) = store.data().peers();
    // A worker without a grant can make none.
    if peers.is_empty() && matches!(made, Ok((Err(_),))) {
        refusals.note_network();
        return Ok((Err(ErrorCode::AccessDenied),));
    }
    made
}
