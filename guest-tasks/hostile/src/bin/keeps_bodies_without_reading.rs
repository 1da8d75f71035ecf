//! Asks a server that sends bodies without end, again and again, and reads none of them. What has come of each is bounded, and
//! so is their number.

#[path = "../http.rs"]
mod http;

fn main() {
    let server = http::server();
    let mut kept = Vec::new();
    let error = loop {
        match http::ask(&server) {
            Ok(answer) => kept.push(answer),
            Err(error) => break error,
        }
    };
    println!("{error} after {}", kept.len());
}
