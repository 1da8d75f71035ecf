//! Peers in the test's own process, at ports of the system's choice. Their threads end with the process.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    (listener, port)
}

fn datagrams() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let port = socket.local_addr().expect("it is bound").port();
    (socket, port)
}

/// Gives back what it gets, once the other side has said all.
pub(super) fn echo_streams() -> u16 {
    let (listener, port) = listener();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut heard = Vec::new();
                // A guest that fails may be gone by now.
                let _ = stream.read_to_end(&mut heard);
                let _ = stream.write_all(&heard);
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

/// Gives back what it gets.
pub(super) fn echo_datagrams() -> u16 {
    let (socket, port) = datagrams();
    thread::spawn(move || {
        let mut room = [0; 1000];
        loop {
            let (len, from) = socket.recv_from(&mut room).expect("a datagram");
            socket.send_to(&room[..len], from).expect("it can be sent");
        }
    });
    port
}

/// A peer that first has somebody else send to whoever writes to it.
pub(super) fn stranger() -> u16 {
    let (socket, port) = datagrams();
    let (other, _) = datagrams();
    thread::spawn(move || {
        let mut room = [0; 1000];
        loop {
            let (_, from) = socket.recv_from(&mut room).expect("a datagram");
            other.send_to(b"from a stranger", from).expect("it is sent");
            socket.send_to(b"from the peer", from).expect("it is sent");
        }
    });
    port
}

/// A port at which nobody listens.
pub(crate) fn nobody() -> u16 {
    listener().1
}

/// A peer by TCP and UDP that takes what comes and does not answer.
pub(super) struct Silent {
    port: u16,
    held: Arc<Mutex<Vec<TcpStream>>>,
    _datagrams: UdpSocket,
}

impl Silent {
    pub(super) fn new() -> Self {
        let (listener, port) = listener();
        let datagrams = UdpSocket::bind(("127.0.0.1", port)).expect("the port is free");
        let held: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let holder = Arc::clone(&held);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                holder.lock().expect("nobody panicked").push(stream);
            }
        });
        Self {
            port,
            held,
            _datagrams: datagrams,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Lets go of the connections it has.
    pub(super) fn forget(&self) {
        self.held.lock().expect("nobody panicked").clear();
    }
}
