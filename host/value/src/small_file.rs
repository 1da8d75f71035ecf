//! Files of settings and keys: they are small, and read whole.

use crate::units::ByteSize;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most bytes of such a file. Settings take a few hundred, and certificates of many authorities some hundred thousand.
const MOST: ByteSize = ByteSize::mib(1);

/// Reads a file of at most 1 MiB. It may be a pipe or a device: those have no size beforehand.
///
/// # Errors
/// If the file cannot be read, is larger, or is not UTF-8.
pub fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    let bytes = (&file).take(MOST.bytes() + 1).read_to_string(&mut text)?;
    if bytes as u64 <= MOST.bytes() {
        return Ok(text);
    }
    let size = ByteSize::new(file.metadata()?.len());
    let found = if size > MOST {
        size.to_string()
    } else {
        "more".to_owned()
    };
    Err(io::Error::other(format!(
        "expected at most {MOST}, found {found}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        for (size, is_read) in [(0, true), (MOST.bytes(), true), (MOST.bytes() + 1, false)] {
            let file = File::create(&path).expect("a file can be made");
            file.set_len(size).expect("a sparse file");
            assert_eq!(read(&path).is_ok(), is_read, "{size}");
        }
        let error = read(Path::new("/dev/zero")).expect_err("it has no end");
        assert_eq!(error.to_string(), "expected at most 1MiB, found more");
    }
}
