//! A hundred memories of a page each. It is refused, or runs within its limit.

pub(crate) fn module() -> Vec<u8> {
    let memories = "(memory 1)".repeat(100);
    let text = format!("(module {memories} (func (export \"_start\")))");
    wat::parse_str(text).expect("it is valid text")
}
