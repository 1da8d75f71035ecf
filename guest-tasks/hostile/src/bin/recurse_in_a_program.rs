//! Recurses without end, with a frame of its own each time. Its stack, which lies in its memory, runs out before the host's does: it
//! fails as `trap` or as `stack-overflow`.

use std::hint::black_box;

fn deep(mut levels: [u64; 64]) -> u64 {
    levels[0] += 1;
    let levels = black_box(levels);
    if levels[0] == u64::MAX {
        return 0;
    }
    deep(levels) + black_box(levels)[1]
}

fn main() {
    println!("{}", deep([0; 64]));
}
