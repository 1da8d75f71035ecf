//! Takes a reference out of null, indexes out of bounds and aborts: it comes to the first. It fails as `trap`.

use std::hint::black_box;

fn main() {
    let numbers = [1, 2, 3];
    println!("{}", numbers[black_box(7)]);
    std::process::abort();
}
