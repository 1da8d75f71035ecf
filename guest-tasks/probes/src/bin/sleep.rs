//! Sleeps for an hour inside a host call, where no interruption of its own code can reach it.

use std::{thread, time::Duration};

fn main() {
    thread::sleep(Duration::from_hours(1));
    println!("awake");
}
