//! WebAssembly text with mistakes, on one line of a MiB with commands to a terminal in it. It is refused; what is told of it is short.

pub(crate) fn module() -> Vec<u8> {
    let mut text = b"(module (func (export \"".to_vec();
    text.extend(b"x\x1b[2J\x07".repeat(1 << 17));
    text.extend(b"\") (i32.no_such_thing)))");
    text
}
