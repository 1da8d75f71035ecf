//! The calls that pass, some of them only with certain arguments.

use super::super::super::{Access, Confinement, Ports};
use super::{Rules, always, calls};
use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

/// Asks which pages were written, of the calling process only: `_IOWR('f', 16, struct pm_scan_arg)` of `linux/fs.h`.
const PAGEMAP_SCAN: u64 = 0xc060_6610;

/// `PR_SET_VMA`, by which libc names its memory.
const SET_VMA: u64 = 0x5356_4d41;

/// What a clone must have set to be a thread.
const THREAD: i32 = libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND;

/// What a thread must not have: namespaces, and other parents and tracers.
const NO_THREAD: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_VFORK
    | libc::CLONE_PARENT
    | libc::CLONE_PTRACE
    | libc::CLONE_UNTRACED
    | libc::CLONE_PIDFD;

/// The options of sockets that WASI and the runtime set. Others have been the way into the kernel more than once.
const OPTIONS: &[(i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_LINGER),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO),
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_IP, libc::IP_TTL),
    (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
];

type Built<T> = Result<T, BackendError>;

/// The calls that a worker may make.
pub(super) fn allowed(confinement: &Confinement<'_>) -> Built<Rules> {
    let mut rules = always(calls::ALWAYS);
    rules.extend(of_processes()?);
    rules.insert(libc::SYS_mmap, of_memory()?);
    rules.extend(of_descriptors(confinement.memory_files)?);
    if !confinement.directories.is_empty() {
        rules.extend(always(calls::READING));
    }
    let is_writable = |(_, access): &(_, Access)| *access == Access::ReadWrite;
    if confinement.directories.iter().any(is_writable) {
        rules.extend(always(calls::WRITING));
    }
    rules.extend(of_messages(
        confinement.ports.as_ref().is_some_and(|ports| ports.udp),
    )?);
    if let Some(ports) = &confinement.ports {
        rules.extend(always(calls::SOCKETS));
        rules.extend(of_sockets(ports)?);
    }
    Ok(rules)
}

/// Threads, and what a process does to itself.
fn of_processes() -> Built<Rules> {
    let itself = u64::from(std::process::id());
    Ok(Rules::from([
        // No new process: `fork` too comes here.
        (
            libc::SYS_clone,
            vec![rule([bits(0, THREAD | NO_THREAD, THREAD)?])?],
        ),
        // What `abort` does.
        (libc::SYS_tgkill, vec![rule([is(0, itself)?])?]),
        // Reading limits, not setting them; its own, not those of others.
        (libc::SYS_prlimit64, vec![rule([is(0, 0)?, is_null(2)?])?]),
        (
            libc::SYS_prctl,
            any_of(
                0,
                [
                    number(libc::PR_SET_NAME),
                    number(libc::PR_GET_NAME),
                    SET_VMA,
                ],
            )?,
        ),
    ]))
}

/// Memory that is the process's own. What it would share counts for nobody, and what it shares with its engine is there
/// before; large pages are not counted where others are.
fn of_memory() -> Built<Vec<SeccompRule>> {
    let private = bits(3, libc::MAP_TYPE | libc::MAP_HUGETLB, libc::MAP_PRIVATE)?;
    Ok(vec![rule([private])?])
}

/// What is done to a descriptor. Not who gets its signals, nor commands for devices.
fn of_descriptors(memory_files: bool) -> Built<Rules> {
    let mut fcntl = vec![
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
        libc::F_GET_SEALS,
    ];
    // So glibc asks for a file's size. A path would be looked up all the same, which is why the root directory is empty.
    let by_descriptor = rule([is(3, number(libc::AT_EMPTY_PATH))?])?;
    let mut rules = Rules::from([(libc::SYS_newfstatat, vec![by_descriptor])]);
    if memory_files {
        fcntl.push(libc::F_ADD_SEALS);
        rules.insert(libc::SYS_ftruncate, Vec::new());
    }
    rules.insert(libc::SYS_fcntl, any_of(1, fcntl.into_iter().map(number))?);
    let ioctl = [
        PAGEMAP_SCAN,
        low(libc::FIONBIO),
        low(libc::FIONREAD),
        low(libc::FIOCLEX),
    ];
    rules.insert(libc::SYS_ioctl, any_of(1, ioctl)?);
    Ok(rules)
}

