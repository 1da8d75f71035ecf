//! Compiled code on disk, so that a module is compiled once per machine and not once per run.
//!
//! A file is named by what it was made of: the module's hash and the settings it was compiled
//! with. It is written aside and renamed, so that processes that share the directory never see
//! half of one; its end holds a checksum, so that a damaged one is thrown away and made again.
//! The directory is private to its owner: what is in it is run as native code.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A directory of compiled code.
#[derive(Clone, Debug)]
pub(crate) struct CodeCache {
    dir: PathBuf,
    max_bytes: u64,
}

/// What follows the code in a file: a mark, the length of the code, its checksum.
const MARK: &[u8; 8] = b"rwasmcc1";
const TRAILER: usize = 8 + 8 + 4;

/// How much is read at once to check a file.
const PIECE: usize = 256 << 10;

impl CodeCache {
    /// The cache in `dir`, which is made if need be and kept below `max_bytes`.
    /// None where the directory cannot be used or is open to others.
    pub(crate) fn open(dir: &Path, max_bytes: u64) -> Option<Self> {
        make_private_dir(dir).ok()?;
        Some(Self {
            dir: dir.to_owned(),
            max_bytes,
        })
    }

    /// The file of that name, checked, at its start; one that is damaged is removed.
    pub(super) fn get(&self, name: &str) -> Option<File> {
        let path = self.dir.join(name);
        let mut file = File::open(&path).ok()?;
        if !matches!(intact(&mut file), Ok(true)) {
            // Another process may have put a good one there already; it will be made again.
            let _ = fs::remove_file(&path);
            return None;
        }
        // What was used last is removed last. A cache that cannot be written is still of use.
        let _ = file.set_modified(SystemTime::now());
        Some(file)
    }

    /// Where the file of that name is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Throws away a file that is intact but of no use to this engine.
    pub(super) fn discard(&self, name: &str) {
        let _ = fs::remove_file(self.dir.join(name));
    }

    /// Keeps `code` under `name`. A failure costs nothing but the next compilation.
    pub(super) fn put(&self, name: &str, code: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.dir)?;
        file.write_all(code)?;
        file.write_all(MARK)?;
        file.write_all(&(code.len() as u64).to_le_bytes())?;
        file.write_all(&crc32fast::hash(code).to_le_bytes())?;
        file.persist(self.dir.join(name))
            .map_err(|error| error.error)?;
        self.trim(name)
    }

    /// Removes what was used longest ago until the directory is within its bound, but never what
    /// was just put there.
    fn trim(&self, newest: &str) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            // A file may vanish under another process's trimming.
            if let Ok(meta) = entry.metadata()
                && meta.is_file()
            {
                files.push((meta.modified()?, meta.len(), entry.file_name()));
            }
        }
        files.sort_unstable();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, name) in files {
            if total <= self.max_bytes {
                break;
            }
            if name != newest && fs::remove_file(self.dir.join(name)).is_ok() {
                total -= size;
            }
        }
        Ok(())
    }
}

/// Whether the file's trailer fits what comes before it. Leaves the file at its start.
fn intact(file: &mut File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let Some(code) = length.checked_sub(TRAILER as u64) else {
        return Ok(false);
    };
    let mut checksum = crc32fast::Hasher::new();
    let mut piece = vec![0; PIECE];
    let mut left = code;
    while left > 0 {
        let size = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        file.read_exact(&mut piece[..size])?;
        checksum.update(&piece[..size]);
        left -= size as u64;
    }
    let mut trailer = [0; TRAILER];
    file.read_exact(&mut trailer)?;
    file.rewind()?;
    let mut wanted = MARK.to_vec();
    wanted.extend(code.to_le_bytes());
    wanted.extend(checksum.finalize().to_le_bytes());
    Ok(wanted == trailer)
}

#[cfg(unix)]
fn make_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    /// Others may neither write here nor look.
    const PRIVATE: u32 = 0o700;
    const OTHERS_MAY_WRITE: u32 = 0o022;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(dir)?;
    let meta = fs::metadata(dir)?;
    let owner = meta.uid();
    // Root could change our code anyway; anybody else could plant some.
    let trusted = owner == rustix::process::geteuid().as_raw() || owner == 0;
    if !trusted || meta.permissions().mode() & OTHERS_MAY_WRITE != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others could put code of theirs there",
        ));
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(max_bytes: u64) -> (tempfile::TempDir, CodeCache) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cache = CodeCache::open(dir.path(), max_bytes).expect("a cache in it");
        (dir, cache)
    }

    #[test]
    fn what_was_put_comes_back_and_what_is_damaged_does_not() {
        let (dir, cache) = cache(1 << 20);
        cache.put("a", b"some code").expect("put");
        assert!(cache.get("a").is_some());
        for damage in [
            &b"some c"[..],
            b"",
            b"other bytes altogether, long enough for a trailer",
        ] {
            fs::write(dir.path().join("a"), damage).expect("written");
            assert!(cache.get("a").is_none());
            assert!(!dir.path().join("a").exists());
        }
    }

    #[test]
    fn one_flipped_bit_is_noticed() {
        let (dir, cache) = cache(1 << 20);
        cache.put("a", &[7; 1000]).expect("put");
        let mut bytes = fs::read(dir.path().join("a")).expect("read");
        bytes[500] ^= 1;
        fs::write(dir.path().join("a"), bytes).expect("written");
        assert!(cache.get("a").is_none());
    }

    #[test]
    fn the_directory_stays_within_its_bound_and_keeps_what_is_new() {
        let (dir, cache) = cache(3000);
        for name in ["a", "b", "c", "d", "e"] {
            cache.put(name, &[1; 1000]).expect("put");
        }
        let total: u64 = fs::read_dir(dir.path())
            .expect("listed")
            .map(|entry| entry.expect("entry").metadata().expect("metadata").len())
            .sum();
        assert!(total <= 3000, "{total} bytes are left");
        assert!(cache.get("e").is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_others_may_write_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("opened");
        assert!(CodeCache::open(dir.path(), 1).is_none());
    }
}
