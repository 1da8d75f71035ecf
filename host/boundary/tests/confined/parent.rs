//! The tests: each starts a worker and looks at what it prints.

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rwasm_boundary::confine::UNUSED_USER;
use rwasm_boundary::layers::{Layer, Standing, probe};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use tempfile::TempDir;

/// Sent by the kernel to who makes a hostile call.
const SIGSYS: i32 = 31;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// An ordinary user, whom no file of the machine needs to know.
const SOMEBODY: u32 = 61_000;

/// A test has a name and something to do.
type Test = (&'static str, fn(&Site));

const TESTS: &[Test] = &[
    ("nothing_granted", nothing_granted),
    ("directories_granted", directories_granted),
    ("root_kept", root_kept),
    ("ports_granted", ports_granted),
    ("hostile_calls_end_the_worker", hostile_calls_end_the_worker),
    ("abort_works", abort_works),
    (
        "what_is_forbidden_is_reported",
        what_is_forbidden_is_reported,
    ),
    ("a_second_thread_is_refused", a_second_thread_is_refused),
    ("an_orphan_is_refused", an_orphan_is_refused),
    (
        "the_worker_ends_with_its_parent",
        the_worker_ends_with_its_parent,
    ),
    ("the_probe_agrees", the_probe_agrees),
];

pub(super) fn run() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    let is_wanted = |name: &str| filters.is_empty() || filters.iter().any(|it| name.contains(*it));
    let is_listing = arguments.iter().any(|it| it == "--list");
    let sites = if rustix::process::geteuid().is_root() {
        vec![Site::new(None), Site::new(Some(SOMEBODY))]
    } else {
        println!("skipped: workers of root, since an ordinary user runs the tests");
        vec![Site::new(None)]
    };
    for (name, test) in TESTS.iter().filter(|(name, _)| is_wanted(name)) {
        if is_listing {
            println!("{name}: test");
            continue;
        }
        for site in &sites {
            println!("test {name} ({}) ...", site.who());
            test(site);
        }
    }
}

/// Where and as whom workers run.
struct Site {
    user: Option<u32>,
    directory: TempDir,
}

