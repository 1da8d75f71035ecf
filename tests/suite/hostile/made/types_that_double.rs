//! A component with a type of two of a type of two of a type, sixty deep: 2^60 of them in all. It is refused.

use std::fmt::Write as _;

pub(crate) fn module() -> Vec<u8> {
    let mut text = String::from("(component (type $t0 (tuple u8 u8))");
    for depth in 1..60 {
        let before = depth - 1;
        let _ = write!(text, "(type $t{depth} (tuple $t{before} $t{before}))");
    }
    text += "(import \"f\" (func (param \"p\" $t59))))";
    wat::parse_str(text).expect("it is valid text")
}
