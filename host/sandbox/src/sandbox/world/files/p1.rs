//! Files in preview 1: functions that replace those of `wasmtime-wasi` that open or change files.
//! Each checks its arguments and calls the one it replaces.
//!
//! `fd_allocate` is not among them: it is never supported.

use super::super::quota::{charge, is_beyond_files};
use super::super::state::GuestState;
use super::listing::Listing;
use super::{End, Files, has_room};
use wasmtime::{Caller, Extern, Linker, Result, bail};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types::{Errno, Fd, Filetype, Lookupflags, Oflags};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as wasi, WasiSnapshotPreview1};
use wiggle::{GuestMemory, GuestPtr};

/// The handles that must be free to open a file: its own, and one that listing a directory takes
/// during the call.
const HANDLES: usize = 2;

/// The bytes of a listing: enough for some thousand names; the larger size is for half a million.
/// The host has one of these for a guest at a time.
const SMALL_LISTING: u32 = 256 << 10;
const LARGE_LISTING: u32 = 32 << 20;

/// How often a directory that changes meanwhile is read again.
const LIST_ATTEMPTS: u32 = 10;

/// A call of a guest.
struct Call<'a> {
    wasi: &'a mut WasiP1Ctx,
    files: &'a mut Files,
    memory: GuestMemory<'a>,
}

macro_rules! define {
    ($linker:ident: $($name:ident($($arg:ident: $ty:ty),*);)*) => {
        $($linker.func_wrap_async(
            "wasi_snapshot_preview1",
            stringify!($name),
            |mut caller: Caller<'_, GuestState>, ($($arg,)*): ($($ty,)*)| {
                Box::new(async move {
                    let memory = caller.get_export("memory");
                    Call::new(&mut caller, memory.as_ref())?.$name($($arg),*).await
                })
            },
        )?;)*
    };
}

/// Adds them to the linker, in place of the existing ones.
pub(in crate::sandbox) fn define(linker: &mut Linker<GuestState>) -> Result<()> {
    linker.allow_shadowing(true);
    define!(linker:
        fd_write(fd: i32, parts: i32, count: i32, written: i32);
        fd_pwrite(fd: i32, parts: i32, count: i32, offset: i64, written: i32);
        fd_filestat_set_size(fd: i32, size: i64);
        fd_renumber(fd: i32, to: i32);
        fd_readdir(fd: i32, buffer: i32, length: i32, entry: i64, used: i32);
        path_open(
            dir: i32, lookup: i32, path: i32, length: i32, flags: i32,
            rights: i64, inherited: i64, fd_flags: i32, opened: i32
        );
        path_create_directory(dir: i32, path: i32, length: i32);
        path_symlink(content: i32, content_length: i32, dir: i32, path: i32, length: i32);
        path_link(
            from: i32, lookup: i32, old: i32, old_length: i32,
            to: i32, new: i32, new_length: i32
        );
    );
    linker.allow_shadowing(false);
    Ok(())
}

impl<'a> Call<'a> {
    fn new(caller: &'a mut Caller<'_, GuestState>, memory: Option<&Extern>) -> Result<Self> {
        let Some(Extern::Memory(memory)) = memory else {
            bail!("missing required memory export");
        };
        let fuel = wasmtime::AsContextMut::as_context_mut(caller).hostcall_fuel();
        let (memory, state) = memory.data_and_store_mut(caller);
        let (wasi, files) = state.p1_and_files();
        wasi.set_hostcall_fuel(fuel);
        Ok(Self {
            wasi,
            files,
            memory: GuestMemory::Unshared(memory),
        })
    }

    async fn fd_write(&mut self, fd: i32, parts: i32, count: i32, written: i32) -> Result<i32> {
        let mut taken = 0;
        // Only files have a position: stdout and stderr have their own limits.
        if self.files.quota.is_some()
            && let Ok(start) = self.wasi.fd_tell(&mut self.memory, Fd::from(fd))
        {
            match self.take(fd, start, parts, count).await {
                Ok(bytes) => taken = bytes,
                Err(errno) => return Ok(number(errno)),
            }
        }
        let ended = wasi::fd_write(self.wasi, &mut self.memory, fd, parts, count, written).await;
        self.settle(ended, taken)
    }

    async fn fd_pwrite(
        &mut self,
        fd: i32,
        parts: i32,
        count: i32,
        offset: i64,
        written: i32,
    ) -> Result<i32> {
        let mut taken = 0;
        if self.files.quota.is_some() && self.wasi.fd_tell(&mut self.memory, Fd::from(fd)).is_ok() {
            match self.take(fd, offset.cast_unsigned(), parts, count).await {
                Ok(bytes) => taken = bytes,
                Err(errno) => return Ok(number(errno)),
            }
        }
        let memory = &mut self.memory;
        let ended = wasi::fd_pwrite(self.wasi, memory, fd, parts, count, offset, written).await;
        self.settle(ended, taken)
    }

