//! Makes the headers of a request without end. It fails as `memory-limit`.

use wasip2::http::types::Fields;

fn main() {
    let fields = Fields::new();
    for number in 0.. {
        let set = fields.append(&format!("x-{number}"), b"");
        set.expect("there is room");
    }
}
