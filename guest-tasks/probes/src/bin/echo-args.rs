//! Prints its arguments, without its own name, one on each line.

fn main() {
    for argument in std::env::args().skip(1) {
        println!("{argument}");
    }
}
