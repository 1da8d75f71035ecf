//! What no signature in WIT can be made of.

#[rwasm_task::export]
async fn waits() {}

#[rwasm_task::export]
unsafe fn dangerous() {}

#[rwasm_task::export]
extern "C" fn foreign() {}

#[rwasm_task::export]
fn generic<T>(value: T) -> T {
    value
}

#[rwasm_task::export]
fn borrowing<'a>(text: &'a str) -> u32 {
    text.len() as u32
}

#[rwasm_task::export]
fn lends(text: &str) -> Option<&str> {
    text.lines().next()
}

#[rwasm_task::export]
fn changes(numbers: &mut Vec<u64>) {
    numbers.clear();
}

#[rwasm_task::export]
fn hidden(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.sum()
}

#[rwasm_task::export]
fn hides() -> impl Iterator<Item = u64> {
    0..1
}

#[rwasm_task::export]
fn never() -> ! {
    loop {}
}

struct Counter;

impl Counter {
    #[rwasm_task::export]
    fn method(&self) {}
}

#[rwasm_task::export]
fn twice(a_b: u32, aB: u32) -> u32 {
    a_b + aB
}

#[rwasm_task::export]
fn größe() {}

#[rwasm_task::export(name = "two words")]
fn two_words() {}

#[rwasm_task::export(title = "x")]
fn titled() {}

#[rwasm_task::export]
struct NoFunction;

struct Pair(u32, u32);

impl Pair {
    #[rwasm_task::export]
    fn swapped(pair: (u32, u32)) -> Self {
        Self(pair.1, pair.0)
    }
}

fn main() {}
