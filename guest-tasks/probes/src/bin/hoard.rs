//! Takes memory without end, and writes to all of it.

/// How much is taken at once.
const PIECE: usize = 1024 * 1024;

fn main() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1_u8; PIECE]);
        std::hint::black_box(&hoard);
    }
}
