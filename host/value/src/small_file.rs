//! Files that are read whole, up to a bound: those of settings and keys, which are small, and others whose reader knows how
//! large they may be.

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
    Err(too_large(&file, MOST))
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// If the file cannot be read or is not a regular one, or, with [`io::ErrorKind::FileTooLarge`], if it is larger.
pub fn read_regular(path: &Path, most: ByteSize) -> io::Result<Vec<u8>> {
    check_regular(path)?;
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    // Of one that grows meanwhile no more is read either.
    if file.metadata()?.len() <= most.bytes() {
        let all = most.bytes().saturating_add(1);
        (&file).take(all).read_to_end(&mut bytes)?;
        if bytes.len() as u64 <= most.bytes() {
            return Ok(bytes);
        }
    }
    Err(too_large(&file, most))
}

/// Refuses pipes, which keep whoever opens them waiting, and devices, which may have no end.
///
/// # Errors
/// If the path leads to anything but a regular file, or nowhere.
pub fn check_regular(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_file() {
        Ok(())
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

fn too_large(file: &File, most: ByteSize) -> io::Error {
    let size = file
        .metadata()
        .map_or(ByteSize::new(0), |found| ByteSize::new(found.len()));
    let found = if size > most {
        size.to_string()
    } else {
        "more".to_owned()
    };
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("expected at most {most}, found {found}"),
    )
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

    #[test]
    fn only_a_regular_file_within_its_bound_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        std::fs::write(&path, "four").expect("it can be written");
        let read = |most| read_regular(&path, ByteSize::new(most));
        assert_eq!(read(4).expect("it fits"), b"four");
        assert_eq!(read(u64::MAX).expect("it fits"), b"four");
        let error = read(3).expect_err("it is larger");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "expected at most 3B, found 4B");
        for other in [Path::new("/dev/zero"), dir.path()] {
            let error = read_regular(other, ByteSize::mib(1)).expect_err("it is no file");
            assert_eq!(error.to_string(), "it is not a regular file");
        }
        let error = read_regular(&dir.path().join("none"), MOST).expect_err("it is not there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
