//! The files of a directory and of those below it, in an order that depends on their names alone.

use globset::{Glob, GlobBuilder, GlobMatcher};
use rwasm_value::plain;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Which files of directories are inputs.
///
/// A pattern with a `/` is compared with the path below the directory, and any other with the name alone. Links are not
/// followed, and what is neither a file nor a directory is left out.
///
/// # Examples
///
/// ```
/// use rwasm_sandbox::input::FileTree;
///
/// # let dir = tempfile::tempdir()?;
/// # std::fs::create_dir(dir.path().join("a"))?;
/// # for name in ["b.log", "a/c.log", "a/d.txt"] { std::fs::write(dir.path().join(name), "")?; }
/// # let dir = dir.path();
/// let mut tree = FileTree::default();
/// tree.include.push("*.log".parse()?);
/// assert_eq!(tree.files(dir)?, [dir.join("a/c.log"), dir.join("b.log")]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FileTree {
    /// If there are any, files that match none of these are left out.
    pub include: Vec<Pattern>,
    /// Files and directories that match one of these are left out.
    pub exclude: Vec<Pattern>,
}

/// A pattern of file names, as in a shell.
#[derive(Clone, Debug)]
pub struct Pattern {
    matcher: GlobMatcher,
    /// Whether it is about a path, not a name.
    is_path: bool,
}

/// A text is not a pattern.
#[derive(Clone, Debug, thiserror::Error)]
#[error("expected a pattern such as *.log: {0}")]
pub struct ParseGlobError(String);

impl FromStr for Pattern {
    type Err = ParseGlobError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let glob: Result<Glob, _> = GlobBuilder::new(text.strip_prefix('/').unwrap_or(text))
            .literal_separator(true)
            .build();
        let glob = glob.map_err(|error| ParseGlobError(error.kind().to_string()))?;
        Ok(Self {
            matcher: glob.compile_matcher(),
            is_path: text.contains('/'),
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.matcher.glob().glob())
    }
}

impl Pattern {
    fn fits(&self, below: &Path) -> bool {
        if self.is_path {
            return self.matcher.is_match(below);
        }
        below
            .file_name()
            .is_some_and(|name| self.matcher.is_match(name))
    }
}

/// Why the files of a directory are not known.
#[derive(Debug, thiserror::Error)]
#[error("cannot read directory `{}`", plain::path(.path))]
#[non_exhaustive]
pub struct TreeError {
    /// The directory.
    pub path: PathBuf,
    /// The error of the operating system.
    pub source: io::Error,
}

impl FileTree {
    /// Returns the files in `dir` and in all directories below it: each directory by the bytes of its names.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub fn files(&self, dir: &Path) -> Result<Vec<PathBuf>, TreeError> {
        let mut files = Vec::new();
        let mut waiting = vec![dir.to_owned()];
        // Those of a directory wait in reverse, so that the next is the last.
        while let Some(path) = waiting.pop() {
            let below = path.strip_prefix(dir).unwrap_or(&path);
            if self.exclude.iter().any(|pattern| pattern.fits(below)) {
                continue;
            }
            let refused = |source| TreeError {
                path: path.clone(),
                source,
            };
            // The directory itself may be given by a link.
            let kind = if path == dir {
                path.metadata()
            } else {
                path.symlink_metadata()
            };
            let kind = kind.map_err(refused)?.file_type();
            if kind.is_dir() {
                let mut entries = std::fs::read_dir(&path)
                    .and_then(|entries| {
                        entries
                            .map(|entry| entry.map(|entry| entry.path()))
                            .collect::<io::Result<Vec<_>>>()
                    })
                    .map_err(refused)?;
                entries.sort_by(|one, other| other.as_os_str().cmp(one.as_os_str()));
                waiting.append(&mut entries);
            } else if kind.is_file() && self.includes(below) {
                files.push(path);
            }
        }
        Ok(files)
    }

    fn includes(&self, below: &Path) -> bool {
        self.include.is_empty() || self.include.iter().any(|pattern| pattern.fits(below))
    }
}
