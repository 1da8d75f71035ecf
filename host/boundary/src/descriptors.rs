//! The socket by which descriptors pass between two processes.
//!
//! Each message is a number of descriptors, and one number beside; what they are for is said elsewhere.
//! Nothing is known of what a descriptor from a hostile peer refers to: reading one may block, and
//! its position is shared with the peer.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use thiserror::Error;

/// The largest number of descriptors in one message. The kernel's own is 253; this many can be
/// taken in beside what a process has open by default.
pub const MOST: usize = 64;

/// The space that the kernel needs to hand over [`MOST`] descriptors.
const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST));

/// The reason why descriptors were not passed.
#[derive(Debug, Error)]
pub enum DescriptorsError {
    /// The peer has closed its end, or has ended.
    #[error("the peer has closed its end of the socket")]
    Closed,
    /// The time is over.
    #[error("descriptors were not passed in time")]
    TimedOut,
    /// More than [`MOST`] were given or asked for.
    #[error("{count} descriptors do not fit in one message, which has at most {MOST}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Not as many came as were asked for. All of them are closed.
    #[error("{found} descriptors came where {wanted} were expected")]
    Count {
        /// How many were asked for.
        wanted: usize,
        /// How many came.
        found: usize,
    },
    /// What came was not sent by [`Channel::send`], or descriptors of it were lost, which happens
    /// too if this process may not open so many. All that came are closed.
    #[error("a message with descriptors came damaged")]
    Damaged,
    /// The system refused.
    #[error("cannot pass descriptors: {0}")]
    System(#[from] io::Error),
}

/// One end of a socket over which descriptors pass, in messages.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// The end that was inherited, such as standard input.
impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

/// For giving an end to a process, as its standard input.
impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel {
    /// Makes both ends. Neither is inherited by programs that are started, unless it is given to
    /// them.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn pair() -> io::Result<(Self, Self)> {
        // This kind keeps messages apart, so that none can be read in part or with another's
        // descriptors.
        let (one, other) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(one), Self(other)))
    }

    /// Sends one message with these descriptors, which may be none. Waits while the socket is full,
    /// for as long as `timeout` at most.
    ///
    /// # Errors
    ///
    /// If there are too many, the peer is gone, the time is over, or the system refuses.
    pub fn send(
        &self,
        descriptors: &[BorrowedFd<'_>],
        timeout: Option<Duration>,
    ) -> Result<(), DescriptorsError> {
        self.send_with(descriptors, 0, timeout)
    }

    /// The same, with a number beside them that is the peer's to understand.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn send_with(
        &self,
        descriptors: &[BorrowedFd<'_>],
        number: u32,
        timeout: Option<Duration>,
    ) -> Result<(), DescriptorsError> {
        let count = checked_count(descriptors.len())?;
        let [one, two, three, four] = number.to_le_bytes();
        let told = [count, one, two, three, four];
        let deadline = deadline(timeout);
        loop {
            let mut space = [MaybeUninit::uninit(); SPACE];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fits = descriptors.is_empty()
                || control.push(SendAncillaryMessage::ScmRights(descriptors));
            debug_assert!(fits, "{count} descriptors do not fit");
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(&self.0, &[IoSlice::new(&told)], &mut control, flags) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, deadline)?,
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(DescriptorsError::Closed),
                Err(errno) => return Err(DescriptorsError::System(errno.into())),
            }
        }
    }

    /// Receives one message of exactly `count` descriptors. Waits for it as long as `timeout` at
    /// most. A message of another number is gone, and its descriptors are closed.
    ///
    /// # Errors
    ///
    /// If another number came, the peer is gone, the time is over, or the system refuses.
    pub fn receive(
        &self,
        count: usize,
        timeout: Option<Duration>,
    ) -> Result<Vec<OwnedFd>, DescriptorsError> {
        checked_count(count)?;
        let (descriptors, _) = self.receive_with(timeout)?;
        if descriptors.len() != count {
            return Err(DescriptorsError::Count {
                wanted: count,
                found: descriptors.len(),
            });
        }
        Ok(descriptors)
    }

    /// Receives one message of up to [`MOST`] descriptors, and the number beside them. Waits for it as
    /// long as `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the peer is gone, the time is over, or the system refuses.
    pub fn receive_with(
        &self,
        timeout: Option<Duration>,
    ) -> Result<(Vec<OwnedFd>, u32), DescriptorsError> {
        let deadline = deadline(timeout);
        loop {
            // One byte too many, so that a longer message shows.
            let mut told = [0; 6];
            let mut space = [MaybeUninit::uninit(); SPACE];
            // What remains in it is closed when it is dropped.
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let mut iov = [IoSliceMut::new(&mut told)];
            let message = match recvmsg(&self.0, &mut iov, &mut control, flags) {
                Ok(message) => message,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    self.wait(PollFlags::IN, deadline)?;
                    continue;
                }
                Err(Errno::CONNRESET) => return Err(DescriptorsError::Closed),
                Err(errno) => return Err(DescriptorsError::System(errno.into())),
            };
            let mut found = Vec::new();
            for part in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                    found.extend(descriptors);
                }
            }
            if message.bytes == 0 {
                return Err(DescriptorsError::Closed);
            }
            let lost = message
                .flags
                .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
            let [count, number @ .., _] = told;
            if lost || message.bytes != 5 || usize::from(count) != found.len() || found.len() > MOST
            {
                return Err(DescriptorsError::Damaged);
            }
            return Ok((found, u32::from_le_bytes(number)));
        }
    }

    fn wait(&self, event: PollFlags, deadline: Option<Instant>) -> Result<(), DescriptorsError> {
        let left = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
        {
            Some(Duration::ZERO) => return Err(DescriptorsError::TimedOut),
            // One too long for the kernel is none.
            Some(left) => Timespec::try_from(left).ok(),
            None => None,
        };
        match poll(&mut [PollFd::new(&self.0, event)], left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(DescriptorsError::System(errno.into())),
        }
    }
}