/// Sending over what it has. A message with `MSG_FASTOPEN` would connect to where Landlock does not look, one with `MSG_OOB`
/// reaches code of Unix sockets that nobody needs, and an address is needed for nothing but UDP.
fn of_messages(udp: bool) -> Built<Rules> {
    let plain = |argument| bits(argument, libc::MSG_FASTOPEN | libc::MSG_OOB, 0);
    let mut sendto = vec![plain(3)?];
    if !udp {
        sendto.push(is_null(4)?);
    }
    // What runtimes wake themselves by. A pair for datagrams could send to sockets with a name.
    let pair = [
        is(0, number(libc::AF_UNIX))?,
        bits(
            1,
            !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK),
            libc::SOCK_STREAM,
        )?,
    ];
    // Not the pipes by which the kernel notifies.
    let pipe = [bits(1, !(libc::O_CLOEXEC | libc::O_NONBLOCK), 0)?];
    Ok(Rules::from([
        (libc::SYS_sendmsg, vec![rule([plain(2)?])?]),
        (libc::SYS_sendto, vec![rule(sendto)?]),
        (libc::SYS_socketpair, vec![rule(pair)?]),
        (libc::SYS_pipe2, vec![rule(pipe)?]),
    ]))
}

/// TCP and UDP over IP. Multipath TCP, another protocol of the same kind, would pass Landlock by.
fn of_sockets(ports: &Ports) -> Built<Rules> {
    let mut kinds = vec![(libc::SOCK_STREAM, libc::IPPROTO_TCP)];
    if ports.udp {
        kinds.push((libc::SOCK_DGRAM, libc::IPPROTO_UDP));
    }
    let mut socket = Vec::new();
    for domain in [libc::AF_INET, libc::AF_INET6] {
        for (kind, protocol) in &kinds {
            for protocol in [0, *protocol] {
                let ways = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
                socket.push(rule([
                    is(0, number(domain))?,
                    bits(1, !ways, *kind)?,
                    is(2, number(protocol))?,
                ])?);
            }
        }
    }
    let mut options = Vec::new();
    for (level, option) in OPTIONS {
        options.push(rule([is(1, number(*level))?, is(2, number(*option))?])?);
    }
    let mut rules = Rules::from([(libc::SYS_socket, socket), (libc::SYS_setsockopt, options)]);
    if ports.udp || !ports.bind.is_empty() {
        rules.insert(libc::SYS_bind, Vec::new());
    }
    Ok(rules)
}

/// Holds if all of these do.
fn rule(conditions: impl Into<Vec<SeccompCondition>>) -> Built<SeccompRule> {
    SeccompRule::new(conditions.into())
}

/// Rules of which one holds if the argument is one of these.
fn any_of(argument: u8, values: impl IntoIterator<Item = u64>) -> Built<Vec<SeccompRule>> {
    let of_value = |value| rule([is(argument, value)?]);
    values.into_iter().map(of_value).collect()
}

/// The argument, as a number of 32 bits, which is all that the kernel looks at.
fn is(argument: u8, value: u64) -> Built<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn is_null(argument: u8) -> Built<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)
}

/// Of these bits of the argument exactly those are set.
fn bits(argument: u8, these: i32, those: i32) -> Built<SeccompCondition> {
    let op = SeccompCmpOp::MaskedEq(number(these));
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, number(those))
}

/// A constant of C as the 32 bits that a register has.
fn number(constant: i32) -> u64 {
    u64::from(constant.cast_unsigned())
}

/// The same for a request of `ioctl`, which has another type with each libc.
fn low(request: impl TryInto<u64>) -> u64 {
    // All of them fit; what did not would be no request that a kernel knows.
    request.try_into().unwrap_or(u64::MAX)
}
