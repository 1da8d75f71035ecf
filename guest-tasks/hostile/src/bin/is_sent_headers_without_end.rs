//! Asks a server that sends headers without end. The host reads no more than fit, and the guest has an error.

#[path = "../http.rs"]
mod http;

fn main() {
    match http::ask(&http::server()) {
        Ok(answer) => println!("{}", answer.status()),
        Err(error) => println!("{error}"),
    }
}
