//! Puts ever more into a map, as a program does that never forgets. It fails as `memory-limit`.

use std::collections::HashMap;

fn main() {
    let mut seen: HashMap<u64, Vec<u8>> = HashMap::new();
    for number in 0.. {
        seen.insert(number, vec![1; 1000]);
    }
    println!("{}", seen.len());
}