    async fn fd_filestat_set_size(&mut self, fd: i32, size: i64) -> Result<i32> {
        let mut taken = 0;
        self.files.end = None;
        if let Some(quota) = self.files.quota.clone()
            && !is_beyond_files(size.cast_unsigned())
            && self.wasi.fd_tell(&mut self.memory, Fd::from(fd)).is_ok()
        {
            taken = size.cast_unsigned().saturating_sub(self.size(fd).await);
            if quota.write(taken).is_err() {
                return Ok(number(Errno::Nospc));
            }
        }
        let ended = wasi::fd_filestat_set_size(self.wasi, &mut self.memory, fd, size).await;
        self.settle(ended, taken)
    }

    async fn fd_readdir(
        &mut self,
        fd: i32,
        buffer: i32,
        length: i32,
        entry: i64,
        used: i32,
    ) -> Result<i32> {
        let (fd, entry) = (fd.cast_unsigned(), entry.cast_unsigned());
        // From the start on it is read anew.
        let kept = self.files.listing.take();
        let listing = match kept.filter(|kept| entry != 0 && kept.is_of(fd)) {
            Some(listing) => listing,
            None => match self.list(fd).await? {
                Ok(listing) => listing,
                Err(errno) => return Ok(number(errno)),
            },
        };
        let (buffer, length) = (buffer.cast_unsigned(), length.cast_unsigned());
        let part = listing.from(entry, usize::try_from(length)?);
        let written = u32::try_from(part.len())?;
        self.memory
            .copy_from_slice(part, GuestPtr::<[u8]>::new((buffer, written)))?;
        self.memory
            .write(GuestPtr::<u32>::new(used.cast_unsigned()), written)?;
        self.files.listing = Some(listing);
        Ok(number(Errno::Success))
    }

    /// Reads the whole directory.
    async fn list(&mut self, fd: u32) -> Result<Result<Listing, Errno>> {
        let (mut room, mut attempts) = (SMALL_LISTING, 0);
        loop {
            let mut bytes = vec![0; room as usize];
            let mut memory = GuestMemory::Unshared(&mut bytes);
            let begin = GuestPtr::<u8>::new(0);
            let listed = self
                .wasi
                .fd_readdir(&mut memory, Fd::from(fd), begin, room, 0);
            match listed.await {
                Ok(used) if used < room => {
                    bytes.truncate(used as usize);
                    return Ok(Ok(Listing::new(fd, bytes)));
                }
                Ok(_) if room < LARGE_LISTING => room = LARGE_LISTING,
                Ok(_) => return Ok(Err(Errno::Nomem)),
                // It existed when the directory was read, but no longer when it is looked at:
                // others use the directory too.
                Err(error) => match error.downcast()? {
                    Errno::Noent if attempts < LIST_ATTEMPTS => attempts += 1,
                    errno => return Ok(Err(errno)),
                },
            }
        }
    }

    async fn fd_renumber(&mut self, fd: i32, to: i32) -> Result<i32> {
        self.files.end = None;
        self.files.listing = None;
        wasi::fd_renumber(self.wasi, &mut self.memory, fd, to).await
    }

    #[expect(clippy::too_many_arguments, reason = "preview 1 has it so")]
    async fn path_open(
        &mut self,
        dir: i32,
        lookup: i32,
        path: i32,
        length: i32,
        flags: i32,
        rights: i64,
        inherited: i64,
        fd_flags: i32,
        opened: i32,
    ) -> Result<i32> {
        self.files.end = None;
        if !has_room(WasiView::ctx(self.wasi).table, HANDLES) {
            self.files.handles_refused = true;
            return Ok(number(Errno::Mfile));
        }
        let creates = flags & i32::from(Oflags::CREAT.bits()) != 0;
        let found = match Lookupflags::try_from(lookup) {
            Ok(lookup) => self.kind(dir, lookup, path, length).await?,
            Err(_) => Err(Errno::Inval),
        };
        let is_new = match found {
            // A link is not opened: if links are followed, its target was checked.
            Ok(Filetype::RegularFile | Filetype::Directory | Filetype::SymbolicLink)
            // Nothing is opened below what is not a directory, and opening tells what it is.
            | Err(Errno::Badf) => false,
            // Opening a pipe blocks until its other end is opened, and devices are not files.
            Ok(_) => return Ok(number(Errno::Perm)),
            Err(Errno::Noent) if creates => true,
            Err(errno) => return Ok(number(errno)),
        };
        if is_new && let Err(errno) = self.take_file() {
            return Ok(number(errno));
        }
        let ended = wasi::path_open(
            self.wasi,
            &mut self.memory,
            dir,
            lookup,
            path,
            length,
            flags,
            rights,
            inherited,
            fd_flags,
            opened,
        )
        .await;
        if is_success(&ended) {
            let fd = self
                .memory
                .read(GuestPtr::<u32>::new(opened.cast_unsigned()))?;
            // The number that a directory had now means something else.
            self.files.listing.take_if(|listing| listing.is_of(fd));
        }
        if is_new {
            self.settle_file(ended)
        } else {
            ended
        }
    }

