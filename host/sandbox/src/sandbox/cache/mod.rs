//! Compiled code on disk, so that a module is compiled once per machine and not once per run.
//!
//! A file is named by what it was made of: the module's hash and the settings it was compiled
//! with. It is written aside and renamed, so that processes that share the directory never see
//! half of one; its end holds a checksum, so that a damaged one is thrown away and made again.
//! The directory is private to its owner: what is in it is run as native code. Files in it that
//! do not have such a name are nobody's business here: they are neither counted nor removed.

mod keeping;

pub use keeping::{CacheInfo, Prune, Pruned};

use super::helper::Kind;
use super::module::ModuleHash;
use rwasm_value::units::ByteSize;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A directory of compiled code, such as [`ClusterBuilder::cache_dir`](crate::ClusterBuilder::cache_dir) names.
///
/// ```no_run
/// use rwasm_cluster::{ByteSize, CodeCache, Prune};
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

/// How the name of a file begins that is being written.
const UNFINISHED: &str = ".new-";

impl CodeCache {
    /// What the code in a directory may take unless said otherwise.
    pub const SIZE: ByteSize = ByteSize::mib(1024);

    /// The cache in `dir`, which is bound to `size`; none where there is no such directory. Nothing
    /// is made or changed.
    ///
    /// # Errors
    /// When it is something else than a directory, or open to others.
    pub fn open(dir: impl Into<PathBuf>, size: ByteSize) -> io::Result<Option<Self>> {
        let dir = dir.into();
        match check_private(&dir) {
            Ok(()) => Ok(Some(Self { dir, size })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same of a directory that is made if need be.
    ///
    /// # Errors
    /// When it cannot be made, is something else than a directory, or open to others.
    #[doc(hidden)]
    pub fn make(dir: &Path, size: ByteSize) -> io::Result<Self> {
        make_private_dir(dir)?;
        Self::open(dir, size)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What a file is called: by the module, and by what else its code depends on.
    pub(super) fn name(module: ModuleHash, kind: Kind, compatibility: u64) -> String {
        format!("{module}-{}-{compatibility:016x}", kind.name())
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

    /// Keeps `code` under `name`, where it is not too large. A failure costs nothing but the next
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
        file.write_all(MARK)?;
        file.write_all(&length.to_le_bytes())?;
        file.write_all(&checksum.finalize().to_le_bytes())?;
        file.persist(self.dir.join(name))
            .map_err(|error| error.error)?;
        // It is there, whether others could be removed for it or not.
        let _ = self.trim(name);
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
    use std::os::unix::fs::DirBuilderExt;
    /// Others may neither write here nor look.
    const PRIVATE: u32 = 0o700;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(dir)
}

/// Refuses what is no directory, or one that others could put code into.
#[cfg(unix)]
fn check_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    const OTHERS_MAY_WRITE: u32 = 0o022;
    let meta = fs::metadata(dir)?;
    if !meta.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let owner = meta.uid();
    // Root could change our code anyway; anybody else could plant some.
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
