//! Connects, listens, sends and looks up names, on this machine and others, metadata services among them. All is refused: it prints how
//! much went well.

use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

fn main() {
    let mut opened = 0;
    for address in [
        "127.0.0.1:22",
        "127.0.0.1:80",
        "169.254.169.254:80",
        "[::1]:80",
        "example.com:80",
    ] {
        opened += u32::from(TcpStream::connect(address).is_ok());
        opened += u32::from(
            address
                .to_socket_addrs()
                .is_ok_and(|_| address.starts_with('e')),
        );
        opened += u32::from(TcpListener::bind(address).is_ok());
        let bound = UdpSocket::bind("0.0.0.0:0");
        opened += u32::from(bound.is_ok_and(|socket| socket.send_to(b"x", address).is_ok()));
    }
    println!("{opened}");
}
