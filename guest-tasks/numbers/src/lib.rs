//! Typed functions that are called by name: of numbers mostly, with a few that keep state, fail or take their time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{hint, process, thread};

use contract::Guest;

mod contract {
    #![expect(
        unsafe_code,
        clippy::pedantic,
        reason = "the generated exports speak the canonical ABI, with pointers"
    )]

    wit_bindgen::generate!({ path: "wit", world: "numbers" });
    use super::Numbers;
    export!(Numbers);
}

/// How often `count-up` was called in this instance.
static CALLS: AtomicU64 = AtomicU64::new(0);

struct Numbers;

impl Guest for Numbers {
    fn add_one(n: u64) -> u64 {
        n.wrapping_add(1)
    }

    fn fib(n: u32) -> u64 {
        fib(n)
    }

    fn add(a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    fn divide(a: i64, b: i64) -> Result<i64, String> {
        if b == 0 {
            return Err(format!("{a} cannot be divided by zero"));
        }
        a.checked_div(b)
            .ok_or_else(|| format!("{a} / {b} is more than an s64 can hold"))
    }

    fn greet(name: String, times: u32) -> String {
        let greetings: Vec<String> = (0..times).map(|_| format!("hello, {name}")).collect();
        greetings.join("; ")
    }

    fn total(numbers: Vec<u64>) -> u64 {
        numbers.into_iter().fold(0, u64::wrapping_add)
    }

    fn length(data: Vec<u8>) -> u64 {
        data.len() as u64
    }

    fn count_up() -> u64 {
        CALLS.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn fail(how: String) -> u64 {
        match how.as_str() {
            "trap" => trap(),
            "error" => panic!("`fail` was asked for an error"),
            "exit" => process::exit(3),
            _ => 0,
        }
    }

    fn spin() -> u64 {
        loop {
            hint::spin_loop();
        }
    }

    fn nap(milliseconds: u64) -> u64 {
        thread::sleep(Duration::from_millis(milliseconds));
        milliseconds
    }
}

/// Never inlined, so that each call is one.
#[inline(never)]
fn fib(n: u32) -> u64 {
    if n < 2 {
        return n.into();
    }
    fib(n - 1) + fib(n - 2)
}

/// The instruction itself, with nothing printed; there is none elsewhere.
fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    std::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    process::abort();
}
