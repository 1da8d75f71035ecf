//! A function with forty thousand variables that a loop keeps alive. It is compiled, or refused, in bounded time.

use std::fmt::Write as _;

pub(crate) fn module() -> Vec<u8> {
    const LOCALS: usize = 40_000;
    let mut text = format!("(module (func (export \"f\") (result i32) (local {}) loop ", "i32 ".repeat(LOCALS));
    for local in 1..LOCALS {
        let _ = write!(text, "local.get {local} i32.const 1 i32.add local.set {} ", local - 1);
    }
    text += "local.get 0 i32.const 3 i32.lt_u br_if 0 end local.get 0))";
    wat::parse_str(text).expect("it is valid text")
}
