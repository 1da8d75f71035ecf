//! Panics with a text of one MiB, full of commands to a terminal. It fails as `trap`; what is told of it is short and plain.

fn main() {
    panic!("{}", "\x1b[31mpanic\x07\n".repeat(1 << 16));
}
