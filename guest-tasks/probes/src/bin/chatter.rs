//! Writes to stdout without end.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    loop {
        stdout.write_all(b"and another thing\n")?;
    }
}
