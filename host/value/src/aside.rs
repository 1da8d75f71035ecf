//! Files and directories that get their names when they are complete.
//!
//! Each is made beside its place under a name of this kind alone, `.rwasm-`, twelve letters or digits, `.part`, and locked by
//! its writer. The system releases the lock when the process ends, however it ends, so whoever writes there next can tell
//! what was left behind by a process that was killed, and removes it. A process that ends by a signal it hears calls
//! [`abandon_all`].

use std::ffi::OsStr;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::{Builder, NamedTempFile, PersistError, TempDir};

const PREFIX: &str = ".rwasm-";
const SUFFIX: &str = ".part";
const RANDOM: usize = 12;

/// The most names in a directory that are looked at for what was left behind. In a larger one something may stay; nobody
/// is to wait for a million names to be read.
const SWEPT_NAMES: usize = 4096;

/// Directories that are known to be swept.
const SWEPT_DIRS: usize = 64;

/// What this process has written aside, and where it has swept already. Locked while a file is made or gets its name.
static KNOWN: Mutex<Known> = Mutex::new(Known {
    paths: Vec::new(),
    swept: Vec::new(),
});

struct Known {
    paths: Vec<PathBuf>,
    swept: Vec<PathBuf>,
}

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that is written, and removed unless it is completed.
#[derive(Debug)]
pub struct Aside {
    file: NamedTempFile,
    place: PathBuf,
    _listed: Listed,
}

/// A directory that is filled, and removed unless it was moved.
#[derive(Debug)]
pub struct AsideDir {
    dir: TempDir,
    _lock: File,
    _listed: Listed,
}

/// A path in the list of what this process has written aside.
#[derive(Debug)]
struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        known().paths.retain(|path| *path != self.0);
    }
}

impl Aside {
    /// Begins the file that is to be at `place`, for its owner alone.
    pub fn beside(place: &Path) -> io::Result<Self> {
        Self::with(place, &Permissions::from_mode(0o600))
    }

    /// Begins the file that is to be at `place`, with these permissions as far as the process's mask lets them be.
    pub fn with(place: &Path, permissions: &Permissions) -> io::Result<Self> {
        if place.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let dir = parent(place);
        sweep_once(dir, Kind::File);
        loop {
            let mut known = known();
            let file = naming(&mut Builder::new())
                .permissions(permissions.clone())
                .tempfile_in(dir)?;
            let listed = Listed(file.path().to_owned());
            known.paths.push(listed.0.clone());
            drop(known);
            if is_claimed(file.as_file(), file.path())? {
                return Ok(Self {
                    file,
                    place: place.to_owned(),
                    _listed: listed,
                });
            }
        }
    }

    /// Where it is until it is complete.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives it its name, in place of what had it: with all that was written, whenever the machine fails from now on.
    pub fn complete(self) -> io::Result<()> {
        self.settle(true, NamedTempFile::persist)
    }

    /// The same, if nothing has that name; an error otherwise.
    pub fn complete_new(self) -> io::Result<()> {
        self.settle(true, NamedTempFile::persist_noclobber)
    }

    /// Gives it its name, without waiting for the disk: for what is checked when it is read, or has no meaning after the
    /// machine has failed.
    pub fn complete_unsynced(self) -> io::Result<()> {
        self.settle(false, NamedTempFile::persist)
    }

    fn settle(
        self,
        is_durable: bool,
        name: impl FnOnce(NamedTempFile, PathBuf) -> Result<File, PersistError>,
    ) -> io::Result<()> {
        let Self {
            file,
            place,
            _listed,
        } = self;
        if is_durable {
            file.as_file().sync_all()?;
        }
        {
            let _known = known();
            name(file, place.clone()).map_err(|error| error.error)?;
        }
        if is_durable {
            sync_dir(parent(&place))?;
        }
        Ok(())
    }
}

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

