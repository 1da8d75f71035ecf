//! Tries to change a directory that it may read, in every way there is, and to take files from it into one that it may
//! write, and back. It prints what went well: nothing.

use std::fs::{self, File, FileTimes};
use std::time::SystemTime;

fn main() {
    let mut done = Vec::new();
    let mut check = |what: &str, went_well: bool| {
        if went_well {
            done.push(what.to_owned());
        }
    };
    let kept = "/read/kept";
    assert_eq!(
        fs::read_to_string(kept).ok().as_deref(),
        Some("kept"),
        "it may be read"
    );
    #[expect(deprecated, reason = "there is no other way to make a link here")]
    let link = |to: &str, path: &str| fs::soft_link(to, path);

    check("wrote", fs::write(kept, "changed").is_ok());
    check("appended", File::options().append(true).open(kept).is_ok());
    check(
        "emptied",
        File::options()
            .write(true)
            .truncate(true)
            .open(kept)
            .is_ok(),
    );
    check(
        "opened to write",
        File::options().read(true).write(true).open(kept).is_ok(),
    );
    check("created", File::create("/read/new").is_ok());
    check("created anew", File::create_new("/read/new").is_ok());
    check(
        "created in an inner one",
        File::create("/read/inner/new").is_ok(),
    );
    check("made a directory", fs::create_dir("/read/new").is_ok());
    check("removed", fs::remove_file(kept).is_ok());
    check("removed a directory", fs::remove_dir("/read/inner").is_ok());
    check("renamed", fs::rename(kept, "/read/new").is_ok());
    check("linked", fs::hard_link(kept, "/read/new").is_ok());
    check("made a link", link("kept", "/read/new").is_ok());
    check(
        "took it by a link",
        fs::hard_link(kept, "/data/taken").is_ok(),
    );
    check(
        "took it by its name",
        fs::rename(kept, "/data/taken").is_ok(),
    );
    check(
        "put one there by a link",
        fs::hard_link("/data/own", "/read/own").is_ok(),
    );
    check(
        "put one there by its name",
        fs::rename("/data/own", "/read/own").is_ok(),
    );
    check("replaced it", fs::rename("/data/own", kept).is_ok());
    let _ = link("../read", "/data/to-read");
    check(
        "wrote by a link",
        fs::write("/data/to-read/kept", "changed").is_ok(),
    );
    check(
        "wrote by a link that was there",
        fs::write("/data/to-kept", "changed").is_ok(),
    );
    check(
        "wrote by its neighbour",
        fs::write("/data/../read/kept", "changed").is_ok(),
    );
    if let Ok(file) = File::open(kept) {
        let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
        check("set its time", file.set_times(times).is_ok());
        check("set its length", file.set_len(0).is_ok());
    }
    for line in done {
        println!("{line}");
    }
}
