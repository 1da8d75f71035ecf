//! Opens pipes and devices, which may never come back. It prints what went well: nothing.

use std::fs::{self, File};

fn main() {
    for path in ["/data/pipe", "/data/to-pipe", "/read/pipe"] {
        if File::open(path).is_ok() || fs::read(path).is_ok() {
            println!("read {path}");
        }
        if File::options().write(true).open(path).is_ok() || File::create(path).is_ok() {
            println!("wrote {path}");
        }
        if fs::read_dir(path).is_ok() {
            println!("listed {path}");
        }
    }
}
