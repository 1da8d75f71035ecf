//! May reach a peer, and waits on many sockets for what nobody sends. It is ended by its time, and its sockets with it.

use wasip2::io::poll::poll;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::udp_create_socket::create_udp_socket;

fn main() {
    let sockets: Vec<_> = (0..20)
        .map(|_| create_udp_socket(IpAddressFamily::Ipv4).expect("a socket"))
        .collect();
    let streams: Vec<_> = sockets
        .iter()
        .map(|socket| {
            let anywhere = IpSocketAddress::Ipv4(Ipv4SocketAddress {
                port: 0,
                address: (0, 0, 0, 0),
            });
            socket
                .start_bind(&instance_network(), anywhere)
                .and_then(|()| socket.finish_bind())
                .and_then(|()| socket.stream(None))
                .expect("it can wait")
        })
        .collect();
    let ready: Vec<_> = streams
        .iter()
        .map(|(incoming, _)| incoming.subscribe())
        .collect();
    loop {
        poll(&ready.iter().collect::<Vec<_>>());
    }
}
