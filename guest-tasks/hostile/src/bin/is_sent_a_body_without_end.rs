//! Asks a server that sends a body without end, and reads it all. It is ended by its time.

#[path = "../http.rs"]
mod http;

fn main() {
    let answer = http::ask(&http::server()).expect("it answers");
    let body = answer.consume().expect("it is taken once");
    let stream = body.stream().expect("it is taken once");
    let mut size = 0;
    while let Ok(piece) = stream.blocking_read(65_536) {
        size += piece.len();
    }
    println!("{size}");
}
