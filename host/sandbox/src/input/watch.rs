//! What is noticed while inputs are read: files that change, and bytes that are not UTF-8.
//!
//! A file is stamped when it is opened and looked at again when the job has ended, wherever its bytes were read meanwhile.
//! What a file had when it was opened belongs to the input; what was added since does not.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Shared by whoever reads the inputs of a job and whoever ends it.
#[derive(Clone, Debug, Default)]
pub struct InputWatch(Arc<Mutex<Watched>>);

#[derive(Debug, Default)]
struct Watched {
    files: Vec<(Arc<Path>, Stamp)>,
    not_utf8: u64,
}

/// A file as it was at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    number: u64,
    len: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            number: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// What has changed while a job ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The first file that is not what it was, if there is one.
    pub changed: Option<String>,
    /// How many files have become longer.
    pub grown: u64,
    /// Sequences of bytes that were replaced, or lines that were left out, because they are not UTF-8.
    pub not_utf8: u64,
}

impl InputWatch {
    pub(super) fn file(&self, path: &Arc<Path>, metadata: &Metadata) {
        let stamp = Stamp::of(metadata);
        self.with(|watched| watched.files.push((Arc::clone(path), stamp)));
    }

    pub(super) fn not_utf8(&self, count: u64) {
        self.with(|watched| watched.not_utf8 += count);
    }

    /// Looks at all files again.
    pub fn changes(&self) -> Changes {
        self.with(|watched| {
            let mut changes = Changes {
                not_utf8: watched.not_utf8,
                ..Changes::default()
            };
            for (path, then) in &watched.files {
                // One that is gone or has another in its place was open all the time, or refused.
                let Ok(now) = path.metadata().map(|metadata| Stamp::of(&metadata)) else {
                    continue;
                };
                if now == *then || (now.device, now.number) != (then.device, then.number) {
                    continue;
                }
                if now.len > then.len {
                    changes.grown += 1;
                } else if changes.changed.is_none() {
                    changes.changed = Some(path.display().to_string());
                }
            }
            changes
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Watched) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
