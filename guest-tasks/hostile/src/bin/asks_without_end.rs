//! Sends requests without end, and keeps them all. It fails where it has as many as its limit on handles, of which no more than
//! 32 had a connection.

#[path = "../http.rs"]
mod http;

use wasip2::http::outgoing_handler::handle;

fn main() {
    let server = http::server();
    let mut kept = Vec::new();
    loop {
        kept.push(handle(http::request(&server), None));
    }
}
