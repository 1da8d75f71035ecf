//! Typed functions that use the network, by WASI's own sockets.

mod address;
mod datagram;
mod stream;

use contract::Guest;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

mod contract {
    #![expect(
        unsafe_code,
        clippy::pedantic,
        reason = "the generated exports speak the canonical ABI, with pointers"
    )]

    wit_bindgen::generate!({ path: "wit", world: "dial" });
    use super::Dial;
    export!(Dial);
}

struct Dial;

impl Guest for Dial {
    fn tcp(peer: String, port: u16, text: String) -> Result<String, String> {
        let address = address::of(&peer)?;
        stream::exchange(address, port, text.as_bytes()).map_err(named)
    }

    fn udp(peer: String, port: u16, text: String) -> Result<String, String> {
        let address = address::of(&peer)?;
        datagram::exchange(address, port, text.as_bytes()).map_err(named)
    }

    fn udp_connected(peer: String, port: u16, text: String) -> Result<String, String> {
        let address = address::of(&peer)?;
        datagram::exchange_connected(address, port, text.as_bytes()).map_err(named)
    }

    fn udp_receive(peer: String, port: u16) -> Result<String, String> {
        let address = address::of(&peer)?;
        datagram::receive(address, port).map_err(named)
    }

    fn look_up(name: String) -> Result<Vec<String>, String> {
        let addresses = address::look_up(&name).map_err(named)?;
        Ok(addresses.iter().map(ToString::to_string).collect())
    }

    fn listen(address: String, port: u16) -> Result<String, String> {
        let address = address::of(&address)?;
        stream::listen(address, port).map_err(named)
    }

    fn bind_udp(address: String, port: u16) -> Result<String, String> {
        let address = address::of(&address)?;
        datagram::bind(address, port).map_err(named)
    }

    fn sockets(count: u32) -> Result<u32, String> {
        let made: Result<Vec<_>, _> = (0..count)
            .map(|_| create_tcp_socket(IpAddressFamily::Ipv4))
            .collect();
        let made = made.map_err(named)?;
        Ok(u32::try_from(made.len()).unwrap_or(u32::MAX))
    }
}

/// An error by its name in WIT.
fn named(error: ErrorCode) -> String {
    error.name().to_owned()
}
