//! Memory that two processes share, one of which may be hostile.
//!
//! The other process writes whenever it likes, so this memory is never bytes that are borrowed: it
//! is read and written only as atomic words. A racing write tears data, which is checked after it
//! was copied out; it never harms memory safety.

#![expect(
    unsafe_code,
    reason = "mapping memory, and looking at it as atomics, cannot be done otherwise"
)]

use rustix::fs::{
    FsWord, MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, fstatfs, ftruncate,
    memfd_create,
};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use thiserror::Error;

/// Bytes of a word, the unit in which the memory is read and written.
pub const WORD: usize = size_of::<AtomicU64>();

/// The seals without which a peer could truncate the memory, and touching it would kill the process
/// with SIGBUS.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// The kind of file system of a memfd with pages of the ordinary size. Huge pages can run out when
/// they are touched, which is another SIGBUS.
const TMPFS_MAGIC: FsWord = 0x0102_1994;

/// The reason why there is no shared memory.
#[derive(Debug, Error)]
pub enum SharedError {
    /// The size is not one to map.
    #[error("shared memory cannot have {bytes} bytes: wanted are whole words, up to {most} bytes")]
    Size {
        /// The size that was asked for or found.
        bytes: u64,
        /// The largest size that is accepted.
        most: usize,
    },
    /// The descriptor is not a sealed memfd, so its other owner could truncate it.
    #[error("the descriptor is not memory whose size is sealed")]
    NotSealed,
    /// The system refused.
    #[error("cannot {action} shared memory: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Makes the error of `action` from what the system says.
fn failed(action: &'static str) -> impl Fn(Errno) -> SharedError {
    move |errno| SharedError::System {
        action,
        source: errno.into(),
    }
}

/// A mapping of memory that another process has mapped too. Its size is fixed and sealed.
#[derive(Debug)]
pub struct Shared {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: `start` is a mapping that belongs to this value alone until it is dropped, and is reached
// only by shared references to atomics, which any thread may use.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Makes memory of `bytes` zero bytes, and the descriptor by which another process opens it.
    ///
    /// # Errors
    ///
    /// If `bytes` is zero or not a whole number of words, or if the system refuses.
    pub fn create(bytes: usize) -> Result<(Self, OwnedFd), SharedError> {
        let size = checked_size(bytes as u64, isize::MAX as usize)?;
        let descriptor = anonymous_file().map_err(failed("create"))?;
        ftruncate(&descriptor, size as u64).map_err(failed("size"))?;
        fcntl_add_seals(&descriptor, SEALS).map_err(failed("seal"))?;
        let shared = Self::map(descriptor.as_fd(), size)?;
        Ok((shared, descriptor))
    }

    /// Maps the memory behind a descriptor that came from another process, of at most `most` bytes.
    ///
    /// # Errors
    ///
    /// If its size could still change or is not accepted, or if the system refuses.
    pub fn open(descriptor: impl AsFd, most: usize) -> Result<Self, SharedError> {
        let descriptor = descriptor.as_fd();
        // In this order: a size counts only once it is known to be sealed.
        match fcntl_get_seals(descriptor) {
            Ok(seals) if seals.contains(SEALS) => {}
            Ok(_) | Err(Errno::INVAL) => return Err(SharedError::NotSealed),
            Err(errno) => return Err(failed("examine")(errno)),
        }
        let system = fstatfs(descriptor).map_err(failed("examine"))?;
        if system.f_type != TMPFS_MAGIC {
            return Err(SharedError::NotSealed);
        }
        let size = fstat(descriptor).map_err(failed("examine"))?.st_size;
        let size = checked_size(u64::try_from(size).unwrap_or(0), most)?;
        Self::map(descriptor, size)
    }

    fn map(descriptor: BorrowedFd<'_>, bytes: usize) -> Result<Self, SharedError> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: without a wanted address, a mapping is made where nothing else is.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                bytes,
                protection,
                MapFlags::SHARED,
                descriptor,
                0,
            )
        }
        .map_err(failed("map"))?;
        // The kernel gives no mapping at address zero unless it is asked for.
        let start = NonNull::new(start.cast()).ok_or_else(|| failed("map")(Errno::FAULT))?;
        Ok(Self {
            start,
            words: bytes / WORD,
        })
    }

    /// All of the memory, as words. Slices of it are checked as all slices are.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping starts at a page, has this many words, and stays until `self` is
        // dropped; its size is sealed, so each word can be touched. Any bits are a valid integer.
        // Whoever else writes it does so from another process, where an atomic access is what the
        // hardware makes of it, as it is for the threads of this one.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }

    /// Half a word, such as a futex needs: the one at the index `half`, counted in halves.
    ///
    /// # Panics
    ///
    /// If it lies outside of the memory.
    #[inline]
    pub fn half(&self, half: usize) -> &AtomicU32 {
        assert!(
            half / 2 < self.words,
            "half {half} is outside of the memory"
        );
        // SAFETY: it is inside of the memory, by the assertion, and thereby aligned; the rest is as
        // in `words`.
        unsafe { self.start.cast::<AtomicU32>().add(half).as_ref() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: this is the whole of a mapping of our own, and no reference outlives `self`.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.words * WORD) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

/// A memfd that can be sealed; not executable, if the kernel knows of that.
fn anonymous_file() -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("rwasm-shared", flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3.
        Err(Errno::INVAL) => memfd_create("rwasm-shared", flags),
        made => made,
    }
}

