//! A component with a type of lists of lists, two thousand deep. It is refused.

use std::fmt::Write as _;

pub(crate) fn module() -> Vec<u8> {
    let mut text = String::from("(component (type $t0 (list u8))");
    for depth in 1..2000 {
        let _ = write!(text, "(type $t{depth} (list $t{}))", depth - 1);
    }
    text += "(import \"f\" (func (param \"p\" $t1999))))";
    wat::parse_str(text).expect("it is valid text")
}
