//! TCP: one exchange, and a server that nobody should allow.

use crate::address::{family, shown, socket_address};
use std::net::IpAddr;
use wasip2::io::streams::StreamError;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::ErrorCode;
use wasip2::sockets::tcp::ShutdownType;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

/// How much is read at a time.
const READ: u64 = 4096;

pub(crate) fn exchange(peer: IpAddr, port: u16, text: &[u8]) -> Result<String, ErrorCode> {
    let socket = create_tcp_socket(family(peer))?;
    socket.start_connect(&instance_network(), socket_address(peer, port))?;
    let (input, output) = loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            connected => break connected?,
        }
    };
    let broken = |_| ErrorCode::ConnectionReset;
    output.blocking_write_and_flush(text).map_err(broken)?;
    socket.shutdown(ShutdownType::Send)?;
    let mut answer = Vec::new();
    loop {
        match input.blocking_read(READ) {
            Ok(bytes) => answer.extend(bytes),
            Err(StreamError::Closed) => break,
            Err(error) => return Err(broken(error)),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

pub(crate) fn listen(address: IpAddr, port: u16) -> Result<String, ErrorCode> {
    let socket = create_tcp_socket(family(address))?;
    socket.start_bind(&instance_network(), socket_address(address, port))?;
    socket.finish_bind()?;
    socket.start_listen()?;
    socket.finish_listen()?;
    Ok(shown(&socket.local_address()?))
}
