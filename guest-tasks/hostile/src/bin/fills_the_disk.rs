//! Writes without end. It ends with the error that it gets.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::process::exit;

fn main() {
    let mut number = 0;
    loop {
        let mut file = File::create(format!("/data/{number}")).expect("it can be made");
        // The errors of the other sizes are taken for what they are.
        for size in [1, 100, 10_000, 100_000] {
            let Err(error) = file.write_all(&vec![b'x'; size]) else {
                continue;
            };
            exit(if error.kind() == ErrorKind::StorageFull {
                3
            } else {
                4
            });
        }
        number = (number + 1) % 10;
    }
}
