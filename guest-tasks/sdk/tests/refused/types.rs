//! Types of parameters and results that have none in WIT.

use std::rc::Rc;

struct Point {
    x: i32,
}

#[rwasm_task::export]
fn counts(words: Vec<usize>) {}

#[rwasm_task::export]
fn takes(point: Point) {}

#[rwasm_task::export]
fn gives() -> Point {
    Point { x: 1 }
}

#[rwasm_task::export]
fn shares() -> Rc<String> {
    Rc::default()
}

#[rwasm_task::export]
fn borrows(words: Vec<&str>) {}

#[rwasm_task::export]
fn fails() -> Result<u64, Point> {
    Err(Point { x: 1 })
}

#[rwasm_task::export]
fn slices(point: &[Point]) {}

fn main() {}
