//! Asks a server that never answers. It is ended by its time, and its connection with it.

#[path = "../http.rs"]
mod http;

fn main() {
    println!(
        "{:?}",
        http::ask(&http::server()).map(|answer| answer.status())
    );
}
