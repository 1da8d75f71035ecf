//! Writes 10 MiB to stderr, with bytes that are not text and commands to a terminal among them, then ends well.

use std::io::{self, Write};

const NOISE: usize = 10 * 1024 * 1024;

fn main() -> io::Result<()> {
    // Clears the screen, turns the colour to red, sets the title: what must not reach a user's terminal.
    let mut line = b"\x1b[2J\x1b[31mnoise\x1b]0;title\x07 ".to_vec();
    line.extend(0..=u8::MAX);
    line.push(b'\n');
    let noise: Vec<u8> = line.iter().copied().cycle().take(NOISE).collect();
    io::stderr().lock().write_all(&noise)?;
    println!("done");
    Ok(())
}
