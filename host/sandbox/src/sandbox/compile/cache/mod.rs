//! Compiled code on disk, so that a module is compiled once per machine instead of once per run.
//!
//! A file is named after its origin: the module's hash and the settings it was compiled with. It is
//! written under another name and renamed, so that processes that share the directory never see
//! half a file. A checksum at its end reveals a malformed one, which is removed and made again. The
//! directory is private to its owner, because its content runs as native code. Files with other
//! names are neither counted nor removed.

mod keeping;

pub use keeping::{CacheInfo, Prune, Pruned};

use super::helper::CodeKind;
use crate::sandbox::module::ModuleHash;
use rwasm_value::units::ByteSize;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A directory of compiled code, as set by `ClusterBuilder::cache_dir`.
///
/// ```no_run
/// use rwasm_sandbox::sandbox::{CodeCache, Prune};
/// use rwasm_value::units::ByteSize;
///
/// if let Some(cache) = CodeCache::open("compiled", CodeCache::SIZE)? {
///     println!("{} files, {} bytes", cache.info()?.files, cache.info()?.bytes);
///     let mut prune = Prune::default();
///     prune.max_size = Some(ByteSize::mib(100));
///     println!("{} bytes removed", cache.prune(&prune)?.bytes);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CodeCache {
    dir: PathBuf,
    size: ByteSize,
}

/// What follows the code in a file: a mark, the length of the code, its checksum.
const MARK: &[u8; 8] = b"rwasmcc1";
const TRAILER: usize = 8 + 8 + 4;

/// How much is read at once to check a file.
const PIECE: usize = 256 << 10;

/// The prefix of the name of a file that is being written.
const UNFINISHED: &str = ".new-";

/// The prefix of the name of a file that whoever compiles holds a lock on. It has no bytes.
const LOCKED: &str = ".lock-";

impl CodeCache {
    /// The default limit on the code in a directory.
    pub const SIZE: ByteSize = ByteSize::mib(1024);

    /// Opens the cache in `dir`, limited to `size`; `None` if there is no such directory. Nothing
    /// is created or changed.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not a directory, or if other users may write to it.
    pub fn open(dir: impl Into<PathBuf>, size: ByteSize) -> io::Result<Option<Self>> {
        let dir = dir.into();
        match check_private(&dir) {
            Ok(()) => Ok(Some(Self { dir, size })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Does the same, and creates the directory if it does not exist.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created, is not a directory, or if other users may write to
    /// it.
    #[doc(hidden)]
    pub fn make(dir: &Path, size: ByteSize) -> io::Result<Self> {
        make_private_dir(dir)?;
        Self::open(dir, size)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Returns the directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the name of a file: the module, and everything else that its code depends on.
    pub(super) fn name(module: ModuleHash, kind: CodeKind, compatibility: u64) -> String {
        format!("{module}-{}-{compatibility:016x}", kind.name())
    }

    /// Opens the file with that name and checks it; a malformed one is removed.
    pub(super) fn get(&self, name: &str) -> Option<File> {
        let path = self.dir.join(name);
        let mut file = File::open(&path).ok()?;
        if !matches!(intact(&mut file), Ok(true)) {
            // Another process may have replaced it already with a good one, which is then made
            // again.
            let _ = fs::remove_file(&path);
            return None;
        }
        // Marks it as used. A cache that cannot be written is still useful.
        let _ = file.set_modified(SystemTime::now());
        Some(file)
    }

    /// Where the lock of that name is.
    pub(super) fn lock_path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{LOCKED}{name}"))
    }

    /// Where the file of that name is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Removes a file that is intact but does not suit this engine.
    pub(super) fn discard(&self, name: &str) {
        let _ = fs::remove_file(self.dir.join(name));
    }

    /// Keeps `code` under `name`, unless it is too large. A failure costs nothing but the next
    /// compilation.
    pub(super) fn put(&self, name: &str, code: &mut impl Read) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&self.dir)?;
        let mut checksum = crc32fast::Hasher::new();
        let mut length: u64 = 0;
        let mut piece = vec![0; PIECE];
        loop {
            let size = code.read(&mut piece)?;
            if size == 0 {
                break;
            }
            length += size as u64;
            if length.saturating_add(TRAILER as u64) > self.size.bytes() {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            checksum.update(&piece[..size]);
            file.write_all(&piece[..size])?;
        }
        // Not synced: what the disk has lost of it does not match its checksum, and is compiled again.
        file.write_all(MARK)?;
        file.write_all(&length.to_le_bytes())?;
        file.write_all(&checksum.finalize().to_le_bytes())?;
        file.persist(self.dir.join(name))
            .map_err(|error| error.error)?;
        // It is in the cache, whether or not others could be removed for it.
        let _ = self.trim(name);
        Ok(())
    }
}

/// Whether the file's trailer matches the content before it. Leaves the file at its start.
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
    use std::os::unix::fs::DirBuilderExt;
    /// Others may neither read nor write here.
    const PRIVATE: u32 = 0o700;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(dir)
}

/// Refuses a path that is not a directory, or one that others could put code into.
#[cfg(unix)]
fn check_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    const OTHERS_MAY_WRITE: u32 = 0o022;
    let meta = fs::metadata(dir)?;
    if !meta.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let owner = meta.uid();
    // Root could change our code anyway; any other owner could plant code.
    let trusted = owner == rustix::process::geteuid().as_raw() || owner == 0;
    if !trusted || meta.permissions().mode() & OTHERS_MAY_WRITE != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "other users could write code into it",
        ));
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(not(unix))]
fn check_private(dir: &Path) -> io::Result<()> {
    if !fs::metadata(dir)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
