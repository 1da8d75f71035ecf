//! Makes files, directories and links, with names of every length and ever deeper, until it is refused, and panics.

use std::fs::{self, File};

fn main() {
    #[expect(deprecated, reason = "there is no other way to make a link here")]
    let link = |to: &str, path: &str| fs::soft_link(to, path);
    let _ = File::create(format!("/data/{}", "long".repeat(1000)));
    let _ = fs::create_dir(format!("/data/{}", "deep/".repeat(3000)));
    let mut deep = "/data".to_owned();
    for number in 0..1_000_000_u32 {
        File::create(format!("/data/file{number}")).expect("a file");
        fs::create_dir(format!("/data/directory{number}")).expect("a directory");
        fs::hard_link("/data/own", format!("/data/hard{number}")).expect("a hard link");
        link("own", &format!("/data/link{number}")).expect("a link");
        if deep.len() < 1000 {
            deep += "/d";
            fs::create_dir(&deep).expect("a deep directory");
        }
        // What is removed is no room for more.
        fs::remove_file(format!("/data/file{number}")).expect("it is there");
    }
}
