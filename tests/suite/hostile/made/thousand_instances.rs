//! A component of a thousand instances, each with a memory, so that none would be left for others. It is refused where instances
//! come from a pool, and else runs within its limit.

use std::fmt::Write as _;

pub(crate) fn module() -> Vec<u8> {
    let mut text = String::from(
        "(component (core module $code (memory 1) (func (export \"f\") (result i32) (i32.const 7)))",
    );
    for number in 0..990 {
        let _ = write!(text, "(core instance $i{number} (instantiate $code))");
    }
    text += "(func (export \"f\") (result u32) (canon lift (core func $i0 \"f\"))))";
    wat::parse_str(text).expect("it is valid text")
}
