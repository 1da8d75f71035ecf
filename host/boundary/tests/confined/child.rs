//! The worker: confines itself, tries things, and prints how they end.

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketType, recvmsg,
    socket,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, Uid};
use rwasm_boundary::confine::{
    Access, ConfineError, Confinement, Connect, Early, Limits, Ports, Report, Start, User, early,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, exit};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

pub(super) fn run(role: &str) {
    let started = begin();
    match role {
        "nothing" => nothing(started),
        "directories" => directories(started),
        "kept" => kept(started),
        "ports" => ports(started),
        "late" => late(started),
        "filtered" => {
            forbid();
            lock(started, &Confinement::new());
            println!("locked=ok");
        }
        "exec" => hostile(started, || {
            let error = Command::new("/bin/true").exec();
            println!("exec={error}");
        }),
        "chroot" => hostile(started, || {
            say("chroot", rustix::process::chroot("/tmp"));
        }),
        "abort" => hostile(started, || std::process::abort()),
        "orphan" => {
            // `begin` has reported that.
        }
        "waits" => {
            lock(started, &Confinement::new());
            println!("ready=ok");
            let mut end = Vec::new();
            let _ = io::stdin().read_to_end(&mut end);
        }
        other => println!("role=`{other}` is unknown"),
    }
}

fn begin() -> Early {
    let parent = std::env::var("PARENT").ok();
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let start = Start {
        keep: &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        parent: parent.and_then(|parent| parent.parse().ok()),
        limits: Limits::default(),
    };
    match early(&start) {
        Ok(started) => started,
        Err(error) => {
            println!("early={error}");
            exit(3)
        }
    }
}

/// Forbids what a service manager may forbid to whoever is no manager itself.
fn forbid() {
    let refused = SeccompAction::Errno(Errno::PERM.raw_os_error().unsigned_abs());
    let calls = [
        libc::SYS_capset,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_landlock_create_ruleset,
        libc::SYS_landlock_add_rule,
        libc::SYS_landlock_restrict_self,
    ];
    let rules = calls.into_iter().map(|call| (call, Vec::new())).collect();
    let here = std::env::consts::ARCH.try_into().expect("it is known");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, here);
    let filter: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    seccompiler::apply_filter(&filter).expect("the kernel has filters");
}

fn lock(started: Early, confinement: &Confinement<'_>) -> Report {
    match started.lock(confinement) {
        Ok(report) => {
            for (layer, standing) in report.layers() {
                println!("layer {layer}={standing}");
            }
            report
        }
        Err(error) => {
            println!("lock={error}");
            exit(3)
        }
    }
}

fn hostile(started: Early, attempt: impl FnOnce()) {
    lock(started, &Confinement::new());
    println!("locked=ok");
    attempt();
}

/// Prints how something ended.
fn say<T, E: Into<io::Error>>(what: &str, ended: Result<T, E>) {
    match ended.map_err(Into::into) {
        Ok(_) => println!("{what}=ok"),
        Err(error) => println!("{what}={}", name(&error)),
    }
}

/// The names of those that count, as C writes them without the `E`.
fn name(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::PERM) => "PERM".to_owned(),
        Some(Errno::ACCESS) => "ACCESS".to_owned(),
        Some(Errno::NOSYS) => "NOSYS".to_owned(),
        Some(Errno::NOENT) => "NOENT".to_owned(),
        Some(Errno::BADF) => "BADF".to_owned(),
        Some(Errno::NOTTY) => "NOTTY".to_owned(),
        _ => error.to_string(),
    }
}