/// When a wait of `timeout` ends; never, if that is later than can be told.
fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

fn checked_count(count: usize) -> Result<u8, DescriptorsError> {
    u8::try_from(count)
        .ok()
        .filter(|_| count <= MOST)
        .ok_or(DescriptorsError::TooMany { count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{FdFlags, fcntl_getfd};
    use std::fs::File;
    use std::io::{Read, Write, pipe};
    use std::thread;

    const SOON: Option<Duration> = Some(Duration::from_millis(20));

    #[test]
    fn descriptors_arrive_in_order_and_are_not_inherited() {
        let (one, other) = Channel::pair().unwrap();
        let (mut first, first_end) = pipe().unwrap();
        let (mut second, second_end) = pipe().unwrap();
        one.send(&[first_end.as_fd(), second_end.as_fd()], None)
            .unwrap();
        one.send(&[], None).unwrap();
        drop((first_end, second_end));
        let got = other.receive(2, None).unwrap();
        assert!(other.receive(0, SOON).unwrap().is_empty());
        for (descriptor, text) in got.into_iter().zip(["one", "two"]) {
            let flags = fcntl_getfd(&descriptor).unwrap();
            assert!(flags.contains(FdFlags::CLOEXEC));
            File::from(descriptor).write_all(text.as_bytes()).unwrap();
        }
        let mut text = String::new();
        first.read_to_string(&mut text).unwrap();
        second.read_to_string(&mut text).unwrap();
        assert_eq!(text, "onetwo");
    }

    #[test]
    fn as_many_pass_as_are_allowed_and_no_more() {
        let (one, other) = Channel::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        let most = [file.as_fd(); MOST + 1];
        one.send(&most[1..], None).unwrap();
        assert_eq!(other.receive(MOST, None).unwrap().len(), MOST);
        let sent = one.send(&most, None);
        assert!(matches!(sent, Err(DescriptorsError::TooMany { count: 65 })));
        let received = other.receive(MOST + 1, None);
        assert!(matches!(
            received,
            Err(DescriptorsError::TooMany { count: 65 })
        ));
    }

    #[test]
    fn another_number_than_expected_is_an_error_and_closed() {
        let (one, other) = Channel::pair().unwrap();
        for (sent, wanted) in [(3, 1), (0, 1), (1, 2), (1, 0)] {
            let (mut end, written) = pipe().unwrap();
            one.send(&vec![written.as_fd(); sent], None).unwrap();
            drop(written);
            let received = other.receive(wanted, None);
            assert!(
                matches!(received, Err(DescriptorsError::Count { wanted: w, found }) if w == wanted && found == sent),
                "{received:?}"
            );
            // It ends only when every writer is closed.
            assert_eq!(end.read(&mut [0]).unwrap(), 0);
        }
        one.send(&[], None).unwrap();
        other.receive(0, None).unwrap();
    }

    /// Sends what no honest peer does: `bytes`, with `count` descriptors.
    fn send_raw(channel: &Channel, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        let iov = [IoSlice::new(bytes)];
        sendmsg(channel, &iov, &mut control, SendFlags::empty()).unwrap();
    }

    #[test]
    fn damaged_messages_are_told_and_closed() {
        let (one, other) = Channel::pair().unwrap();
        let cases: [(&[u8], usize); 4] = [
            (b"\x01\0\0\0\0", 253),
            (b"\x02\0\0\0\0", 1),
            (b"\x00\0\0\0\0", 1),
            (b"abc", 0),
        ];
        for (bytes, count) in cases {
            let (mut end, written) = pipe().unwrap();
            send_raw(&one, bytes, &vec![written.as_fd(); count]);
            drop(written);
            let received = other.receive(1, None);
            assert!(
                matches!(received, Err(DescriptorsError::Damaged)),
                "{received:?}"
            );
            assert_eq!(end.read(&mut [0]).unwrap(), 0);
        }
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error_of_its_own() {
        let (one, other) = Channel::pair().unwrap();
        let waits = thread::spawn(move || one.receive(1, None).map(drop));
        drop(other);
        let received = waits.join().unwrap();
        assert!(
            matches!(received, Err(DescriptorsError::Closed)),
            "{received:?}"
        );
        let (one, other) = Channel::pair().unwrap();
        drop(other);
        let sent = one.send(&[], None);
        assert!(matches!(sent, Err(DescriptorsError::Closed)), "{sent:?}");
    }

    #[test]
    fn waiting_ends_in_time() {
        let (one, other) = Channel::pair().unwrap();
        let received = one.receive(1, SOON);
        assert!(
            matches!(received, Err(DescriptorsError::TimedOut)),
            "{received:?}"
        );
        // Until the socket is full.
        let full = (0..1 << 16).find_map(|_| one.send(&[], SOON).err());
        assert!(matches!(full, Some(DescriptorsError::TimedOut)), "{full:?}");
        other.receive(0, SOON).unwrap();
    }
}
