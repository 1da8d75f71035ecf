//! May reach one port of 127.0.0.1, and tries all others it can think of: neighbours, other forms of the same address, the
//! metadata of cloud providers, names, ports of its own. Each is refused, and it goes on and says how.

use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::OutgoingDatagram;
use wasip2::sockets::udp_create_socket::create_udp_socket;

fn v4(address: (u8, u8, u8, u8), port: u16) -> IpSocketAddress {
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address })
}

fn v6(address: (u16, u16, u16, u16, u16, u16, u16, u16), port: u16) -> IpSocketAddress {
    IpSocketAddress::Ipv6(Ipv6SocketAddress {
        port,
        flow_info: 0,
        address,
        scope_id: 0,
    })
}

fn family(address: &IpSocketAddress) -> IpAddressFamily {
    match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    }
}

fn connect(peer: IpSocketAddress) -> Result<(), ErrorCode> {
    let socket = create_tcp_socket(family(&peer))?;
    socket.start_connect(&instance_network(), peer)?;
    loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            ended => return ended.map(drop),
        }
    }
}

fn send(peer: IpSocketAddress) -> Result<(), ErrorCode> {
    let socket = create_udp_socket(family(&peer))?;
    socket.start_bind(&instance_network(), v4((0, 0, 0, 0), 0))?;
    socket.finish_bind()?;
    let (_incoming, outgoing) = socket.stream(None)?;
    outgoing.check_send()?;
    outgoing
        .send(&[OutgoingDatagram {
            data: b"hello".to_vec(),
            remote_address: Some(peer),
        }])
        .map(drop)
}

fn listen(at: IpSocketAddress) -> Result<(), ErrorCode> {
    let socket = create_tcp_socket(family(&at))?;
    socket.start_bind(&instance_network(), at)?;
    socket.finish_bind()?;
    socket.start_listen()?;
    socket.finish_listen()
}

fn look_up(name: &str) -> Result<(), ErrorCode> {
    resolve_addresses(&instance_network(), name).map(drop)
}

fn main() {
    let local = (127, 0, 0, 1);
    let tried = [
        ("another port", connect(v4(local, 10))),
        ("a neighbour", connect(v4((127, 0, 0, 2), 9))),
        ("metadata", connect(v4((169, 254, 169, 254), 80))),
        ("itself by IPv6", connect(v6((0, 0, 0, 0, 0, 0, 0, 1), 9))),
        (
            "a mapped address",
            connect(v6((0, 0, 0, 0, 0, 0xffff, 0x7f00, 1), 9)),
        ),
        ("a datagram", send(v4((127, 0, 0, 2), 9))),
        ("a datagram to all", send(v4((255, 255, 255, 255), 9))),
        ("a server", listen(v4((0, 0, 0, 0), 0))),
        ("a server at a port", listen(v4(local, 9))),
        ("localhost", look_up("localhost")),
        ("a secret in a name", look_up("secret.example.com")),
        ("an odd address", look_up("2130706433")),
    ];
    for (what, ended) in tried {
        match ended {
            Ok(()) => println!("{what}: it went well"),
            Err(error) => println!("{what}: {}", error.name()),
        }
    }
}
