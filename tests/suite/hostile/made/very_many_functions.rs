//! A hundred thousand functions. They are compiled, or refused, in bounded time.

use std::fmt::Write as _;

pub(crate) fn module() -> Vec<u8> {
    let mut text = String::from("(module ");
    for number in 0..100_000 {
        let _ = write!(text, "(func $f{number} (result i32) (i32.const {number}))");
    }
    text += "(func (export \"f0\") (result i32) (call $f0)))";
    wat::parse_str(text).expect("it is valid text")
}
