//! The directories of a job, opened once and handed to each of its tasks.

use crate::grants::{Access, DirGrant, GrantError, Grants, identity};
use crate::outcome::{Failure, FailureCode};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// Where this system shows what a process has open, under the number of its descriptor.
#[cfg(target_os = "linux")]
const DESCRIPTORS: &str = "/proc/self/fd";
#[cfg(not(target_os = "linux"))]
const DESCRIPTORS: &str = "/dev/fd";

/// The granted directories, open. Tasks share the descriptors: they have no position and no mode that one could change.
#[derive(Clone, Default)]
#[doc(hidden)]
pub struct GrantedDirs {
    /// What each task's view of files begins as. Private to `wasmtime-wasi` as it is, it is copied whole.
    files: WasiFilesystemCtx,
    identities: Arc<[(u64, u64)]>,
    /// Whether whoever gave them looks at their names.
    are_given: bool,
}

impl fmt::Debug for GrantedDirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GrantedDirs")
            .field(&self.identities)
            .finish()
    }
}

impl GrantedDirs {
    /// Grants these open directories, one for each that is listed.
    ///
    /// # Errors
    ///
    /// If the system does not let one be opened again.
    pub fn new(grants: &Grants, opened: &[File]) -> Result<Self, GrantError> {
        if opened.is_empty() {
            return Ok(Self::default());
        }
        let mut builder = WasiCtxBuilder::new();
        for (dir, opened) in grants.dirs.iter().zip(opened) {
            preopen(&mut builder, dir, opened).map_err(|source| failed(dir, source))?;
        }
        let mut wasi = builder.build();
        let granted = Self {
            files: wasi.filesystem().clone(),
            identities: opened
                .iter()
                .zip(&grants.dirs)
                .map(|(opened, dir)| identity(opened).map_err(|source| failed(dir, source)))
                .collect::<Result<_, _>>()?,
            are_given: false,
        };
        granted.check(grants)?;
        Ok(granted)
    }

    /// Does the same in a process that cannot see their names.
    ///
    /// # Errors
    ///
    /// If the system does not let one be opened again.
    pub fn given(grants: &Grants, opened: &[File]) -> Result<Self, GrantError> {
        let mut granted = Self::new(grants, opened)?;
        granted.are_given = true;
        Ok(granted)
    }

    /// Returns a descriptor of each, for a process that is to have them.
    ///
    /// # Errors
    ///
    /// If there is none left.
    pub fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        let (mut ctx, mut table) = (self.files.clone(), ResourceTable::new());
        let mut files = WasiFilesystemCtxView {
            ctx: &mut ctx,
            table: &mut table,
        };
        let handles = preopens::Host::get_directories(&mut files).unwrap_or_default();
        let mut descriptors = Vec::new();
        for (handle, _) in handles {
            if let Ok(Descriptor::Dir(found)) = files.table.get(&handle) {
                descriptors.push(found.dir.as_fd().try_clone_to_owned()?);
            }
        }
        Ok(descriptors)
    }

    /// Device and number of each: see [`identity`].
    #[must_use]
    pub fn identities(&self) -> &[(u64, u64)] {
        &self.identities
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// The files that a task begins with.
    pub(super) fn files(&self) -> WasiFilesystemCtx {
        self.files.clone()
    }

    /// Whether the directories that `wasmtime-wasi` has are those: it opens by name alone.
    fn check(&self, grants: &Grants) -> Result<(), GrantError> {
        let (mut ctx, mut table) = (self.files.clone(), ResourceTable::new());
        let mut files = WasiFilesystemCtxView {
            ctx: &mut ctx,
            table: &mut table,
        };
        let handles = preopens::Host::get_directories(&mut files).unwrap_or_default();
        for (place, dir) in grants.dirs.iter().enumerate() {
            let handle = handles.get(place).map(|(handle, _)| handle);
            let is_same = match handle.and_then(|handle| files.table.get(handle).ok()) {
                Some(Descriptor::Dir(found)) => {
                    identity(&found.dir).map_err(|source| failed(dir, source))?
                        == self.identities[place]
                }
                _ => false,
            };
            if !is_same {
                return Err(failed(
                    dir,
                    io::Error::other("it was replaced while it was opened"),
                ));
            }
        }
        Ok(())
    }

    /// Refuses to go on in a directory whose name has come to mean another one. A task that may write around it could have
    /// replaced it, perhaps with a link: it would reach nothing else, but whoever granted the directory means what is
    /// there now.
    ///
    /// # Errors
    ///
    /// The failure of the task.
    pub fn expect_in_place(&self, grants: &Grants) -> Result<(), Failure> {
        if self.are_given {
            return Ok(());
        }
        for (dir, granted) in grants.dirs.iter().zip(&*self.identities) {
            let found = std::fs::metadata(&dir.host);
            if !found.is_ok_and(|found| (found.dev(), found.ino()) == *granted) {
                let message = format!(
                    "the directory `{}` is no longer the directory that was granted",
                    dir.host.display()
                );
                return Err(Failure::new(FailureCode::PolicyDenied, message));
            }
        }
        Ok(())
    }
}

/// Adds an open directory. Through the list of descriptors it is that very one; where there is no such list, it is opened by
/// its name, and compared afterwards.
fn preopen(builder: &mut WasiCtxBuilder, dir: &DirGrant, opened: &File) -> io::Result<()> {
    let access = match dir.access {
        Access::ReadOnly => FsPerms::ReadOnly,
        Access::ReadWrite => FsPerms::ReadWrite,
    };
    let listed = format!("{DESCRIPTORS}/{}", opened.as_raw_fd());
    if builder.preopened_dir(listed, &dir.guest, access).is_ok() {
        return Ok(());
    }
    builder
        .preopened_dir(&dir.host, &dir.guest, access)
        .map_err(|error| match error.downcast::<io::Error>() {
            Ok(error) => error,
            Err(error) => io::Error::other(error.to_string()),
        })?;
    Ok(())
}

fn failed(dir: &DirGrant, source: io::Error) -> GrantError {
    GrantError::Directory {
        path: dir.host.clone(),
        source,
    }
}
