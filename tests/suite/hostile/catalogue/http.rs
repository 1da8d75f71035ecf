//! Guests that send requests, and servers that answer them badly.

use super::Case;
use rwasm_cluster::{FailureCode, Grants};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::thread;

/// Starts a server that does this with each connection. It ends with the process.
fn start(serve: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// The grants of a guest that may ask this server.
fn may_ask(port: u16) -> Grants {
    let server = format!("127.0.0.1:{port}");
    let peer = server.parse().expect("a peer");
    Grants::none().net(peer).env("SERVER", server)
}

/// Waits until the client is gone.
fn wait(mut stream: TcpStream) {
    while matches!(stream.read(&mut [0; 4096]), Ok(length) if length > 0) {}
}

/// Hears a request, and writes this first, and then this until the client is gone.
fn write(mut stream: TcpStream, first: &str, again: &str) {
    // An answer to nothing is an error of another kind. Who is gone hears nothing.
    let _ = stream.read(&mut [0; 4096]);
    let again = again.repeat(1000);
    let mut sent = stream.write_all(first.as_bytes());
    while sent.is_ok() {
        sent = stream.write_all(again.as_bytes());
    }
}

fn silent() -> Grants {
    static PORT: OnceLock<u16> = OnceLock::new();
    may_ask(*PORT.get_or_init(|| start(wait)))
}

fn with_headers() -> Grants {
    static PORT: OnceLock<u16> = OnceLock::new();
    let serve = |stream| write(stream, "HTTP/1.1 200 OK\r\n", "x-more: and more\r\n");
    may_ask(*PORT.get_or_init(|| start(serve)))
}

fn with_a_body() -> Grants {
    static PORT: OnceLock<u16> = OnceLock::new();
    let serve = |stream| write(stream, "HTTP/1.1 200 OK\r\n\r\n", "and more");
    may_ask(*PORT.get_or_init(|| start(serve)))
}

/// It takes a connection, and reads nothing until the client has gone or a second is over.
fn deaf() -> Grants {
    static PORT: OnceLock<u16> = OnceLock::new();
    let serve = |stream| {
        thread::sleep(std::time::Duration::from_secs(1));
        drop::<TcpStream>(stream);
    };
    may_ask(*PORT.get_or_init(|| start(serve)))
}

pub(super) fn asks_who_never_answers() -> Case {
    Case::row(52).endless().served(silent).run().times_out()
}

pub(super) fn is_sent_headers_without_end() -> Case {
    let case = Case::row(53).served(with_headers).run();
    case.gives("ErrorCode::HttpResponseHeaderSectionSize(Some(65536))\n")
}

pub(super) fn is_sent_a_body_without_end() -> Case {
    let case = Case::row(54).endless().served(with_a_body);
    case.run().times_out()
}

pub(super) fn keeps_bodies_without_reading() -> Case {
    let case = Case::row(54).served(with_a_body).run();
    case.gives("ErrorCode::ConnectionLimitReached after 32\n")
}

pub(super) fn asks_without_end() -> Case {
    let case = Case::row(55).served(silent).run();
    let parts = &["256 handles", "it had 32 HTTP requests going on"];
    case.fails(FailureCode::MemoryLimit, parts)
}

pub(super) fn sends_headers_without_end() -> Case {
    let case = Case::row(56).run();
    let parts = &["HTTP headers of more than 64KiB"];
    case.fails(FailureCode::MemoryLimit, parts)
}

pub(super) fn sends_a_body_without_end() -> Case {
    Case::row(56).endless().served(deaf).run().times_out()
}

pub(super) fn asks_other_peers() -> Case {
    let grants = Grants::none().net("127.0.0.1:9".parse().expect("a peer"));
    Case::row(47).grants(grants).run().gives(
        "another port: ErrorCode::HttpRequestDenied\n\
         a neighbour: ErrorCode::HttpRequestDenied\n\
         metadata: ErrorCode::HttpRequestDenied\n\
         metadata by name: ErrorCode::HttpRequestDenied\n\
         itself by IPv6: ErrorCode::HttpRequestDenied\n\
         a mapped address: ErrorCode::HttpRequestDenied\n\
         localhost: ErrorCode::HttpRequestDenied\n\
         a user at it: ErrorCode::HttpRequestUriInvalid\n\
         a number: ErrorCode::HttpRequestUriInvalid\n\
         a secret in a name: ErrorCode::HttpRequestDenied\n",
    )
}
