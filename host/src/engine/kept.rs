//! The instances an engine keeps between dispatches, for owners that want their state to live on.

use crate::account::Account;
use crate::dispatch::{Dispatch, OwnerMark};
use rwasm_sandbox::sandbox::{KeptInstance, Program};
use std::sync::Arc;

/// More kept instances than this per engine would hold more memory than state is worth.
const MAX_KEPT: usize = 2;

/// The kept instances, the least recently used first. No instance is shared between owners.
#[derive(Default)]
pub(super) struct KeptInstances(Vec<Kept>);

struct Kept {
    owner: OwnerMark,
    account: Arc<Account>,
    program: Arc<Program>,
    instance: KeptInstance,
}

impl KeptInstances {
    /// The instance of the dispatch's owner and program, if one was kept.
    pub(super) fn take(&mut self, dispatch: &Dispatch) -> Option<KeptInstance> {
        let idx = self.0.iter().position(|kept| {
            kept.owner.is(&dispatch.owner) && Arc::ptr_eq(&kept.program, &dispatch.program)
        })?;
        Some(self.0.remove(idx).instance)
    }

    /// Keeps the instance for the owner's next dispatch.
    pub(super) fn put(&mut self, dispatch: &Dispatch, instance: KeptInstance) {
        if self.0.len() == MAX_KEPT {
            self.0.remove(0);
        }
        self.0.push(Kept {
            owner: dispatch.owner.mark(),
            account: Arc::clone(&dispatch.account),
            program: Arc::clone(&dispatch.program),
            instance,
        });
    }

    /// Drops the instances whose owners are gone, or whose tenants are closed. Called for each dispatch, whoever it is from,
    /// so that one that left does not keep memory until another wants an instance kept.
    pub(super) fn let_go(&mut self) {
        self.0
            .retain(|kept| !kept.owner.is_gone() && !kept.account.is_closed());
    }
}