impl Site {
    fn new(user: Option<u32>) -> Self {
        let directory = TempDir::new().expect("a directory");
        let open = Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), open.clone()).expect("a directory for all");
        // Where the program was built others may have no access.
        let program = std::env::current_exe().expect("the program's path");
        fs::copy(program, directory.path().join("worker")).expect("a copy of the program");
        fs::set_permissions(directory.path().join("worker"), open).expect("a program for all");
        Self { user, directory }
    }

    fn who(&self) -> &'static str {
        match self.user {
            None if rustix::process::geteuid().is_root() => "root",
            _ => "ordinary user",
        }
    }

    fn is_root(&self) -> bool {
        self.who() == "root"
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn worker(&self, role: &str) -> Command {
        let mut command = Command::new(self.path("worker"));
        command.env("ROLE", role);
        command.env("PARENT", std::process::id().to_string());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    fn start(&self, role: &str, change: impl FnOnce(&mut Command)) -> Worker {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut command = self.worker(role);
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().expect("the worker starts");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        Worker {
            child,
            lines,
            socket: ours,
            saw: BTreeMap::new(),
        }
    }
}

struct Worker {
    child: Child,
    lines: BufReader<ChildStdout>,
    socket: UnixStream,
    saw: BTreeMap<String, String>,
}

impl Worker {
    /// Reads what it prints, up to and with this line.
    fn wait_for(&mut self, what: &str) {
        let mut line = String::new();
        while !self.saw.contains_key(what) {
            line.clear();
            let length = self.lines.read_line(&mut line).expect("its output is text");
            assert!(length > 0, "no `{what}` in {:#?}", self.saw);
            let (what, ended) = line.trim_end().split_once('=').expect("a line `WHAT=HOW`");
            self.saw.insert(what.to_owned(), ended.to_owned());
        }
    }

    /// Reads all the rest.
    fn end(mut self) -> (ExitStatus, BTreeMap<String, String>) {
        let mut rest = String::new();
        self.lines
            .read_to_string(&mut rest)
            .expect("its output is text");
        let lines = rest.lines().filter_map(|line| line.split_once('='));
        self.saw
            .extend(lines.map(|(what, ended)| (what.to_owned(), ended.to_owned())));
        let status = self.child.wait().expect("it ends");
        (status, self.saw)
    }

    fn send(&self, descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        let byte = [io::IoSlice::new(b"x")];
        sendmsg(&self.socket, &byte, &mut control, SendFlags::empty()).expect("it is sent");
    }
}

/// What the worker saw, with the layers that it got.
struct Seen(BTreeMap<String, String>);

impl Seen {
    fn all(&self, expected: &[(&str, &str)]) {
        for (what, ended) in expected {
            let found = self.0.get(*what).map(String::as_str);
            assert_eq!(found, Some(*ended), "{what}, in {:#?}", self.0);
        }
    }

    /// What only this layer stops.
    fn by(&self, layer: Layer, expected: &[(&str, &str)]) {
        let standing = self.0.get(&format!("layer {layer}"));
        if standing.is_some_and(|standing| standing == "full") {
            self.all(expected);
        } else {
            println!("skipped: what {layer} stops, which is {standing:?}");
        }
    }

    fn limits(&self) {
        // The three that it keeps, and the directory that it reads.
        self.all(&[
            ("descriptors", "4"),
            ("pagemap", "ok"),
            ("limit", "Some(256)"),
            ("limit of core", "Some(0)"),
            ("limit of locked memory", "Some(0)"),
            ("limit of message queues", "Some(0)"),
            ("limit of signals", "Some(0)"),
        ]);
        self.by(Layer::UserNamespace, &[("limit of threads", "Some(1024)")]);
    }

    fn layers(&self, site: &Site) {
        for layer in Layer::ALL.iter().filter(|layer| **layer != Layer::Cgroup) {
            let standing = self.0.get(&format!("layer {layer}"));
            let standing = standing.unwrap_or_else(|| panic!("nothing on {layer}: {:#?}", self.0));
            if standing != "full" {
                println!("  {layer}: {standing}");
            }
        }
        let always = [
            Layer::NoNewPrivileges,
            Layer::ParentDeath,
            Layer::Descriptors,
            Layer::Limits,
            Layer::Capabilities,
            Layer::NotDumpable,
        ];
        for layer in always {
            self.all(&[(&format!("layer {layer}"), "full")]);
        }
        if !site.is_root() {
            let standing = &self.0["layer unused user"];
            assert!(standing.starts_with("missing"), "{standing}");
        }
    }
}

fn nothing_granted(site: &Site) {
    // What whoever started the program forgot to close.
    let leak = File::open("/dev/null").expect("a file");
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).expect("a leak");
    let file = site.path("sent");
    fs::write(&file, "by the parent").expect("a file");
    let mut worker = site.start("nothing", |_| {});
    drop(leak);
    worker.wait_for("locked");
    looks_confined(site, &worker);
    let file = File::open(file).expect("a file");
    worker.send(&[file.as_fd()]);
    let mut answer = [0; 4];
    worker.socket.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"pong");
    let (status, saw) = worker.end();
    assert!(status.success(), "{status}: {saw:#?}");
    let seen = Seen(saw);
    seen.layers(site);
    seen.limits();
    let refused = [
        "open a file",
        "make a file",
        "make a directory",
        "look for a file",
        "read of others",
        "read of itself",
        "start a program",
        "share memory",
        "look for the parent",
        "end the parent",
        "raise a limit",
        "limit the parent",
        "watch the parent",
        "make a TCP socket",
        "make a UDP socket",
        "make a Unix socket",
        "make a netlink socket",
        "make a pair for datagrams",
        "send out of band",
        "become root",
        "gain capabilities",
        "become dumpable",
        "outlive the parent",
    ];
    seen.by(Layer::Seccomp, &refused.map(|what| (what, "PERM")));
    seen.by(Layer::Seccomp, &[("make memory files", "NOSYS")]);
    // Either there is nothing, or the directory is not for this user.
    let looked = &seen.0["look past the list"];
    if seen.0["layer empty root directory"] == "full" {
        assert!(["NOENT", "ACCESS"].contains(&looked.as_str()), "{looked}");
    } else {
        println!("skipped: that no file can be seen, since it has the machine's root directory");
    }
    let works = [
        "threads",
        "code",
        "clocks",
        "random",
        "processors",
        "pipe",
        "pair",
        "received file",
        "answer",
    ];
    seen.all(&works.map(|what| (what, "ok")));
    seen.all(&[
        ("size", "13"),
        ("text", "by the parent"),
        ("write to it", "BADF"),
    ]);
    match seen.0["scan of pages"].as_str() {
        "ok" => {}
        "NOTTY" => println!("skipped: the scan of pages, which this kernel does not have"),
        other => panic!("the scan of pages: {other}"),
    }
}

