//! May ask one server, and tries to ask others.

#[path = "../http.rs"]
mod http;

fn main() {
    for (what, authority) in [
        ("another port", "127.0.0.1:10"),
        ("a neighbour", "127.0.0.2:9"),
        ("metadata", "169.254.169.254"),
        ("metadata by name", "metadata.google.internal"),
        ("itself by IPv6", "[::1]:9"),
        ("a mapped address", "[::ffff:169.254.169.254]:80"),
        ("localhost", "localhost:9"),
        ("a user at it", "127.0.0.1:9@169.254.169.254"),
        ("a number", "2130706433:9"),
        ("a secret in a name", "secret.example.com"),
    ] {
        match http::ask(authority) {
            Ok(answer) => println!("{what}: {}", answer.status()),
            Err(error) => println!("{what}: {error}"),
        }
    }
}
