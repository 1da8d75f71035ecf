//! Tries to get out of its directory by paths. It prints what went well: nothing.

use std::fs::{self, File};

fn main() {
    let mut done = Vec::new();
    let paths = [
        "/data/../outside/secret",
        "/data/../outside/secret/",
        "/data/./inner/../../outside/secret",
        "/data/inner//..//..//outside//secret",
        "/data//../outside/secret",
        "/data/../../../../../../../etc/passwd",
        "/data//etc/passwd",
        "/data/own/",
        "/data/own/.",
        "/data/own/../own",
        "/etc/passwd",
        "//etc/passwd",
        "../outside/secret",
        "/outside/secret",
        "/data\0/../outside/secret",
    ];
    for path in paths {
        if File::open(path).is_ok() {
            done.push(format!("opened {path:?}"));
        }
        if fs::write(path, "changed").is_ok() {
            done.push(format!("wrote {path:?}"));
        }
        if fs::remove_file(path).is_ok() {
            done.push(format!("removed {path:?}"));
        }
        if fs::rename(path, "/data/taken").is_ok() {
            done.push(format!("renamed {path:?}"));
        }
        if fs::hard_link(path, "/data/taken").is_ok() {
            done.push(format!("linked {path:?}"));
        }
    }
    for dir in [
        "/data/..",
        "/data/../",
        "/data/../outside",
        "/data/../outside/",
        "/",
        "//",
        "/outside",
    ] {
        if fs::read_dir(dir).is_ok() {
            done.push(format!("listed {dir:?}"));
        }
        if fs::create_dir(format!("{dir}/new")).is_ok() {
            done.push(format!("made a directory in {dir:?}"));
        }
        if fs::rename("/data/own", format!("{dir}/own")).is_ok() {
            done.push(format!("put a file in {dir:?}"));
        }
    }
    assert!(fs::read("/data/own").is_ok(), "its own file is there");
    for line in done {
        println!("{line}");
    }
}
