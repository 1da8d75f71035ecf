//! Prints short lines without end, as a program does that forgot a debug print in a loop. It fails as `output-limit`.

fn main() {
    for number in 0_u64.. {
        println!("{number}");
    }
}
