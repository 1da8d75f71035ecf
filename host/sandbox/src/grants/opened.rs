//! Directories that are open: what a grant is, whatever their names come to mean.

use rustix::fs::{Mode, OFlags, openat};
use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens a directory to read it, which checks permissions too. Anything else is refused without being opened, since
/// that might block.
#[doc(hidden)]
pub fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY.bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(path)
}

/// What no other file has while this one is open: its device and its number there.
#[doc(hidden)]
pub fn identity(file: &File) -> io::Result<(u64, u64)> {
    let found = file.metadata()?;
    Ok((found.dev(), found.ino()))
}

/// Whether an open directory is another one or lies in it. No name is looked up but `..`, so no link is followed.
pub(super) fn lies_within(inner: &File, outer: &File) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let outer = identity(outer)?;
    let mut here = identity(inner)?;
    let mut dir = inner.try_clone()?;
    while here != outer {
        let above = File::from(openat(&dir, "..", flags, Mode::empty())?);
        let next = identity(&above)?;
        if next == here {
            // Above the root there is only the root.
            return Ok(false);
        }
        (dir, here) = (above, next);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_lies_in_another_whatever_they_are_called() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("outer/inner")).expect("a directory");
        std::fs::create_dir(at("beside")).expect("a directory");
        let open = |name: &str| open_directory(&at(name)).expect("it is a directory");
        let (outer, inner, beside) = (open("outer"), open("outer/inner"), open("beside"));
        // What they are called now leads elsewhere.
        std::fs::rename(at("outer"), at("moved")).expect("it can be moved");
        std::os::unix::fs::symlink("/", at("outer")).expect("a link");
        let within = |inner: &File, outer: &File| lies_within(inner, outer).expect("it is known");
        assert!(within(&inner, &outer) && within(&outer, &outer));
        assert!(!within(&outer, &inner) && !within(&beside, &outer));
        assert!(open_directory(&at("moved/none")).is_err());
        std::fs::write(at("file"), "").expect("a file");
        assert!(open_directory(&at("file")).is_err());
    }
}
