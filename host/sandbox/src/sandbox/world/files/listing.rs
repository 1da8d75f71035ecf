//! A directory as preview 1 lists it, kept between calls. `wasmtime-wasi` reads the whole directory
//! for every call, however little fits into the guest's buffer: a directory of ten thousand files
//! would be read some hundred times.

/// What precedes each name: the number of the next entry, an inode, the length of the name, and a
/// type.
const HEAD: usize = 24;
const LENGTH: std::ops::Range<usize> = 16..20;

/// The entries of a directory, as the guest reads them.
#[derive(Debug)]
pub(super) struct Listing {
    fd: u32,
    bytes: Vec<u8>,
    /// Where each entry begins.
    begins: Vec<usize>,
}

impl Listing {
    pub(super) fn new(fd: u32, bytes: Vec<u8>) -> Self {
        let mut begins = Vec::new();
        let mut next = 0;
        while let Some(length) = bytes
            .get(next..)
            .and_then(|entry| entry.get(LENGTH)?.try_into().ok())
        {
            begins.push(next);
            next += HEAD + u32::from_le_bytes(length) as usize;
        }
        Self { fd, bytes, begins }
    }

    pub(super) fn is_of(&self, fd: u32) -> bool {
        self.fd == fd
    }

    /// Returns the entries from this one on, truncated to this many bytes.
    pub(super) fn from(&self, entry: u64, most: usize) -> &[u8] {
        let begin = usize::try_from(entry)
            .ok()
            .and_then(|entry| self.begins.get(entry));
        let rest = begin.map_or(&[][..], |begin| &self.bytes[*begin..]);
        &rest[..rest.len().min(most)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_it_is_given() {
        let names = ["a", "", "long"];
        let entry = |name: &&str| {
            let mut entry = vec![7; HEAD];
            entry[LENGTH].copy_from_slice(&u32::try_from(name.len()).expect("short").to_le_bytes());
            entry.extend(name.as_bytes());
            entry
        };
        let bytes: Vec<u8> = names.iter().flat_map(entry).collect();
        let listing = Listing::new(3, bytes.clone());
        assert!(listing.is_of(3) && !listing.is_of(4));
        assert_eq!(listing.from(0, usize::MAX), bytes);
        assert_eq!(listing.from(0, 10), &bytes[..10]);
        assert_eq!(listing.from(1, usize::MAX), &bytes[25..]);
        assert_eq!(listing.from(2, usize::MAX), &bytes[49..]);
        assert_eq!(listing.from(3, usize::MAX), b"");
        assert_eq!(listing.from(u64::MAX, usize::MAX), b"");
        assert_eq!(Listing::new(3, Vec::new()).from(0, 5), b"");
    }
}
