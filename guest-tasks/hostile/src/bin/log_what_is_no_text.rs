//! Writes commands to a terminal, bytes that are not text and one line of 64 KiB to stderr, then fails. Whoever shows it
//! to people escapes it.

use std::io::{self, Write};
use std::process::exit;

fn main() -> io::Result<()> {
    let mut noise = b"\x1b[2J\x1b[31mred\x1b]0;title\x07\r\x08 \x9b2J ".to_vec();
    noise.extend(0..=u8::MAX);
    noise.extend(std::iter::repeat_n(b'x', 64 << 10));
    io::stderr().write_all(&noise)?;
    exit(3);
}