fn nothing(started: Early) {
    let open: Vec<String> = fs::read_dir("/proc/self/fd")
        .map(|entries| {
            let names = entries.flatten().map(|entry| entry.file_name());
            names
                .filter_map(|name| name.to_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default();
    println!("descriptors={}", open.len());
    let pagemap = File::open("/proc/self/pagemap");
    say("pagemap", pagemap.as_ref().map_err(|_| Errno::ACCESS));
    lock(started, &Confinement::new());

    // The parent looks at this process before it sends the descriptor.
    println!("locked=ok");
    files();
    say("share memory", shared());
    processes();
    sockets();
    powers();
    ordinary(pagemap.ok());
}

fn files() {
    say("open a file", File::open("/etc/passwd"));
    say("make a file", File::create("/tmp/made-by-worker"));
    say("make a directory", fs::create_dir("made-by-worker"));
    say("look for a file", fs::metadata("/etc/passwd"));
    let empty_path =
        |path: &str| rustix::fs::statat(rustix::fs::CWD, path, AtFlags::EMPTY_PATH).map(|_| ());
    say("look past the list", empty_path("/etc/passwd"));
    say("read of others", fs::read("/proc/1/status"));
    say("read of itself", fs::read("/proc/self/maps"));
    say(
        "make memory files",
        rustix::fs::memfd_create("made", rustix::fs::MemfdFlags::empty()),
    );
}

fn processes() {
    say("start a program", Command::new("/bin/true").spawn());
    let parent = rustix::process::getppid().unwrap_or(Pid::INIT);
    say(
        "look for the parent",
        rustix::process::test_kill_process(parent),
    );
    say(
        "end the parent",
        rustix::process::kill_process(parent, Signal::TERM),
    );
    let (resource, limit) = (
        Resource::Nofile,
        rustix::process::getrlimit(Resource::Nofile),
    );
    println!("limit={:?}", limit.maximum);
    for (name, resource) in [
        ("threads", Resource::Nproc),
        ("core", Resource::Core),
        ("locked memory", Resource::Memlock),
        ("message queues", Resource::Msgqueue),
        ("signals", Resource::Sigpending),
    ] {
        let limit = rustix::process::getrlimit(resource).maximum;
        println!("limit of {name}={limit:?}");
    }
    let more = Rlimit {
        current: Some(100_000),
        maximum: Some(100_000),
    };
    say("raise a limit", rustix::process::setrlimit(resource, more));
    let of_parent = rustix::process::prlimit(Some(parent), resource, more);
    say("limit the parent", of_parent);
    say(
        "watch the parent",
        rustix::process::pidfd_open(parent, rustix::process::PidfdFlags::empty()),
    );
}

fn sockets() {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None);
    say("make a TCP socket", stream);
    say(
        "make a UDP socket",
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)),
    );
    say("make a Unix socket", UnixDatagram::unbound());
    say("make a pair for datagrams", UnixDatagram::pair());
    say(
        "send out of band",
        rustix::net::send(io::stdin(), b"x", rustix::net::SendFlags::OOB),
    );
    say(
        "make a netlink socket",
        socket(AddressFamily::NETLINK, SocketType::RAW, None),
    );
}

fn powers() {
    let root = Uid::ROOT;
    say(
        "become root",
        rustix::thread::set_thread_res_uid(root, root, root),
    );
    let all = rustix::thread::CapabilitySets {
        effective: rustix::thread::CapabilitySet::all(),
        permitted: rustix::thread::CapabilitySet::all(),
        inheritable: rustix::thread::CapabilitySet::all(),
    };
    say(
        "gain capabilities",
        rustix::thread::set_capabilities(None, all),
    );
    say(
        "become dumpable",
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable),
    );
    say(
        "outlive the parent",
        rustix::process::set_parent_process_death_signal(None),
    );
}

/// What a runtime does all the time.
fn ordinary(pagemap: Option<File>) {
    say("threads", threads());
    say("code", code());
    let passed = Instant::now().elapsed() < Duration::from_mins(1)
        && SystemTime::now() > SystemTime::UNIX_EPOCH;
    println!("clocks={}", if passed { "ok" } else { "wrong" });
    thread::sleep(Duration::from_millis(1));
    println!(
        "random={}",
        if random() == random() {
            "the same"
        } else {
            "ok"
        }
    );
    say("processors", thread::available_parallelism());
    say("pipe", pipe());
    say("pair", UnixStream::pair());
    if let Some(pagemap) = pagemap {
        say("scan of pages", scan(&pagemap));
    }

    let received = receive().map(|mut descriptors| descriptors.pop().map(File::from));
    match received {
        Ok(Some(mut file)) => {
            let mut text = String::new();
            let size = file.metadata().map(|metadata| metadata.len());
            println!("size={}", size.unwrap_or_default());
            say("received file", file.read_to_string(&mut text));
            println!("text={}", text.trim());
            say("write to it", file.write_all(b"x"));
        }
        Ok(None) => println!("received file=none"),
        Err(errno) => println!("received file={errno:?}"),
    }
    say("answer", rustix::io::write(io::stdin(), b"pong"));
}

