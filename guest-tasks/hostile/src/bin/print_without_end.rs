//! Prints without end. It fails as `output-limit`.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let line = vec![b'x'; 64 << 10];
    loop {
        io::stdout().write_all(&line)?;
    }
}
