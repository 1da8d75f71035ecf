//! Files in preview 2: an implementation of `wasi:filesystem/types` that forwards all calls to
//! `wasmtime-wasi`, and checks those that open or change files.

use super::super::quota::{NoRoom, Quota, charge, is_beyond_files};
use super::super::state::GuestState;
use super::{Files, has_room};
use bytes::Bytes;
use std::fs::File;
use std::sync::Arc;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    DirectoryEntryStream, ErrorCode, Filesize, Host, HostDescriptor, HostDirectoryEntryStream,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, FsError, FsResult, OutputStream, Pollable, StreamError,
    StreamResult,
};

/// The most listings that a guest can hold at a time: each is as long as its directory, and
/// entirely in the host's memory.
const MAX_LISTINGS: usize = 8;

/// Adds the interface to the linker, in place of the existing one.
pub(in crate::sandbox) fn define(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    types::add_to_linker::<GuestState, Counted>(linker, |state| {
        let (wasi, files) = state.p2_and_files();
        View { wasi, files }
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

struct Counted;

impl HasData for Counted {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    wasi: WasiFilesystemCtxView<'a>,
    files: &'a mut Files,
}

impl View<'_> {
    /// Refuses if there is no room for another handle.
    fn expect_handle(&mut self) -> FsResult<()> {
        if has_room(self.wasi.table, 1) {
            return Ok(());
        }
        self.files.handles_refused = true;
        Err(ErrorCode::InsufficientMemory.into())
    }

    /// Creates a file, directory or link with this, if the task may.
    async fn make<T>(
        &mut self,
        make: impl AsyncFnOnce(&mut WasiFilesystemCtxView<'_>) -> FsResult<T>,
    ) -> FsResult<T> {
        let quota = self.files.quota.clone();
        if let Some(quota) = &quota {
            quota.make_file()?;
        }
        let made = make(&mut self.wasi).await;
        if let (Err(_), Some(quota)) = (&made, &quota) {
            quota.give_back_file();
        }
        made
    }

    async fn size(&mut self, file: &Resource<Descriptor>) -> FsResult<Filesize> {
        Ok(self.wasi.stat(again(file)).await?.size)
    }

    /// Makes the stream keep the account too, from this position on, or at the end of the file.
    fn count(
        &mut self,
        file: &Resource<Descriptor>,
        stream: Resource<DynOutputStream>,
        position: Option<u64>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let (Some(quota), Descriptor::File(file)) = (&self.files.quota, self.wasi.table.get(file)?)
        else {
            return Ok(stream);
        };
        let counted = CountedStream {
            file: Arc::clone(&file.file),
            quota: quota.clone(),
            position,
            is_full: false,
            end: 0,
            stream: self.wasi.table.delete(stream)?,
        };
        let counted: DynOutputStream = Box::new(counted);
        Ok(self.wasi.table.push(counted)?)
    }
}

/// The same handle, for a call in addition to the one it was made for.
fn again<T: 'static>(handle: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(handle.rep())
}

impl From<NoRoom> for FsError {
    fn from(_: NoRoom) -> Self {
        ErrorCode::InsufficientSpace.into()
    }
}

impl Host for View<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.wasi.convert_error_code(error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        if self.wasi.table.get(&error)?.is::<NoRoom>() {
            return Ok(Some(ErrorCode::InsufficientSpace));
        }
        self.wasi.filesystem_error_code(error)
    }
}

impl HostDescriptor for View<'_> {
    async fn open_at(
        &mut self,
        dir: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        self.expect_handle()?;
        let stat = self.wasi.stat_at(again(&dir), path_flags, path.clone());
        let is_new = match stat.await {
            Ok(found) => match found.type_ {
                // A link is not opened: if links are followed, its target was checked.
                DescriptorType::RegularFile
                | DescriptorType::Directory
                | DescriptorType::SymbolicLink => false,
                // Opening a pipe blocks until its other end is opened, and devices are not files.
                _ => return Err(ErrorCode::NotPermitted.into()),
            },
            Err(error) => {
                let is_missing = error.downcast_ref() == Some(&ErrorCode::NoEntry);
                if !is_missing || !open_flags.contains(OpenFlags::CREATE) {
                    return Err(error);
                }
                true
            }
        };
        if is_new {
            self.make(async |wasi| wasi.open_at(dir, path_flags, path, open_flags, flags).await)
                .await
        } else {
            self.wasi
                .open_at(dir, path_flags, path, open_flags, flags)
                .await
        }
    }

    async fn create_directory_at(
        &mut self,
        dir: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.make(async |wasi| wasi.create_directory_at(dir, path).await)
            .await
    }

    async fn symlink_at(
        &mut self,
        dir: Resource<Descriptor>,
        content: String,
        path: String,
    ) -> FsResult<()> {
        self.make(async |wasi| wasi.symlink_at(dir, content, path).await)
            .await
    }

    async fn link_at(
        &mut self,
        from: Resource<Descriptor>,
        path_flags: PathFlags,
        old: String,
        to: Resource<Descriptor>,
        new: String,
    ) -> FsResult<()> {
        self.make(async |wasi| wasi.link_at(from, path_flags, old, to, new).await)
            .await
    }

    async fn write(
        &mut self,
        file: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: Filesize,
    ) -> FsResult<Filesize> {
        let Some(quota) = self.files.quota.clone() else {
            return self.wasi.write(file, bytes, offset).await;
        };
        let size = if offset == 0 {
            0
        } else {
            self.size(&file).await?
        };
        let taken = charge(offset, bytes.len() as u64, size);
        quota.write(taken)?;
        let written = self.wasi.write(file, bytes, offset).await;
        if written.is_err() {
            quota.give_back(taken);
        }
        written
    }

    async fn set_size(&mut self, file: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        let quota = self.files.quota.clone();
        let Some(quota) = quota.filter(|_| !is_beyond_files(size)) else {
            return self.wasi.set_size(file, size).await;
        };
        let taken = size.saturating_sub(self.size(&file).await?);
        quota.write(taken)?;
        let set = self.wasi.set_size(file, size).await;
        if set.is_err() {
            quota.give_back(taken);
        }
        set
    }

    fn write_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.expect_handle()?;
        let stream = self.wasi.write_via_stream(again(&file), offset)?;
        self.count(&file, stream, Some(offset))
    }

    fn append_via_stream(
        &mut self,
        file: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.expect_handle()?;
        let stream = self.wasi.append_via_stream(again(&file))?;
        self.count(&file, stream, None)
    }

    fn read_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        self.expect_handle()?;
        self.wasi.read_via_stream(file, offset)
    }

    async fn read_directory(
        &mut self,
        dir: Resource<Descriptor>,
    ) -> FsResult<Resource<DirectoryEntryStream>> {
        self.expect_handle()?;
        if self.files.listings >= MAX_LISTINGS {
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let listing = self.wasi.read_directory(dir).await?;
        self.files.listings += 1;
        Ok(listing)
    }

    async fn advise(
        &mut self,
        file: Resource<Descriptor>,
        offset: Filesize,
        length: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        self.wasi.advise(file, offset, length, advice).await
    }

    async fn sync_data(&mut self, file: Resource<Descriptor>) -> FsResult<()> {
        self.wasi.sync_data(file).await
    }

    async fn sync(&mut self, file: Resource<Descriptor>) -> FsResult<()> {
        self.wasi.sync(file).await
    }

    async fn get_flags(&mut self, file: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        self.wasi.get_flags(file).await
    }

    async fn get_type(&mut self, file: Resource<Descriptor>) -> FsResult<DescriptorType> {
        self.wasi.get_type(file).await
    }

    async fn set_times(
        &mut self,
        file: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.wasi.set_times(file, accessed, modified).await
    }

    async fn read(
        &mut self,
        file: Resource<Descriptor>,
        length: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.wasi.read(file, length, offset).await
    }

    async fn stat(&mut self, file: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        self.wasi.stat(file).await
    }

    async fn stat_at(
        &mut self,
        dir: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        self.wasi.stat_at(dir, path_flags, path).await
    }

    async fn set_times_at(
        &mut self,
        dir: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.wasi
            .set_times_at(dir, path_flags, path, accessed, modified)
            .await
    }

    async fn readlink_at(&mut self, dir: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.wasi.readlink_at(dir, path).await
    }

    async fn remove_directory_at(
        &mut self,
        dir: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.wasi.remove_directory_at(dir, path).await
    }

    async fn rename_at(
        &mut self,
        from: Resource<Descriptor>,
        old: String,
        to: Resource<Descriptor>,
        new: String,
    ) -> FsResult<()> {
        self.wasi.rename_at(from, old, to, new).await
    }

    async fn unlink_file_at(&mut self, dir: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.wasi.unlink_file_at(dir, path).await
    }

    async fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.wasi.is_same_object(one, other).await
    }

    async fn metadata_hash(&mut self, file: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        self.wasi.metadata_hash(file).await
    }

    async fn metadata_hash_at(
        &mut self,
        dir: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        self.wasi.metadata_hash_at(dir, path_flags, path).await
    }

    fn drop(&mut self, file: Resource<Descriptor>) -> wasmtime::Result<()> {
        HostDescriptor::drop(&mut self.wasi, file)
    }
}

