//! UDP: one exchange, from a socket that is connected to its peer or to none.

use crate::address::{family, shown, socket_address};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, IpSocketAddress};
use wasip2::sockets::udp::{
    IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket,
};
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// A socket at a port of the system's choice.
fn bound(address: IpAddr, port: u16) -> Result<UdpSocket, ErrorCode> {
    let socket = create_udp_socket(family(address))?;
    socket.start_bind(&instance_network(), socket_address(address, port))?;
    socket.finish_bind()?;
    Ok(socket)
}

fn anywhere(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

pub(crate) fn bind(address: IpAddr, port: u16) -> Result<String, ErrorCode> {
    let socket = bound(address, port)?;
    Ok(shown(&socket.local_address()?))
}

pub(crate) fn exchange(peer: IpAddr, port: u16, text: &[u8]) -> Result<String, ErrorCode> {
    let socket = bound(anywhere(peer), 0)?;
    let (incoming, outgoing) = socket.stream(None)?;
    send(&outgoing, text, Some(socket_address(peer, port)))?;
    first(&incoming)
}

pub(crate) fn exchange_connected(
    peer: IpAddr,
    port: u16,
    text: &[u8],
) -> Result<String, ErrorCode> {
    let socket = bound(anywhere(peer), 0)?;
    let (incoming, outgoing) = socket.stream(Some(socket_address(peer, port)))?;
    send(&outgoing, text, None)?;
    first(&incoming)
}

pub(crate) fn receive(peer: IpAddr, port: u16) -> Result<String, ErrorCode> {
    let socket = bound(anywhere(peer), 0)?;
    let (incoming, outgoing) = socket.stream(None)?;
    let own = shown(&socket.local_address()?);
    send(&outgoing, own.as_bytes(), Some(socket_address(peer, port)))?;
    first(&incoming)
}

fn send(
    outgoing: &OutgoingDatagramStream,
    text: &[u8],
    remote_address: Option<IpSocketAddress>,
) -> Result<(), ErrorCode> {
    while outgoing.check_send()? == 0 {
        outgoing.subscribe().block();
    }
    let data = text.to_vec();
    outgoing.send(&[OutgoingDatagram {
        data,
        remote_address,
    }])?;
    Ok(())
}

fn first(incoming: &IncomingDatagramStream) -> Result<String, ErrorCode> {
    loop {
        if let Some(datagram) = incoming.receive(1)?.pop() {
            return Ok(String::from_utf8_lossy(&datagram.data).into_owned());
        }
        incoming.subscribe().block();
    }
}
