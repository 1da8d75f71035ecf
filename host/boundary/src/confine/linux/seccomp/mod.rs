//! The system calls that a worker may make. Three filters, of which the strictest answer counts:
//!
//! - hostile calls, which no runtime makes by chance, end the process;
//! - calls that their callers do without are answered as an old kernel would, so that they do;
//! - of the rest, those that are listed pass, if their arguments are right, and others fail with `EPERM`.
//!
//! A filter sees numbers, not what pointers point to: paths and addresses are Landlock's.

mod calls;
mod rules;

use super::super::{ConfineError, Confinement};
use super::{fail, is_withheld};
use crate::layers::{Layer, Standing};
use rustix::io::Errno;
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompFilter, SeccompRule, TargetArch,
    apply_filter,
};
use std::collections::BTreeMap;

#[cfg(target_arch = "x86_64")]
const HERE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const HERE: TargetArch = TargetArch::aarch64;

/// For each call the rules of which one must hold; none means that it always passes.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Restricts the calling thread.
pub(super) fn restrict(confinement: &Confinement<'_>) -> Result<Standing, ConfineError> {
    let failed = |error: BackendError| fail(Layer::Seccomp, "compile its filters", &error);
    let filters = [hostile(), absent(confinement), allowed(confinement)];
    let [hostile, absent, allowed] = filters.map(|filter| filter.map_err(failed));
    let (hostile, absent, allowed) = (hostile?, absent?, allowed?);

    match install(&hostile)? {
        Standing::Full => {}
        standing => return Ok(standing),
    }
    for filter in [absent, allowed] {
        if let Some(reason) = install(&filter)?.reason() {
            return Err(fail(Layer::Seccomp, "install a second filter", &reason));
        }
    }
    Ok(Standing::Full)
}

/// Installs the filter of the hostile calls alone, to see whether filters can be installed.
pub(crate) fn install_hostile() -> Standing {
    let filter = hostile().map_err(|error| error.to_string());
    let installed = filter.and_then(|filter| install(&filter).map_err(|error| error.to_string()));
    installed.unwrap_or_else(Standing::Missing)
}

fn install(filter: &BpfProgram) -> Result<Standing, ConfineError> {
    let Err(error) = apply_filter(filter) else {
        return Ok(Standing::Full);
    };
    match &error {
        Error::Seccomp(why) if Errno::from_io_error(why).is_some_and(is_withheld) => Ok(
            Standing::Missing(format!("the kernel or the container refuses it: {why}")),
        ),
        _ => Err(fail(Layer::Seccomp, "install a filter", &error)),
    }
}

fn hostile() -> Result<BpfProgram, BackendError> {
    let end = SeccompAction::KillProcess;
    compile(always(calls::HOSTILE), SeccompAction::Allow, end)
}

fn absent(confinement: &Confinement<'_>) -> Result<BpfProgram, BackendError> {
    let mut absent = always(calls::ABSENT);
    if confinement.directories.is_empty() {
        absent.extend(always(calls::ABSENT_WITHOUT_FILES));
    }
    if !confinement.memory_files {
        absent.extend(always(calls::ABSENT_WITHOUT_MEMORY_FILES));
    }
    let no_such_call = SeccompAction::Errno(Errno::NOSYS.raw_os_error().unsigned_abs());
    compile(absent, SeccompAction::Allow, no_such_call)
}

fn allowed(confinement: &Confinement<'_>) -> Result<BpfProgram, BackendError> {
    let refused = SeccompAction::Errno(Errno::PERM.raw_os_error().unsigned_abs());
    compile(rules::allowed(confinement)?, refused, SeccompAction::Allow)
}

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, otherwise, matched, HERE)?.try_into()
}

/// These calls, whatever their arguments are.
fn always(calls: &[i64]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}
