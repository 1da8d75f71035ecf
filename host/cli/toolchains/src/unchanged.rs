//! Whether a project has changed since it was compiled, for compilers that do not find out themselves and take long.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Directories of packages, which have many files and change by being installed.
const PACKAGES: [&str; 3] = [".venv", "venv", "node_modules"];

/// What is no part of a module.
const BESIDE: [&str; 4] = [".git", "__pycache__", "samples", "target"];

/// The most entries that are looked at.
const MOST: usize = 200_000;

/// Files larger than this many bytes are known by their size and times.
const LARGE: u64 = 16 << 20;

/// What a module is made of, as far as it can be known.
pub(crate) struct Inputs<'a> {
    /// The project.
    pub(crate) dir: &'a Path,
    /// Directories of packages elsewhere.
    pub(crate) packages: Vec<&'a Path>,
    /// Files that this program made for the compiler.
    pub(crate) made: Vec<PathBuf>,
    /// The compiler and its options.
    pub(crate) words: Vec<String>,
}

impl Inputs<'_> {
    /// A text that is another one if a module would be; none if that cannot be told.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        let mut hash = Hash::default();
        for word in &self.words {
            hash.part(word.as_bytes());
        }
        hash.project(self.dir).ok()?;
        for dir in &self.packages {
            hash.packages(dir).ok()?;
        }
        for path in &self.made {
            hash.any(path).ok()?;
        }
        Some(hash.hex())
    }
}

/// Whether the module at `output` was made of inputs with this fingerprint, and is as it was then.
pub(crate) fn is_current(output: &Path, fingerprint: &str) -> bool {
    let noted = fs::read_to_string(note_of(output));
    noted.is_ok_and(|noted| stamp(output, fingerprint).is_ok_and(|stamp| noted == stamp))
}

/// Forgets what the module was made of, before another one is made there.
pub(crate) fn forget(output: &Path) {
    // If it stays, it does not fit what is made.
    let _ = fs::remove_file(note_of(output));
}

/// Notes what the module was made of. Without a note it is made again.
pub(crate) fn note(output: &Path, fingerprint: &str) {
    if let Ok(stamp) = stamp(output, fingerprint) {
        let _ = fs::write(note_of(output), stamp);
    }
}

fn note_of(output: &Path) -> PathBuf {
    output.with_added_extension("made-of")
}

fn stamp(output: &Path, fingerprint: &str) -> io::Result<String> {
    let mut hash = Hash::default();
    hash.part(&fs::read(output)?);
    Ok(format!("{fingerprint} {}\n", hash.hex()))
}

#[derive(Default)]
struct Hash {
    hash: Sha256,
    entries: usize,
}

impl Hash {
    fn part(&mut self, bytes: &[u8]) {
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    fn hex(self) -> String {
        let digest = self.hash.finalize();
        digest.iter().fold(String::new(), |mut text, byte| {
            // A string takes anything.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The entries of a directory, in order.
    fn entries(&mut self, dir: &Path) -> io::Result<Vec<fs::DirEntry>> {
        let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<io::Result<_>>()?;
        self.entries += entries.len();
        if self.entries > MOST {
            return Err(io::Error::other("too many files"));
        }
        entries.sort_by_key(fs::DirEntry::file_name);
        Ok(entries)
    }

    fn project(&mut self, dir: &Path) -> io::Result<()> {
        for entry in self.entries(dir)? {
            let (name, path) = (entry.file_name(), entry.path());
            let is = |names: &[&str]| names.iter().any(|known| name == *known);
            // The module itself is beside its sources.
            if is(&BESIDE) || path.extension().is_some_and(|found| found == "wasm") {
                continue;
            }
            self.part(name.as_encoded_bytes());
            let kind = entry.file_type()?;
            if kind.is_dir() && is(&PACKAGES) {
                self.packages(&path)?;
            } else if kind.is_dir() {
                self.project(&path)?;
            } else {
                self.file(&path)?;
            }
        }
        self.part(b"..");
        Ok(())
    }

    /// A file or a directory, by content.
    fn any(&mut self, path: &Path) -> io::Result<()> {
        if fs::metadata(path)?.is_dir() {
            self.project(path)
        } else {
            self.file(path)
        }
    }

    fn file(&mut self, path: &Path) -> io::Result<()> {
        let found = fs::metadata(path)?;
        if !found.is_file() {
            // Such as a link to a directory, which may lead anywhere.
            return Err(io::Error::other("not a file"));
        }
        if found.len() > LARGE {
            self.times(&found);
        } else {
            self.part(&fs::read(path)?);
        }
        Ok(())
    }

    /// A directory of packages, by the sizes and times of its files.
    fn packages(&mut self, dir: &Path) -> io::Result<()> {
        for entry in self.entries(dir)? {
            let name = entry.file_name();
            // What Python leaves there when it imports.
            if name == "__pycache__" {
                continue;
            }
            self.part(name.as_encoded_bytes());
            let found = entry.metadata()?;
            if found.is_dir() {
                self.packages(&entry.path())?;
            } else {
                self.times(&found);
            }
        }
        self.part(b"..");
        Ok(())
    }

    fn times(&mut self, found: &fs::Metadata) {
        let changed = (
            found.mtime(),
            found.mtime_nsec(),
            found.ctime(),
            found.ctime_nsec(),
        );
        self.part(format!("{} {} {changed:?}", found.len(), found.ino()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_follows_what_a_module_is_made_of() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        };
        let fingerprint = |word: &str| {
            let inputs = Inputs {
                dir: dir.path(),
                packages: Vec::new(),
                made: Vec::new(),
                words: vec![word.to_owned()],
            };
            inputs.fingerprint().expect("it can be told")
        };
        write("app.py", "one");
        write("lib/more.py", "two");
        let first = fingerprint("1.0");
        write("app.wasm", "a module");
        write("samples/one.txt", "a sample");
        write("lib/__pycache__/more.pyc", "code");
        write("app.py", "one");
        assert_eq!(fingerprint("1.0"), first, "nothing of it is in the module");
        assert_ne!(fingerprint("1.1"), first);
        for (name, text) in [("app.py", "on"), ("lib/more.py", "e"), ("lib/x.py", "")] {
            let before = fingerprint("1.0");
            write(name, text);
            assert_ne!(fingerprint("1.0"), before, "{name}");
        }
        write(".venv/lib/package.py", "1");
        let before = fingerprint("1.0");
        write(".venv/lib/package.py", "12");
        assert_ne!(fingerprint("1.0"), before);
        std::os::unix::fs::symlink("/", dir.path().join("root")).expect("a link");
        let inputs = Inputs {
            dir: dir.path(),
            packages: Vec::new(),
            made: Vec::new(),
            words: Vec::new(),
        };
        assert_eq!(
            inputs.fingerprint(),
            None,
            "what is behind a link is not known"
        );
    }

    #[test]
    fn a_module_is_current_until_it_or_what_it_is_made_of_changes() {
        let dir = tempfile::tempdir().expect("a directory");
        let output = dir.path().join("app.wasm");
        assert!(!is_current(&output, "a"));
        fs::write(&output, "module").expect("a file");
        note(&output, "a");
        assert!(is_current(&output, "a") && !is_current(&output, "b"));
        fs::write(&output, "another").expect("a file");
        assert!(!is_current(&output, "a"));
        note(&output, "a");
        forget(&output);
        assert!(!is_current(&output, "a"));
    }
}
