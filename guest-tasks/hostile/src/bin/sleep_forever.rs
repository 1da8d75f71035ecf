//! Sleeps for ever. It is stopped at its time limit.

use std::thread::sleep;
use std::time::Duration;

fn main() {
    loop {
        sleep(Duration::MAX);
    }
}
