//! Blocks in blocks, fifty thousand deep. They are compiled, or refused, in bounded time, and no stack of the host's overflows.

pub(crate) fn module() -> Vec<u8> {
    let (blocks, ends) = ("block ".repeat(50_000), "end ".repeat(50_000));
    let text = format!("(module (func (export \"f\") (result i32) {blocks} {ends} i32.const 1))");
    wat::parse_str(text).expect("it is valid text")
}
