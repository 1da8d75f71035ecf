//! What a worker is sent, with an eye on whether it reads it: one that does not is not waited for longer than its tasks
//! may take, and not at all once they are cancelled.

use super::listen::{OVERTIME, RunError};
use super::process::{LOOK, Process, ROOM, WorkerError};
use crate::dispatch::Dispatch;
use rwasm_boundary::descriptors::DescriptorsError;
use rwasm_boundary::ring::Sent;
use rwasm_sandbox::outcome::Failure;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// The most descriptors of one message.
const MOST_DESCRIPTORS: usize = 64;

/// How long a worker may take to read what comes before its tasks run.
pub(super) struct Patience<'a> {
    dispatch: &'a Dispatch,
    end: Instant,
}

impl<'a> Patience<'a> {
    pub(super) fn with(dispatch: &'a Dispatch) -> Self {
        let limits = &dispatch.setting.limits;
        Self {
            dispatch,
            end: Instant::now() + limits.time.saturating_add(OVERTIME).min(ROOM),
        }
    }

    /// Whether it is worth to wait on.
    fn check(&self, process: &mut Process) -> Result<(), RunError> {
        if self.dispatch.cancel.is_wanted() {
            return Err(RunError::Stopped(Failure::cancelled()));
        }
        if !process.is_alive() {
            return Err(WorkerError::from("it ended").into());
        }
        if Instant::now() > self.end {
            return Err(WorkerError::from("it does not read what it is sent").into());
        }
        Ok(())
    }
}

impl Process {
    /// Sends a message; as long as there is no room for it, `look` says now and then whether to go on.
    pub(super) fn send_while(
        &mut self,
        parts: &[&[u8]],
        mut look: impl FnMut(&mut Self) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let length = parts.iter().map(|part| part.len()).sum();
        self.sender.begin(length).map_err(WorkerError::from)?;
        let mut parts = parts.iter().copied();
        let mut left = parts.next().unwrap_or_default();
        loop {
            let taken = self.sender.feed(left).map_err(WorkerError::from)?;
            left = &left[taken..];
            if self.sender.is_finished() {
                return Ok(());
            }
            if left.is_empty()
                && let Some(next) = parts.next()
            {
                left = next;
                continue;
            }
            let until = Some(Instant::now() + LOOK);
            if !self.sender.wait(until).map_err(WorkerError::from)? {
                look(self)?;
            }
        }
    }

    /// Sends a message before tasks run.
    pub(super) fn send(
        &mut self,
        parts: &[&[u8]],
        patience: &Patience<'_>,
    ) -> Result<(), RunError> {
        self.send_while(parts, |process| patience.check(process))
    }

    /// Sends a message without waiting. If there is no room, the worker has not read what came before, and is ended.
    pub(super) fn send_now(&mut self, parts: &[&[u8]]) {
        if !matches!(self.sender.try_send(parts), Ok(Sent::Whole)) {
            self.kill();
        }
    }

    /// Passes descriptors before tasks run.
    pub(super) fn pass(
        &mut self,
        descriptors: &[OwnedFd],
        patience: &Patience<'_>,
    ) -> Result<(), RunError> {
        for part in descriptors.chunks(MOST_DESCRIPTORS) {
            let part: Vec<BorrowedFd<'_>> = part.iter().map(AsFd::as_fd).collect();
            self.pass_these(&part, patience)?;
        }
        Ok(())
    }

    /// The same in one message.
    pub(super) fn pass_these(
        &mut self,
        descriptors: &[BorrowedFd<'_>],
        patience: &Patience<'_>,
    ) -> Result<(), RunError> {
        loop {
            // A message goes as a whole or not at all.
            match self.channel.send(descriptors, Some(LOOK)) {
                Ok(()) => return Ok(()),
                Err(DescriptorsError::TimedOut) => patience.check(self)?,
                Err(error) => return Err(WorkerError::from(error).into()),
            }
        }
    }
}
