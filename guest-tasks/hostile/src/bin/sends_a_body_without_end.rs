//! Sends a body without end to a server that reads none of it. It is ended by its time.

#[path = "../http.rs"]
mod http;

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::Method;

fn main() {
    let request = http::request(&http::server());
    request.set_method(&Method::Put).expect("it is well formed");
    let body = request.body().expect("it is taken once");
    let stream = body.write().expect("it is taken once");
    let _sent = handle(request, None).expect("it can be sent");
    while stream.blocking_write_and_flush(&[b'a'; 4096]).is_ok() {}
    println!("it was closed");
}
