//! The functions that create sockets, which a guest may only have if some peer is granted: sockets are
//! descriptors of this process. They replace wasmtime's own, whose refusal nobody would hear of.
//!
//! Without a grant a guest gets one TCP socket all the same. It reaches nobody, and its refusal can name the peer. A
//! datagram socket has to be bound before it names one, and could be sent to from then on.

use super::super::state::GuestState;
use super::Refusals;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{Network, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{WasiSocketsCtxView, WasiSocketsView as _};

/// Defines the functions, replacing wasmtime's.
pub(in crate::sandbox) fn define(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let defined = tcp_create_socket::add_to_linker::<GuestState, Creating>(linker, creating)
        .and_then(|()| udp_create_socket::add_to_linker::<GuestState, Creating>(linker, creating));
    linker.allow_shadowing(false);
    defined
}

fn creating(state: &mut GuestState) -> Sockets<'_> {
    let (peers, refusals) = state.peers();
    Sockets {
        any_granted: !peers.is_empty(),
        refusals,
        view: state.sockets(),
    }
}

struct Creating;

impl HasData for Creating {
    type Data<'a> = Sockets<'a>;
}

struct Sockets<'a> {
    any_granted: bool,
    refusals: Refusals,
    view: WasiSocketsCtxView<'a>,
}

impl Sockets<'_> {
    fn refused(&self) -> SocketError {
        self.refusals.note_network();
        ErrorCode::AccessDenied.into()
    }
}

impl tcp_create_socket::Host for Sockets<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        if !self.any_granted && !self.refusals.is_first_socket() {
            return Err(self.refused());
        }
        let made = tcp_create_socket::Host::create_tcp_socket(&mut self.view, family);
        // A worker without a grant can make none.
        if made.is_err() && !self.any_granted {
            return Err(self.refused());
        }
        made
    }
}

impl udp_create_socket::Host for Sockets<'_> {
    async fn create_udp_socket(
        &mut self,
        family: IpAddressFamily,
    ) -> SocketResult<Resource<UdpSocket>> {
        if !self.any_granted {
            return Err(self.refused());
        }
        udp_create_socket::Host::create_udp_socket(&mut self.view, family).await
    }
}

impl network::Host for Sockets<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.view, error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.view, error)
    }
}

impl network::HostNetwork for Sockets<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.view, network)
    }
}
