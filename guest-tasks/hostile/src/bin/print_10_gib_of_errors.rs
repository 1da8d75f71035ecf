//! Prints 10 GiB to stderr, then ends well, if it has the time. What is more than the limit of logs is dropped.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let line = vec![b'x'; 64 << 10];
    for _ in 0..160 << 10 {
        io::stderr().write_all(&line)?;
    }
    println!("done");
    Ok(())
}
