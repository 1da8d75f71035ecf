//! Sleeps for next to nothing, again and again. It is stopped at its time limit.

use std::thread::sleep;
use std::time::Duration;

fn main() {
    loop {
        sleep(Duration::from_nanos(1));
    }
}
