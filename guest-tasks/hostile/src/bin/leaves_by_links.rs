//! Tries to get out of its directory by links, those that are there and those it makes. It prints what went well: nothing.

use std::fs::{self, File};

fn main() {
    let mut done = Vec::new();
    #[expect(deprecated, reason = "there is no other way to make a link here")]
    let link = |to: &str, path: &str| fs::soft_link(to, path);
    for to in ["/etc", "/", "//etc/passwd"] {
        if link(to, "/data/absolute").is_ok() {
            done.push(format!("linked {to:?}"));
        }
    }
    // That a link is made is no harm: what counts is where it leads.
    for (to, path) in [
        ("../outside", "/data/made"),
        ("..", "/data/up"),
        ("../outside/secret", "/data/made-to-secret"),
        ("made/secret", "/data/twice"),
        ("inner/../../outside/secret", "/data/winding"),
        ("round", "/data/round"),
    ] {
        let _ = link(to, path);
    }
    let _ = fs::hard_link("/data/to-secret", "/data/hard");
    for path in [
        "/data/to-secret",
        "/data/to-secret/",
        "/data/to-outside/secret",
        "/data/to-outside/../outside/secret",
        "/data/to-etc/passwd",
        "/data/made/secret",
        "/data/made/./secret",
        "/data/up/outside/secret",
        "/data/made-to-secret",
        "/data/twice",
        "/data/winding",
        "/data/round",
        "/data/hard",
    ] {
        if fs::read(path).is_ok() {
            done.push(format!("read {path}"));
        }
        if File::options().append(true).open(path).is_ok() {
            done.push(format!("opened {path} for writing"));
        }
        if File::options()
            .write(true)
            .truncate(true)
            .open(path)
            .is_ok()
        {
            done.push(format!("emptied {path}"));
        }
        if fs::metadata(path).is_ok() {
            done.push(format!("looked at {path}"));
        }
    }
    for dir in [
        "/data/to-outside",
        "/data/to-outside/",
        "/data/made",
        "/data/made/",
        "/data/up/outside",
    ] {
        if fs::read_dir(dir).is_ok() {
            done.push(format!("listed {dir}"));
        }
        if fs::write(format!("{dir}/new"), "new").is_ok()
            || fs::create_dir(format!("{dir}/new")).is_ok()
        {
            done.push(format!("made something in {dir}"));
        }
        if fs::rename("/data/own", format!("{dir}/own")).is_ok()
            || fs::hard_link("/data/own", format!("{dir}/own")).is_ok()
        {
            done.push(format!("put a file in {dir}"));
        }
        if fs::remove_file(format!("{dir}/secret")).is_ok() {
            done.push(format!("removed a file in {dir}"));
        }
    }
    for line in done {
        println!("{line}");
    }
}