    async fn path_create_directory(&mut self, dir: i32, path: i32, length: i32) -> Result<i32> {
        if let Err(errno) = self.take_file() {
            return Ok(number(errno));
        }
        let memory = &mut self.memory;
        let ended = wasi::path_create_directory(self.wasi, memory, dir, path, length).await;
        self.settle_file(ended)
    }

    async fn path_symlink(
        &mut self,
        content: i32,
        content_length: i32,
        dir: i32,
        path: i32,
        length: i32,
    ) -> Result<i32> {
        if let Err(errno) = self.take_file() {
            return Ok(number(errno));
        }
        let ended = wasi::path_symlink(
            self.wasi,
            &mut self.memory,
            content,
            content_length,
            dir,
            path,
            length,
        )
        .await;
        self.settle_file(ended)
    }

    #[expect(clippy::too_many_arguments, reason = "preview 1 has it so")]
    async fn path_link(
        &mut self,
        from: i32,
        lookup: i32,
        old: i32,
        old_length: i32,
        to: i32,
        new: i32,
        new_length: i32,
    ) -> Result<i32> {
        if let Err(errno) = self.take_file() {
            return Ok(number(errno));
        }
        let ended = wasi::path_link(
            self.wasi,
            &mut self.memory,
            from,
            lookup,
            old,
            old_length,
            to,
            new,
            new_length,
        )
        .await;
        self.settle_file(ended)
    }

    /// Reserves room for a write that begins at `start`, and returns how much.
    async fn take(&mut self, fd: i32, start: u64, parts: i32, count: i32) -> Result<u64, Errno> {
        let bytes = self.first_length(parts, count);
        // Only a write beyond the end leaves a gap: one that continues the last write needs no
        // check of the file.
        let is_known = self
            .files
            .end
            .is_some_and(|end| end.fd == fd && start <= end.position);
        let size = if start == 0 || is_known {
            start
        } else {
            self.size(fd).await
        };
        let taken = charge(start, bytes, size);
        if let Some(quota) = &self.files.quota {
            quota.write(taken).map_err(|_| Errno::Nospc)?;
        }
        let position = size.max(start.saturating_add(bytes));
        self.files.end = Some(End { fd, position });
        Ok(taken)
    }

    /// Returns how much a write of these buffers writes: only the first non-empty one.
    fn first_length(&self, parts: i32, count: i32) -> u64 {
        let (parts, count) = (parts.cast_unsigned(), count.cast_unsigned());
        (0..count)
            // Each is a pointer and a length.
            .map_while(|place| place.checked_mul(8)?.checked_add(4)?.checked_add(parts))
            .map_while(|place| self.memory.read(GuestPtr::<u32>::new(place)).ok())
            .find(|length| *length != 0)
            .map_or(0, u64::from)
    }

    async fn size(&mut self, fd: i32) -> u64 {
        let stat = self.wasi.fd_filestat_get(&mut self.memory, Fd::from(fd));
        stat.await.map_or(0, |stat| stat.size)
    }

    /// Returns what is at the path, or why that cannot be determined.
    async fn kind(
        &mut self,
        dir: i32,
        lookup: Lookupflags,
        path: i32,
        length: i32,
    ) -> Result<Result<Filetype, Errno>> {
        let path = GuestPtr::<str>::new((path.cast_unsigned(), length.cast_unsigned()));
        let stat = self
            .wasi
            .path_filestat_get(&mut self.memory, Fd::from(dir), lookup, path);
        Ok(match stat.await {
            Ok(stat) => Ok(stat.filetype),
            Err(error) => Err(error.downcast()?),
        })
    }

    fn take_file(&self) -> Result<(), Errno> {
        match &self.files.quota {
            Some(quota) => quota.make_file().map_err(|_| Errno::Nospc),
            None => Ok(()),
        }
    }

    fn settle(&mut self, ended: Result<i32>, taken: u64) -> Result<i32> {
        if taken > 0
            && !is_success(&ended)
            && let Some(quota) = &self.files.quota
        {
            quota.give_back(taken);
            self.files.end = None;
        }
        ended
    }

    fn settle_file(&self, ended: Result<i32>) -> Result<i32> {
        if !is_success(&ended)
            && let Some(quota) = &self.files.quota
        {
            quota.give_back_file();
        }
        ended
    }
}

fn is_success(ended: &Result<i32>) -> bool {
    ended
        .as_ref()
        .is_ok_and(|errno| *errno == number(Errno::Success))
}

fn number(errno: Errno) -> i32 {
    errno as i32
}