impl AsideDir {
    /// Makes an empty directory in `parent`, for its owner alone.
    pub fn within(parent: &Path) -> io::Result<Self> {
        sweep_once(parent, Kind::Dir);
        loop {
            let mut known = known();
            let dir = naming(&mut Builder::new()).tempdir_in(parent)?;
            let listed = Listed(dir.path().to_owned());
            known.paths.push(listed.0.clone());
            drop(known);
            let lock = File::open(dir.path())?;
            if is_claimed(&lock, dir.path())? {
                return Ok(Self {
                    dir,
                    _lock: lock,
                    _listed: listed,
                });
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Keeps this process from making and completing anything more here.
pub struct Abandoned {
    _known: MutexGuard<'static, Known>,
}

/// Removes all that this process has written aside and not completed: for a thread that ends the process while others are
/// at work, and keeps the result until then.
#[must_use]
pub fn abandon_all() -> Abandoned {
    let mut known = known();
    for path in known.paths.drain(..) {
        // What cannot be removed is left for the next who writes there.
        if fs::remove_file(&path).is_err() {
            let _ = fs::remove_dir_all(&path);
        }
    }
    Abandoned { _known: known }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    /// Only who makes such directories removes them: others are not to wait for what may be in one.
    Dir,
}

fn naming<'a>(builder: &'a mut Builder<'static, 'static>) -> &'a mut Builder<'static, 'static> {
    builder.prefix(PREFIX).suffix(SUFFIX).rand_bytes(RANDOM)
}

fn is_ours(name: &OsStr) -> bool {
    let random = name.to_str().and_then(|name| {
        let name = name.strip_prefix(PREFIX)?;
        name.strip_suffix(SUFFIX)
    });
    random.is_some_and(|random| {
        random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

fn parent(place: &Path) -> &Path {
    match place.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Removes what was left behind, once for each directory.
fn sweep_once(dir: &Path, kind: Kind) {
    if kind == Kind::File {
        let Ok(dir) = std::path::absolute(dir) else {
            return;
        };
        let mut known = known();
        if known.swept.contains(&dir) {
            return;
        }
        if known.swept.len() >= SWEPT_DIRS {
            known.swept.remove(0);
        }
        known.swept.push(dir);
    }
    sweep(dir, kind);
}

fn sweep(dir: &Path, kind: Kind) {
    // What cannot be read or removed is no reason not to write.
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.take(SWEPT_NAMES).flatten() {
        if is_ours(&entry.file_name()) {
            let _ = remove_left(&entry.path(), kind);
        }
    }
}

/// Removes a file or directory of this user's that nobody is at any more.
fn remove_left(path: &Path, kind: Kind) -> io::Result<()> {
    // Neither a link is followed nor a pipe waited for.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let found = file.metadata()?;
    let is_wanted = match kind {
        Kind::File => found.is_file(),
        Kind::Dir => found.is_dir(),
    };
    if !is_wanted || found.uid() != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    file.try_lock()?;
    // Its writer may have completed it since.
    if is_at(&file, path)? {
        match kind {
            Kind::File => fs::remove_file(path)?,
            Kind::Dir => fs::remove_dir_all(path)?,
        }
    }
    Ok(())
}

/// Locks what was just made, unless somebody took it for something left behind before that.
fn is_claimed(file: &File, path: &Path) -> io::Result<bool> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(false),
        // Where a file system has no locks, nobody else can lock it either, and so remove it.
        Ok(()) | Err(TryLockError::Error(_)) => is_at(file, path),
    }
}

/// Whether the open file is what has that name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let file = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (file.dev(), file.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Has the disk keep what a directory lists. Where that cannot be asked for, it is the file system's own affair.
fn sync_dir(dir: &Path) -> io::Result<()> {
    let Ok(dir) = File::open(dir) else {
        return Ok(());
    };
    match dir.sync_all() {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("it can be listed");
        let name = |entry: io::Result<fs::DirEntry>| {
            let name = entry.expect("it can be listed").file_name();
            name.to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("file");
        fs::write(&place, "old").expect("it can be written");
        let begun = |text: &str| {
            let mut aside = Aside::beside(&place).expect("it can be begun");
            aside.write_all(text.as_bytes()).expect("it can be written");
            aside
        };
        let text = || fs::read_to_string(&place).expect("it is there");
        drop(begun("dropped"));
        let refused = begun("new").complete_new().expect_err("there is one");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(text(), "old");
        begun("first").complete().expect("it is complete");
        assert_eq!(text(), "first");
        begun("second").complete_unsynced().expect("it is complete");
        assert_eq!(text(), "second");
        assert_eq!(names(dir.path()), ["file"]);
        assert!(Aside::beside(dir.path()).is_err());
    }

    #[test]
    fn what_nobody_writes_any_more_is_swept_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        let live = Aside::beside(&at("live")).expect("it can be begun");
        let live_dir = AsideDir::within(dir.path()).expect("it can be made");
        // As a process leaves them that is killed.
        for name in [".rwasm-abcDEF012345.part", ".rwasm-000000000000.part"] {
            fs::write(at(name), "left").expect("it can be written");
        }
        let left_dir = at(".rwasm-dir000000000.part");
        fs::create_dir(&left_dir).expect("it can be made");
        fs::write(left_dir.join("file"), "left").expect("it can be written");
        let kept = [
            ".rwasm-backup",
            ".rwasm-abcDEF01234.part",
            ".rwasm-abcDEF-12345.part",
            ".rwasm-abcDEF0123456.part",
            "rwasm-abcDEF012345.part",
        ];
        for name in kept {
            fs::write(at(name), "another's").expect("it can be written");
        }
        let link = at(".rwasm-link00000000.part");
        std::os::unix::fs::symlink(at(kept[0]), &link).expect("a link can be made");
        let aside = |path: &Path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let mut expected: Vec<String> = kept.map(str::to_owned).into();
        expected
            .extend([live.path(), live_dir.path(), &link].map(|path| aside(path).expect("a name")));
        expected.sort();
        let mut with_dir = expected.clone();
        with_dir.extend(aside(&left_dir));
        with_dir.sort();
        sweep(dir.path(), Kind::File);
        assert_eq!(names(dir.path()), with_dir);
        sweep(dir.path(), Kind::Dir);
        assert_eq!(names(dir.path()), expected);
        live.complete().expect("it is complete");
        assert!(names(dir.path()).contains(&"live".to_owned()));
    }

    #[test]
    fn whoever_writes_sweeps_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let left = dir.path().join(".rwasm-abcDEF012345.part");
        fs::write(&left, "left").expect("it can be written");
        let aside = Aside::beside(&dir.path().join("new")).expect("it can be begun");
        assert!(!left.exists());
        aside.complete().expect("it is complete");
        assert_eq!(names(dir.path()), ["new"]);
    }
}
