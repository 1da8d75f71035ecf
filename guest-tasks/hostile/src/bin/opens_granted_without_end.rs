//! Opens a file that it may open until it is refused, gives all handles back, opens them again, and then panics.

use std::fs::{self, File};

fn main() {
    for round in 0.. {
        let mut opened = Vec::new();
        let error = loop {
            match File::open("/data/own") {
                Ok(file) => opened.push(file),
                Err(error) => break error,
            }
        };
        assert!(opened.len() > 10, "{}: {error}", opened.len());
        drop(opened);
        assert!(fs::read_dir("/data").is_ok(), "there is room for others");
        assert!(round < 20, "it was refused each time: {error}");
    }
}
