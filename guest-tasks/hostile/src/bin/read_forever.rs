//! Reads its stdin a thousand times beyond its end. It is told each time, at once, that there is nothing: it prints 0.

use std::io::{self, Read};

fn main() -> io::Result<()> {
    let mut piece = [0; 1000];
    let mut read = 0;
    for _ in 0..1000 {
        read += io::stdin().read(&mut piece)?;
    }
    println!("{read}");
    Ok(())
}
