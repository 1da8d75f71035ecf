//! May reach a peer, and makes sockets until there are no more. It fails where it has as many as its limit on handles.

use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

fn main() {
    let mut held = Vec::new();
    loop {
        match create_tcp_socket(IpAddressFamily::Ipv4) {
            Ok(socket) => held.push(socket),
            Err(error) => println!("{} after {}", error.name(), held.len()),
        }
    }
}
