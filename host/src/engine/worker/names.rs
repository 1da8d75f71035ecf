//! The names of peers: a worker cannot look them up, so they are known before its tasks run.

use super::process::LOOK;
use crate::dispatch::Dispatch;
use crate::within::within;
use rwasm_sandbox::awake::Awake;
use rwasm_sandbox::sandbox::Program;
use std::pin::pin;

/// What became of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookedUp {
    /// They are known, or nobody asks for them.
    Known,
    /// It took longer than a task may.
    TooLate,
    Cancelled,
}

/// Waits for the names of the dispatch, which are looked up once for each job, if its tasks can ask for them.
pub(super) fn look_up(dispatch: &Dispatch) -> LookedUp {
    if dispatch.setting.peers.are_known() || !asks(&dispatch.program) {
        return LookedUp::Known;
    }
    let mut looked_up = pin!(dispatch.setting.peers.looked_up());
    let until = Awake::now().after(dispatch.setting.limits.time);
    loop {
        if within(LOOK, |context| looked_up.as_mut().poll(context)).is_some() {
            return LookedUp::Known;
        }
        if dispatch.cancel.is_wanted() {
            return LookedUp::Cancelled;
        }
        if until.is_some_and(|until| until.left().is_none()) {
            return LookedUp::TooLate;
        }
    }
}

/// Whether the module can use peers.
pub(super) fn asks(program: &Program) -> bool {
    let mut imports = program.module.imports().iter();
    imports.any(|import| {
        import.module.starts_with("wasi:sockets/") || import.module.starts_with("wasi:http/")
    })
}