/// What the kernel says about a worker.
fn looks_confined(site: &Site, worker: &Worker) {
    let status = fs::read_to_string(format!("/proc/{}/status", worker.child.id()));
    let status = status.expect("the status of the worker");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no `{name}` in {status}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    if worker.saw["layer seccomp"] == "full" {
        assert_eq!(field("Seccomp:"), "2");
    }
    if worker.saw["layer unused user"] == "full" {
        assert_eq!(field("CapBnd:"), "0000000000000000");
        let ids = [UNUSED_USER; 4].map(|id| id.to_string()).join(" ");
        assert_eq!((field("Uid:"), field("Gid:")), (ids.clone(), ids));
        assert_eq!(field("Groups:"), "");
    }
    // It cannot be dumped, so its files belong to root.
    if let Some(user) = site.user {
        use std::os::unix::fs::MetadataExt as _;
        let owner = fs::metadata(format!("/proc/{}/maps", worker.child.id()));
        assert_ne!(owner.expect("its file").uid(), user);
    }
}

fn directories_granted(site: &Site) {
    let make = |name: &str| {
        let path = site.path(name);
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("one for all");
        path
    };
    let (fixed, scratch) = (make("fixed"), make("scratch"));
    let file = |path: &Path| {
        fs::write(path, "text").expect("a file");
        fs::set_permissions(path, Permissions::from_mode(0o666)).expect("one for all");
    };
    file(&fixed.join("in"));
    file(&site.path("secret"));
    let worker = site.start("directories", |_| {});
    let open = |path: &Path| File::open(path).expect("a directory");
    worker.send(&[open(&fixed).as_fd(), open(&scratch).as_fd()]);
    let (status, saw) = worker.end();
    assert!(status.success(), "{status}: {saw:#?}");
    let seen = Seen(saw);
    seen.layers(site);
    let works = [
        "read",
        "list",
        "look",
        "make",
        "size",
        "make directory",
        "rename",
        "remove",
        "link out",
        "threads",
    ];
    seen.all(&works.map(|what| (what, "ok")));
    let refused = [
        "write to fixed",
        "make in fixed",
        "remove in fixed",
        "go up",
    ];
    seen.by(Layer::Landlock, &refused.map(|what| (what, "ACCESS")));
    // Without the layer they are outside of what is granted.
    let absolute = ["follow out", "open a file"];
    if seen.0["layer empty root directory"] == "full" {
        seen.all(&absolute.map(|what| (what, "NOENT")));
    } else {
        seen.by(Layer::Landlock, &absolute.map(|what| (what, "ACCESS")));
    }
    seen.by(Layer::Seccomp, &[("make a Unix socket", "PERM")]);
    if site.is_root() {
        fs::remove_dir_all(scratch).expect("it is removed");
    }
}

/// A directory that only root may enter.
fn root_kept(site: &Site) {
    if !site.is_root() {
        println!("skipped: an ordinary user has no root to keep");
        return;
    }
    let own = site.path("own");
    fs::create_dir(&own).expect("a directory");
    fs::set_permissions(&own, Permissions::from_mode(0o700)).expect("one for root");
    fs::write(site.path("secret"), "text").expect("a file");
    let worker = site.start("kept", |_| {});
    worker.send(&[File::open(&own).expect("a directory").as_fd()]);
    let (status, saw) = worker.end();
    assert!(status.success(), "{status}: {saw:#?}");
    let seen = Seen(saw);
    let standing = &seen.0["layer unused user"];
    assert!(standing.starts_with("missing"), "{standing}");
    seen.all(&[("make", "ok"), ("make memory files", "ok")]);
    seen.by(Layer::Landlock, &[("go up", "ACCESS")]);
    seen.by(Layer::EmptyRoot, &[("open a file", "NOENT")]);
    seen.by(Layer::Seccomp, &[("become another", "PERM")]);
}

fn ports_granted(site: &Site) {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let (granted, other) = (listen(), listen());
    let port = |of: &TcpListener| of.local_addr().expect("its port").port().to_string();
    let worker = site.start("ports", |command| {
        command
            .env("GRANTED", port(&granted))
            .env("OTHER", port(&other));
    });
    let (status, saw) = worker.end();
    assert!(status.success(), "{status}: {saw:#?}");
    let mut text = String::new();
    let (mut stream, _) = granted.accept().expect("a connection");
    stream.read_to_string(&mut text).expect("what was sent");
    assert_eq!(text, "hello");
    let seen = Seen(saw);
    seen.all(&[("send", "ok")]);
    seen.by(Layer::Landlock, &[("connect elsewhere", "ACCESS")]);
    let refused = [
        "listen",
        "make a UDP socket",
        "make a Unix socket",
        "make a multipath socket",
        "open a file",
    ];
    seen.by(Layer::Seccomp, &refused.map(|what| (what, "PERM")));
}

