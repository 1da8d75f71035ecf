//! Computes for ever: nothing but an interruption from outside ends it.

fn main() {
    loop {
        std::hint::spin_loop();
    }
}
