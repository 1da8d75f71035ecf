//! Addresses, and names that stand for them.

use std::net::{IpAddr, SocketAddr};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};

/// The address itself, or the first that a name has.
pub(crate) fn of(peer: &str) -> Result<IpAddr, String> {
    if let Ok(address) = peer.parse() {
        return Ok(address);
    }
    let found = look_up(peer).map_err(|error| format!("look-up: {}", error.name()))?;
    found
        .first()
        .copied()
        .ok_or_else(|| "look-up: no address".to_owned())
}

/// All addresses of a name.
pub(crate) fn look_up(name: &str) -> Result<Vec<IpAddr>, ErrorCode> {
    let answers = resolve_addresses(&instance_network(), name)?;
    let mut found = Vec::new();
    loop {
        match answers.resolve_next_address() {
            Ok(Some(IpAddress::Ipv4(bytes))) => found.push(<[u8; 4]>::from(bytes).into()),
            Ok(Some(IpAddress::Ipv6(parts))) => found.push(<[u16; 8]>::from(parts).into()),
            Ok(None) => return Ok(found),
            Err(ErrorCode::WouldBlock) => answers.subscribe().block(),
            Err(error) => return Err(error),
        }
    }
}

pub(crate) fn family(address: IpAddr) -> IpAddressFamily {
    match address {
        IpAddr::V4(_) => IpAddressFamily::Ipv4,
        IpAddr::V6(_) => IpAddressFamily::Ipv6,
    }
}

/// As WASI writes it.
pub(crate) fn socket_address(address: IpAddr, port: u16) -> IpSocketAddress {
    match address {
        IpAddr::V4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress {
            port,
            address: address.octets().into(),
        }),
        IpAddr::V6(address) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port,
            flow_info: 0,
            address: address.segments().into(),
            scope_id: 0,
        }),
    }
}

/// As people write it.
pub(crate) fn shown(address: &IpSocketAddress) -> String {
    let address = match address {
        IpSocketAddress::Ipv4(ipv4) => SocketAddr::from((<[u8; 4]>::from(ipv4.address), ipv4.port)),
        IpSocketAddress::Ipv6(ipv6) => {
            SocketAddr::from((<[u16; 8]>::from(ipv6.address), ipv6.port))
        }
    };
    address.to_string()
}
