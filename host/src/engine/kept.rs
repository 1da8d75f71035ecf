//! The instances an engine keeps between dispatches, for jobs that want their state to live on.

use crate::dispatch::Dispatch;
use crate::ids::JobId;
use crate::sandbox::Session;

/// More kept modules than this per engine would hold more memory than state is worth.
const MAX_KEPT: usize = 2;

/// The kept instances, the least recently used first. No instance is shared between jobs.
#[derive(Default)]
pub(super) struct KeptSessions(Vec<(JobId, Session)>);

impl KeptSessions {
    /// The instance of the dispatch's job, if one was kept.
    pub(super) fn take(&mut self, dispatch: &Dispatch) -> Option<Session> {
        let idx = self.0.iter().position(|(job, _)| *job == dispatch.job)?;
        Some(self.0.remove(idx).1)
    }

    /// Keeps the instance for the job's next dispatch.
    pub(super) fn put(&mut self, dispatch: &Dispatch, session: Session) {
        if self.0.len() == MAX_KEPT {
            self.0.remove(0);
        }
        self.0.push((dispatch.job, session));
    }
}
