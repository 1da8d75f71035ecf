//! Functions by the SDK that ask the host, panic, keep state, or have odd signatures; and one by wit-bindgen beside them.

use rwasm_task::{Type, Typed, host};
use std::sync::atomic::{AtomicU64, Ordering};

mod contract {
    #![expect(
        unsafe_code,
        reason = "the generated exports speak the canonical ABI, with pointers"
    )]

    wit_bindgen::generate!({ path: "wit", world: "asks" });
    use super::Asks;
    export!(Asks);
}

struct Asks;

impl contract::Guest for Asks {
    fn mirrored(point: contract::Point) -> contract::Point {
        contract::Point {
            x: point.y,
            y: point.x,
        }
    }
}

#[derive(Type)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Type)]
enum Refusal {
    Empty,
    Above(u64),
}

/// Works in `n` steps and tells of each.
#[rwasm_task::export]
fn tell(n: u64) {
    for step in 1..=n {
        host::info(format!("step {step} of {n}"));
        host::progress(step, n);
        host::publish("latest", step.to_string());
    }
    host::error("done");
}

#[rwasm_task::export]
fn where_am_i() -> (u32, u32) {
    (host::engine_id(), host::engine_count())
}

/// The sum of the second numbers of what is pushed, pairs of a text and a number.
#[rwasm_task::export]
fn total_pushed(name: &str) -> Result<Option<f64>, host::PushedError> {
    let pairs: Option<Vec<(String, f64)>> = host::pushed(name)?;
    Ok(pairs.map(|pairs| pairs.iter().map(|(_, number)| number).sum()))
}

/// The pushed text.
#[rwasm_task::export]
#[expect(clippy::needless_pass_by_value, reason = "both can be taken")]
fn text_pushed(name: String) -> Option<String> {
    host::pushed(&name).ok().flatten()
}

/// Panics with this message; without one, by what comes of an index.
#[rwasm_task::export]
fn fail(#[wit(name = "with")] message: Option<String>) -> u64 {
    match message {
        Some(message) => panic!("{message}"),
        None => [1, 2, 3][std::hint::black_box(7)],
    }
}

/// How deep its calls have nested.
#[rwasm_task::export]
fn deep(levels: u32) -> u32 {
    if levels == 0 {
        0
    } else {
        std::hint::black_box(deep(levels - 1)) + 1
    }
}

/// Whether an odd number of all is true; with keywords for names.
#[rwasm_task::export(name = "type")]
fn r#type(r#async: bool, #[wit(name = "list")] of: Vec<bool>) -> bool {
    of.into_iter().fold(r#async, |all, one| all ^ one)
}

/// Too many numbers to be passed as core values, of every kind.
#[rwasm_task::export]
#[expect(
    clippy::too_many_arguments,
    clippy::many_single_char_names,
    clippy::needless_pass_by_value,
    reason = "that is the point"
)]
fn many(
    a: u8,
    b: i64,
    c: f32,
    d: Option<f64>,
    e: &str,
    f: Vec<Point>,
    g: Result<u16, String>,
    h: Point,
    i: (char, bool, i8),
) -> Vec<String> {
    let f: Vec<_> = f.iter().map(|point| (point.x, point.y)).collect();
    vec![
        format!("{a} {b} {c} {d:?} {e}"),
        format!("{f:?} {g:?} {} {} {i:?}", h.x, h.y),
    ]
}

/// One joined slot holds numbers of every kind.
#[rwasm_task::export]
fn joined(value: Result<f32, Typed<(u64, f64)>>, other: Option<Result<f32, Typed<u32>>>) -> String {
    let value = value.map_err(|Typed(error)| error);
    let other = other.map(|other| other.map_err(|Typed(error)| error));
    format!("{value:?} {other:?}")
}

/// An error with a type of its own.
#[rwasm_task::export]
fn below(numbers: &[u64], limit: u64) -> Result<u64, Typed<Refusal>> {
    let most = numbers.iter().max().ok_or(Refusal::Empty)?;
    if *most > limit {
        return Err(Typed(Refusal::Above(*most)));
    }
    Ok(*most)
}

/// A result that carries nothing on either side.
#[rwasm_task::export]
fn is_even(number: i32) -> Result<(), Typed<()>> {
    if number % 2 == 0 {
        Ok(())
    } else {
        Err(Typed(()))
    }
}

/// The difference, which may be below zero.
#[rwasm_task::export]
fn difference(a: i8, b: i8) -> i16 {
    i16::from(a) - i16::from(b)
}

/// `count` texts of `length` bytes, of which nothing is kept.
#[rwasm_task::export]
fn texts(count: u32, length: u32) -> Vec<(String, Vec<u64>)> {
    (0..count)
        .map(|number| ("x".repeat(length as usize), vec![number.into(); 3]))
        .collect()
}

/// How often it has been called in this instance.
#[rwasm_task::export]
fn count_up() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}
