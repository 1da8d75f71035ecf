//! Typed functions that tests of the cluster call: a mapper that fails on request, and functions of other shapes.
//!
//! `mapper` counts lines, until a line tells it otherwise: `refuse` returns an error, `trap` panics, `spin`
//! computes for ever, `hoard` takes memory without end, `sleep` sleeps for ever.

use std::{hint, thread, time::Duration};

use contract::{Guest, RecordOfEverything};

mod contract {
    #![expect(
        unsafe_code,
        clippy::pedantic,
        reason = "the generated exports speak the canonical ABI, with pointers"
    )]

    wit_bindgen::generate!({ path: "wit", world: "faulty" });
    use super::Faulty;
    export!(Faulty);
}

/// How much `hoard` takes at once.
const PIECE: usize = 1024 * 1024;

struct Faulty;

impl Guest for Faulty {
    fn mapper(text: String) -> Result<u64, String> {
        let mut lines = 0;
        for line in text.lines() {
            lines += 1;
            match line {
                "refuse" => return Err(format!("refused: line {lines} says so")),
                "trap" => panic!("line {lines} asked for a trap"),
                "spin" => spin(),
                "hoard" => hoard(),
                "sleep" => sleep(),
                _ => {}
            }
        }
        Ok(lines)
    }

    fn reducer(a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    fn lengths(data: Vec<u8>) -> u64 {
        data.len() as u64
    }

    fn shout(text: String) -> String {
        text.to_uppercase()
    }

    fn lines_of(text: String) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    fn badtype(a: u64) -> u64 {
        a
    }

    fn concat_reducer(parts: Vec<String>) -> String {
        parts.concat()
    }

    fn everything(v: RecordOfEverything) -> RecordOfEverything {
        v
    }
}

fn spin() -> ! {
    loop {
        hint::spin_loop();
    }
}

fn hoard() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1_u8; PIECE]);
        hint::black_box(&hoard);
    }
}

fn sleep() -> ! {
    loop {
        thread::sleep(Duration::from_hours(1));
    }
}
