//! Panics: the message goes to stderr, the program ends in a trap.

fn main() {
    panic!("the probe panics on purpose");
}