/// Two threads, each of which waits for the other.
fn threads() -> io::Result<()> {
    let turn = Arc::new((Mutex::new(0), Condvar::new()));
    let count = {
        let turn = Arc::clone(&turn);
        move |parity: u32| {
            let (number, changed) = &*turn;
            let mut number = number.lock().unwrap_or_else(PoisonError::into_inner);
            while *number < 100 {
                if *number % 2 == parity {
                    *number += 1;
                    changed.notify_all();
                } else {
                    number = changed.wait(number).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    };
    let even = count.clone();
    let other = thread::Builder::new()
        .name("even".to_owned())
        .spawn(move || even(0))?;
    count(1);
    other.join().map_err(|_| io::Error::other("it panicked"))
}

/// Memory that is written, then made executable, as a compiler does.
#[expect(
    unsafe_code,
    reason = "mapping memory is unsafe; nothing refers to this"
)]
fn code() -> rustix::io::Result<()> {
    const PAGE: usize = 4096;
    // SAFETY: a fresh mapping, which is used here only, and for as long as it is there.
    unsafe {
        let writable = ProtFlags::READ | ProtFlags::WRITE;
        let page =
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), PAGE, writable, MapFlags::PRIVATE)?;
        page.cast::<u8>().write(0xc3);
        rustix::mm::mprotect(page, PAGE, MprotectFlags::READ | MprotectFlags::EXEC)?;
        rustix::mm::munmap(page, PAGE)
    }
}

/// Memory that no figure of the process would show as its own.
#[expect(
    unsafe_code,
    reason = "mapping memory is unsafe; nothing refers to this"
)]
fn shared() -> rustix::io::Result<()> {
    const PAGE: usize = 4096;
    let writable = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh mapping, which is not used.
    unsafe {
        rustix::mm::mmap_anonymous(std::ptr::null_mut(), PAGE, writable, MapFlags::SHARED)
            .map(|_| ())
    }
}

/// What wasmtime asks before it uses a memory again.
#[expect(unsafe_code, reason = "an `ioctl` is unsafe")]
fn scan(pagemap: &File) -> rustix::io::Result<()> {
    /// `_IOWR('f', 16, struct pm_scan_arg)`.
    const SCAN: rustix::ioctl::Opcode = 0xc060_6610;
    let mut argument = [0_u64; 12];
    argument[0] = 96;
    // SAFETY: the argument has the size that it claims, of 96 bytes, and asks about no address.
    unsafe {
        let scan = rustix::ioctl::Updater::<SCAN, [u64; 12]>::new(&mut argument);
        rustix::ioctl::ioctl(pagemap, scan)
    }
}

fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    // The keys are the thread's, asked of the kernel by each.
    let ask = thread::spawn(|| RandomState::new().hash_one(0));
    ask.join().unwrap_or_default()
}

fn pipe() -> io::Result<()> {
    let (mut from, mut to) = io::pipe()?;
    to.write_all(b"x")?;
    from.read_exact(&mut [0])
}

/// Receives the descriptors of one message.
fn receive() -> rustix::io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut into = [io::IoSliceMut::new(&mut byte)];
    recvmsg(
        io::stdin(),
        &mut into,
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let messages = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok(messages.flatten().collect())
}