fn checked_size(bytes: u64, most: usize) -> Result<usize, SharedError> {
    usize::try_from(bytes)
        .ok()
        .filter(|&size| size > 0 && size <= most && size.is_multiple_of(WORD))
        .ok_or(SharedError::Size { bytes, most })
}

/// Writes `bytes`, whole words of them, over as many `words`.
///
/// # Panics
///
/// If they are not equally long.
#[inline]
pub fn copy_in(words: &[AtomicU64], bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<WORD>();
    assert!(
        rest.is_empty() && whole.len() == words.len(),
        "{} bytes do not fill {} words",
        bytes.len(),
        words.len()
    );
    for (word, bytes) in words.iter().zip(whole) {
        word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
    }
}

/// Appends the first `count` bytes of `words` to `into`, which grows by no more than that.
///
/// # Panics
///
/// If `words` hold fewer, or more than one word too many.
#[inline]
pub fn copy_out(words: &[AtomicU64], count: usize, into: &mut Vec<u8>) {
    assert!(
        words.len() == count.div_ceil(WORD),
        "{count} bytes are not in {} words",
        words.len()
    );
    let (words, last) = words.split_at(count / WORD);
    if into.capacity() - into.len() < count {
        into.reserve_exact(count);
    }
    let (spare, _) = into.spare_capacity_mut().as_chunks_mut::<WORD>();
    let spare = &mut spare[..words.len()];
    for (spare, word) in spare.iter_mut().zip(words) {
        *spare = word
            .load(Ordering::Relaxed)
            .to_le_bytes()
            .map(MaybeUninit::new);
    }
    let written = into.len() + words.len() * WORD;
    // SAFETY: the loop has initialized exactly this many bytes after the old length, as `spare` was
    // cut to `words`.
    unsafe { into.set_len(written) };
    if let [last] = last {
        let last = last.load(Ordering::Relaxed).to_le_bytes();
        into.extend_from_slice(&last[..count % WORD]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn what_one_mapping_writes_the_other_reads() {
        let (one, descriptor) = Shared::create(4096).unwrap();
        let other = Shared::open(&descriptor, 4096).unwrap();
        drop(descriptor);
        copy_in(&one.words()[3..5], b"sixteen bytes ok");
        let mut read = b"> ".to_vec();
        copy_out(&other.words()[3..5], 13, &mut read);
        assert_eq!(read, b"> sixteen bytes");
        one.half(9).store(7, Ordering::Relaxed);
        let word = other.words()[4].load(Ordering::Relaxed).to_ne_bytes();
        assert_eq!(word[4..], 7_u32.to_ne_bytes());
    }

    #[test]
    fn nobody_can_change_the_size() {
        let (_shared, descriptor) = Shared::create(8192).unwrap();
        assert_eq!(ftruncate(&descriptor, 0), Err(Errno::PERM));
        assert_eq!(ftruncate(&descriptor, 1 << 20), Err(Errno::PERM));
        assert_eq!(
            fcntl_add_seals(&descriptor, SealFlags::WRITE),
            Err(Errno::PERM)
        );
    }

    #[test]
    fn memory_with_a_hole_is_zero_again_and_does_not_kill() {
        use rustix::fs::{FallocateFlags, fallocate};
        let (shared, descriptor) = Shared::create(8192).unwrap();
        copy_in(&shared.words()[..1], b"8 bytes.");
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&descriptor, hole, 0, 8192).unwrap();
        assert_eq!(shared.words()[0].load(Ordering::Relaxed), 0);
    }

    #[test]
    fn only_sealed_memory_is_opened() {
        let unsealed = memfd_create("test", MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&unsealed, 4096).unwrap();
        let cases: [OwnedFd; 3] = [
            unsealed,
            tempfile::tempfile().unwrap().into(),
            File::open("/dev/zero").unwrap().into(),
        ];
        for case in cases {
            let opened = Shared::open(&case, 1 << 20);
            assert!(
                matches!(opened, Err(SharedError::NotSealed)),
                "{case:?}: {opened:?}"
            );
        }
    }

    #[test]
    fn only_expected_sizes_are_opened() {
        let (_shared, descriptor) = Shared::create(8192).unwrap();
        let opened = Shared::open(&descriptor, 4096);
        assert!(
            matches!(
                opened,
                Err(SharedError::Size {
                    bytes: 8192,
                    most: 4096
                })
            ),
            "{opened:?}"
        );
        for bytes in [0, 7, usize::MAX] {
            let made = Shared::create(bytes);
            assert!(matches!(made, Err(SharedError::Size { .. })), "{made:?}");
        }
    }
}