fn hostile_calls_end_the_worker(site: &Site) {
    for role in ["exec", "chroot"] {
        let (status, saw) = site.start(role, |_| {}).end();
        if saw["layer seccomp"] != "full" {
            println!("skipped: {role}, since seccomp is {}", saw["layer seccomp"]);
            continue;
        }
        assert_eq!(status.signal(), Some(SIGSYS), "{role}: {status}, {saw:#?}");
        assert_eq!(saw["locked"], "ok");
        assert!(!saw.contains_key(role));
    }
}

fn abort_works(site: &Site) {
    let (status, saw) = site.start("abort", |_| {}).end();
    assert_eq!(status.signal(), Some(SIGABRT), "{status}, {saw:#?}");
    assert!(!status.core_dumped());
}

/// As under a service manager or in a container that allows less: a wall with holes is reported, and stands.
fn what_is_forbidden_is_reported(site: &Site) {
    let (status, saw) = site.start("filtered", |_| {}).end();
    assert!(status.success(), "{status}: {saw:#?}");
    let seen = Seen(saw);
    seen.all(&[("locked", "ok"), ("layer no capabilities", "full")]);
    for layer in [
        Layer::UserNamespace,
        Layer::NetworkNamespace,
        Layer::OtherNamespaces,
        Layer::Landlock,
    ] {
        let standing = &seen.0[&format!("layer {layer}")];
        let refused = "missing: the kernel or the container refuses it: Operation not permitted";
        assert!(standing.starts_with(refused), "{layer}: {standing}");
    }
    let standing = &seen.0[&format!("layer {}", Layer::EmptyRoot)];
    assert!(standing.starts_with("missing"), "{standing}");
}

fn a_second_thread_is_refused(site: &Site) {
    let (status, saw) = site.start("late", |_| {}).end();
    assert!(status.success(), "{status}: {saw:#?}");
    Seen(saw).all(&[("late", "refused beside 2"), ("open a file", "ok")]);
}

fn an_orphan_is_refused(site: &Site) {
    let (status, saw) = site
        .start("orphan", |command| {
            command.env("PARENT", "1");
        })
        .end();
    assert_eq!(status.code(), Some(3), "{saw:#?}");
    Seen(saw).all(&[("early", "the process that started the worker has ended")]);
}

/// The parent of a worker is the thread that started it.
fn the_worker_ends_with_its_parent(site: &Site) {
    let (end, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let starter = scope.spawn(move || {
            let mut worker = site.start("waits", |_| {});
            worker.wait_for("ready");
            let _ = ended.recv();
            worker
        });
        drop(end);
        let worker = starter.join().expect("the thread ends");
        // The socket is still open, so it would wait for ever.
        let mut socket = worker.socket.try_clone().expect("a socket");
        let (status, saw) = worker.end();
        assert_eq!(status.signal(), Some(SIGKILL), "{status}, {saw:#?}");
        assert!(socket.write_all(b"x").is_err());
    });
}

/// What the probe promises, a worker of the same user gets.
fn the_probe_agrees(site: &Site) {
    if site.user.is_some() {
        println!("skipped: the probe for another user, since it tells about its own process");
        return;
    }
    let worker = site.start("waits", |_| {});
    worker
        .socket
        .shutdown(std::net::Shutdown::Write)
        .expect("its end");
    let (_, saw) = worker.end();
    for (layer, standing) in probe() {
        println!("  {layer}: {standing}");
        assert!(!layer.stops().is_empty() && !layer.needs().is_empty());
        let Some(got) = saw.get(&format!("layer {layer}")) else {
            assert_eq!(layer, Layer::Cgroup);
            continue;
        };
        match standing {
            Standing::Full => assert_eq!(got, "full", "{layer}"),
            Standing::Missing(_) => assert_ne!(got, "full", "{layer}"),
            Standing::Partial(_) => {}
        }
    }
    // The probe has changed nothing: all of it still works.
    let started = Command::new(site.path("worker")).arg("--list").output();
    assert!(started.expect("a program starts").status.success());
    UnixStream::pair().expect("sockets");
    File::create(site.path("after")).expect("files");
}
