//! Typed functions that use what the host offers: log, progress, publish, where they run, pushed values.

use contract::Guest;
use contract::rwasm::task::host::{self, Level};

mod contract {
    #![expect(
        unsafe_code,
        clippy::pedantic,
        reason = "the generated imports and exports speak the canonical ABI, with pointers"
    )]

    wit_bindgen::generate!({
        path: ["../../wit", "wit"],
        world: "rwasm:hosted/hosted",
        generate_all,
    });
    use super::Hosted;
    export!(Hosted);
}

/// The levels of log lines, which `tell` uses in turn.
const LEVELS: [Level; 5] = [
    Level::Trace,
    Level::Debug,
    Level::Info,
    Level::Warn,
    Level::Error,
];

struct Hosted;

impl Guest for Hosted {
    fn tell(n: u64) -> u64 {
        for (step, level) in (1..=n).zip(LEVELS.into_iter().cycle()) {
            host::log(level, &format!("step {step} of {n}"));
            println!("out {step}");
            eprintln!("err {step}");
            host::publish("latest", step.to_string().as_bytes());
            host::progress(step, Some(n));
        }
        n
    }

    fn where_am_i() -> (u32, u32) {
        (host::engine_id(), host::engine_count())
    }

    fn read_pushed(name: String) -> Option<Vec<u8>> {
        host::pushed(&name)
    }

    fn sum_pushed(name: String) -> u64 {
        let bytes = host::pushed(&name).unwrap_or_default();
        bytes
            .split(|byte| !byte.is_ascii_digit())
            .filter_map(|digits| str::from_utf8(digits).ok()?.parse::<u64>().ok())
            .fold(0, u64::wrapping_add)
    }

    fn flood(count: u32, name_length: u32, value_length: u32) -> u32 {
        let value = vec![b'v'; value_length as usize];
        for n in 0..count {
            let name = format!("{n:0>width$}", width = name_length as usize);
            host::publish(&name, &value);
        }
        count
    }

    fn chatter(count: u32, length: u32) -> u32 {
        let line = "x".repeat(length as usize);
        for _ in 0..count {
            host::log(Level::Info, &line);
        }
        count
    }
}