fn directories(started: Early) {
    let received = receive().unwrap_or_default();
    let [fixed, scratch] = received.as_slice() else {
        println!("received={}", received.len());
        return;
    };
    let (fixed, scratch) = (fixed.as_fd(), scratch.as_fd());
    let confinement = Confinement::new()
        .directory(fixed, Access::ReadOnly)
        .directory(scratch, Access::ReadWrite);
    lock(started, &confinement);

    say("read", open(fixed, "in", OFlags::RDONLY));
    say("list", rustix::fs::Dir::read_from(fixed).and_then(list));
    say("look", rustix::fs::statat(fixed, "in", AtFlags::empty()));
    say("write to fixed", open(fixed, "in", OFlags::WRONLY));
    say(
        "make in fixed",
        open(fixed, "new", OFlags::WRONLY | OFlags::CREATE),
    );
    say(
        "remove in fixed",
        rustix::fs::unlinkat(fixed, "in", AtFlags::empty()),
    );

    let new = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC;
    say("make", open(scratch, "new", new));
    say(
        "size",
        open(scratch, "new", new).and_then(|file| rustix::fs::ftruncate(file, 10)),
    );
    let mode = Mode::from_raw_mode(0o700);
    say(
        "make directory",
        rustix::fs::mkdirat(scratch, "below", mode),
    );
    say(
        "rename",
        rustix::fs::renameat(scratch, "new", scratch, "below/moved"),
    );
    say(
        "remove",
        rustix::fs::unlinkat(scratch, "below/moved", AtFlags::empty()),
    );
    say(
        "link out",
        rustix::fs::symlinkat("/etc/passwd", scratch, "link"),
    );
    say("follow out", open(scratch, "link", OFlags::RDONLY));
    say("go up", open(scratch, "../secret", OFlags::RDONLY));
    say("open a file", File::open("/etc/passwd"));
    say("make a Unix socket", UnixDatagram::unbound());
    say("threads", threads());
}

/// A worker that stays root, and may make files in memory.
fn kept(started: Early) {
    let received = receive().unwrap_or_default();
    let [own] = received.as_slice() else {
        println!("received={}", received.len());
        return;
    };
    let confinement = Confinement::new()
        .directory(own.as_fd(), Access::ReadWrite)
        .user(User::AsStarted)
        .memory_files(true);
    lock(started, &confinement);
    let new = OFlags::RDWR | OFlags::CREATE;
    say("make", open(own.as_fd(), "new", new));
    say("go up", open(own.as_fd(), "../secret", OFlags::RDONLY));
    say("open a file", File::open("/etc/shadow"));
    let sealing = rustix::fs::MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create("made", sealing);
    say(
        "make memory files",
        memory.and_then(|memory| {
            rustix::fs::ftruncate(&memory, 4096)?;
            rustix::fs::fcntl_add_seals(&memory, rustix::fs::SealFlags::SHRINK)
        }),
    );
    say("become another", {
        let user = Uid::from_raw(1);
        rustix::thread::set_thread_res_uid(user, user, user)
    });
}

fn open(directory: BorrowedFd<'_>, path: &str, how: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(directory, path, how, Mode::from_raw_mode(0o600))
}

fn list(entries: rustix::fs::Dir) -> rustix::io::Result<usize> {
    let mut count = 0;
    for entry in entries {
        entry?;
        count += 1;
    }
    Ok(count)
}

fn ports(started: Early) {
    let port = |name: &str| {
        let number = std::env::var(name).ok();
        number
            .and_then(|number| number.parse::<u16>().ok())
            .unwrap_or_default()
    };
    let (granted, other) = (port("GRANTED"), port("OTHER"));
    let confinement = Confinement::new().ports(Ports {
        connect: Connect::Only(vec![granted]),
        bind: vec![0],
        udp: false,
    });
    lock(started, &confinement);

    let connect = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    let stream = connect(granted);
    say(
        "send",
        stream.and_then(|mut stream| stream.write_all(b"hello")),
    );
    say("connect elsewhere", connect(other));
    say("listen", TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    say(
        "make a UDP socket",
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)),
    );
    say("make a Unix socket", UnixDatagram::unbound());
    let multipath =
        rustix::net::Protocol::from_raw(rustix::net::RawProtocol::new(262).expect("not zero"));
    say(
        "make a multipath socket",
        socket(AddressFamily::INET, SocketType::STREAM, Some(multipath)),
    );
    say("open a file", File::open("/etc/passwd"));
}

/// A worker that starts a thread too early.
fn late(started: Early) {
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = thread::spawn(move || ended.recv());
    match started.lock(&Confinement::new()) {
        Err(ConfineError::Threads { found }) => println!("late=refused beside {found}"),
        Err(error) => println!("late={error}"),
        Ok(_) => println!("late=ok"),
    }
    // Nothing has happened, and the thread can be waited for.
    drop(end);
    let _ = thread.join();
    say("open a file", File::open("/etc/passwd"));
}
