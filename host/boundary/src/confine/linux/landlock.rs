//! Landlock: everything that it can forbid is forbidden, but for the directories and ports that are granted.
//!
//! The crate asks for as much as the kernel knows. Devices, sockets and pipes are made by nobody; nothing is executed.

use super::super::{Access, ConfineError, Confinement, Connect, Ports, UDP_IS_OPEN};
use super::{fail, is_withheld};
use crate::layers::{Layer, Standing};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, Scope,
};
use rustix::io::Errno;
use std::error::Error;
use std::io;

/// The newest that is known here. To go on, read what it adds and who needs it.
const NEWEST: ABI = ABI::V10;

/// With this one files, their truncation and devices, TCP, abstract sockets and signals are all handled. What later ones
/// add is forbidden by seccomp too, but for the ports of UDP.
const ENOUGH: ABI = ABI::V6;

const READ_ONLY: BitFlags<AccessFs> = landlock::make_bitflags!(AccessFs::{ReadFile | ReadDir});

const READ_WRITE: BitFlags<AccessFs> = landlock::make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | RemoveDir | RemoveFile | MakeDir | MakeReg | MakeSym | Refer
});

/// Restricts the calling thread.
pub(super) fn restrict(confinement: &Confinement<'_>) -> Result<Standing, ConfineError> {
    let asked = Asked::now();
    let restricted = rules(asked.ruleset, confinement).and_then(RulesetCreated::restrict_self);
    let status = match restricted {
        Ok(status) => status,
        Err(error) => match withheld(&error) {
            Some(standing) => return Ok(standing),
            None => return Err(fail(Layer::Landlock, "restrict the worker", &error)),
        },
    };
    let standing = standing(&status.landlock, &asked.errno);
    let udp_is_open = confinement.ports.as_ref().is_some_and(|ports| ports.udp)
        && !matches!(&status.landlock, LandlockStatus::Available { effective_abi, .. } if *effective_abi >= ABI::V10);
    Ok(match standing {
        Standing::Full if udp_is_open => Standing::Partial(UDP_IS_OPEN.to_owned()),
        standing => standing,
    })
}

/// A ruleset, with what the kernel answered when it was asked for its version. The crate takes each error for a kernel without it.
pub(crate) struct Asked {
    pub(crate) ruleset: Ruleset,
    /// What it answered, if that was an error.
    pub(crate) errno: io::Error,
}

impl Asked {
    /// Asks now.
    pub(crate) fn now() -> Self {
        // Making a ruleset asks for the version, and does nothing else that could fail.
        Self {
            ruleset: Ruleset::default(),
            errno: io::Error::last_os_error(),
        }
    }
}

/// What stands if the system refuses a step with this error; none if it is an error of another kind.
pub(crate) fn withheld(error: &(dyn Error + 'static)) -> Option<Standing> {
    let mut cause = error;
    let cause = loop {
        match cause.downcast_ref::<io::Error>() {
            Some(found) => break found,
            None => cause = cause.source()?,
        }
    };
    let is_refusal = Errno::from_io_error(cause).is_some_and(is_withheld);
    is_refusal.then(|| refused(cause))
}

fn refused(error: &io::Error) -> Standing {
    Standing::Missing(format!("the kernel or the container refuses it: {error}"))
}

/// What a kernel with this much of it gives. `errno` is what it answered, if it gives nothing.
pub(crate) fn standing(status: &LandlockStatus, errno: &io::Error) -> Standing {
    match status {
        LandlockStatus::NotImplemented
            if Errno::from_io_error(errno).is_some_and(|errno| errno != Errno::NOSYS) =>
        {
            refused(errno)
        }
        LandlockStatus::NotImplemented => {
            Standing::Missing("the kernel is built without it".to_owned())
        }
        LandlockStatus::NotEnabled => {
            Standing::Missing("the kernel has it, but `lsm=` does not turn it on".to_owned())
        }
        LandlockStatus::Available { effective_abi, .. } if *effective_abi >= ENOUGH => {
            Standing::Full
        }
        LandlockStatus::Available { effective_abi, .. } => {
            let lacks = [
                (ABI::V2, "renaming between directories"),
                (ABI::V3, "truncation"),
                (ABI::V4, "TCP ports"),
                (ABI::V5, "devices"),
                (ABI::V6, "signals and abstract sockets"),
            ];
            let lacks: Vec<&str> = lacks
                .into_iter()
                .filter(|(since, _)| effective_abi < since)
                .map(|(_, what)| what)
                .collect();
            Standing::Partial(format!("this kernel does not check {}", lacks.join(", ")))
        }
    }
}

fn rules(ruleset: Ruleset, confinement: &Confinement<'_>) -> Result<RulesetCreated, RulesetError> {
    let mut created = ruleset
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(handled(confinement.ports.as_ref()))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for (directory, access) in &confinement.directories {
        let access = match access {
            Access::ReadOnly => READ_ONLY,
            Access::ReadWrite => READ_WRITE,
        };
        created = created.add_rule(PathBeneath::new(*directory, access))?;
    }
    match &confinement.ports {
        Some(ports) => open(created, ports),
        None => Ok(created),
    }
}

/// What of the network the rules decide about. What is not handled is open.
fn handled(ports: Option<&Ports>) -> BitFlags<AccessNet> {
    let all = AccessNet::from_all(NEWEST);
    match ports.map(|ports| &ports.connect) {
        Some(Connect::Any) => all & !(AccessNet::ConnectTcp | AccessNet::ConnectSendUdp),
        Some(Connect::Only(_)) | None => all,
    }
}

fn open(mut created: RulesetCreated, ports: &Ports) -> Result<RulesetCreated, RulesetError> {
    let with_udp = |tcp: AccessNet, udp: AccessNet| -> BitFlags<AccessNet> {
        if ports.udp { tcp | udp } else { tcp.into() }
    };
    if let Connect::Only(peers) = &ports.connect {
        let access = with_udp(AccessNet::ConnectTcp, AccessNet::ConnectSendUdp);
        for port in peers {
            created = created.add_rule(NetPort::new(*port, access))?;
        }
    }
    for port in &ports.bind {
        let access = with_udp(AccessNet::BindTcp, AccessNet::BindUdp);
        created = created.add_rule(NetPort::new(*port, access))?;
    }
    if ports.udp {
        // The first datagram binds its socket to a port that the kernel picks.
        created = created.add_rule(NetPort::new(0, AccessNet::BindUdp))?;
    }
    Ok(created)
}
