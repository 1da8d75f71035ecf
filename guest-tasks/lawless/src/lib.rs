//! Mappers and reducers that break the laws a job relies on, one each; `words` and `sum` keep them all. For the tests of
//! `rwasm-cluster test`.

use std::hash::{BuildHasher, RandomState};

/// Keeps the laws.
#[rwasm_task::export]
fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// Keeps the laws.
#[rwasm_task::export]
fn sum(parts: Vec<u64>) -> u64 {
    parts.into_iter().fold(0, u64::wrapping_add)
}

/// Gives something else each time.
#[rwasm_task::export]
fn at_random(_text: &str) -> u64 {
    RandomState::new().hash_one(0)
}

/// Gives something else the second time, but on a line about rain only.
#[rwasm_task::export]
fn rarely_at_random(text: &str) -> u64 {
    if text.contains("rain") {
        RandomState::new().hash_one(0)
    } else {
        0
    }
}

/// Gives what depends on how many engines there are.
#[rwasm_task::export]
fn engines(_text: &str) -> u64 {
    rwasm_task::host::engine_count().into()
}

/// Gives what depends on how the input is cut.
#[rwasm_task::export]
fn chunks(_text: &str) -> u64 {
    1
}

/// Is not associative, but leaves its own results as they are.
#[rwasm_task::export]
fn mean(parts: Vec<u64>) -> u64 {
    let count = parts.len().max(1) as u64;
    sum(parts) / count
}

/// Is associative, but changes what it merges alone.
#[rwasm_task::export]
fn sum_or_one_more(parts: Vec<u64>) -> u64 {
    match parts[..] {
        [alone] => alone.wrapping_add(1),
        _ => sum(parts),
    }
}

/// Is not associative, and takes two.
#[rwasm_task::export]
fn less(left: u64, right: u64) -> u64 {
    left.wrapping_sub(right)
}

/// Returns an error where it is asked for nothing, and traps where it is asked for too much.
#[rwasm_task::export]
fn greet(name: &str, times: u32) -> Result<String, String> {
    match times {
        0 => Err(format!("{name} is not to be greeted => at all")),
        1..=9 => Ok(vec![format!("Hello, {name}!"); times as usize].join(" ")),
        _ => panic!("{times} greetings are too many"),
    }
}
