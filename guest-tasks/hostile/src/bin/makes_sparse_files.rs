//! Tries to make files of a TiB that take no space, in every way there is, and goes on. It prints what went well: the small file
//! that it writes at the end.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};

const TIB: u64 = 1 << 40;

fn main() {
    let file = File::create("/data/sparse").expect("it can be made");
    if file.set_len(TIB).is_ok() {
        println!("set its length");
    }
    let mut file = File::create("/data/sparse").expect("it can be made");
    if file.seek(SeekFrom::Start(TIB)).is_ok() && file.write_all(b"x").is_ok() {
        println!("wrote behind its end");
    }
    let mut length = 0;
    for _ in 0..1000 {
        length += 1 << 20;
        if file.seek(SeekFrom::Start(length)).is_err() || file.write_all(b"x").is_err() {
            break;
        }
    }
    let length = fs::metadata("/data/sparse").map_or(0, |found| found.len());
    if length > 8 << 20 {
        println!("made it {length} bytes long in steps");
    }
    if fs::write("/data/small", "small").is_ok() {
        println!("small");
    }
}