impl HostDirectoryEntryStream for View<'_> {
    async fn read_directory_entry(
        &mut self,
        listing: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.wasi.read_directory_entry(listing).await
    }

    fn drop(&mut self, listing: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.wasi, listing)?;
        self.files.listings = self.files.listings.saturating_sub(1);
        Ok(())
    }
}

/// A stream to a file that keeps the account.
struct CountedStream {
    stream: DynOutputStream,
    file: Arc<File>,
    quota: Quota,
    /// Where the next write goes; none if it is the end of the file.
    position: Option<u64>,
    /// The length that the file is known to have.
    end: u64,
    /// There was no room for a write: nothing can follow.
    is_full: bool,
}

impl CountedStream {
    fn take(&mut self, bytes: usize) -> StreamResult<()> {
        if self.is_full {
            return Err(StreamError::Closed);
        }
        let bytes = bytes as u64;
        let mut taken = bytes;
        if let Some(start) = self.position {
            if start > self.end {
                self.end = self.file.metadata().map_or(0, |found| found.len());
            }
            taken = charge(start, bytes, self.end);
        }
        if let Err(no_room) = self.quota.write(taken) {
            self.is_full = true;
            return Err(StreamError::LastOperationFailed(no_room.into()));
        }
        if let Some(position) = &mut self.position {
            *position = position.saturating_add(bytes);
            self.end = self.end.max(*position);
        }
        Ok(())
    }
}

#[async_trait]
impl Pollable for CountedStream {
    async fn ready(&mut self) {
        if !self.is_full {
            self.stream.ready().await;
        }
    }
}

#[async_trait]
impl OutputStream for CountedStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(bytes.len())?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.stream.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if self.is_full {
            return Err(StreamError::Closed);
        }
        self.stream.check_write()
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(bytes.len())?;
        self.stream.blocking_write_and_flush(bytes).await
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}
