//! A process with engines: the program itself, which can be killed, frozen and told to go. It is asked how it is by its
//! health endpoint, and killed where its value ends.

use crate::support::{Cli, folder, free_port, program, until, wait};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) struct EngineProcess {
    /// None once it was waited for.
    child: Option<Child>,
    dir: TempDir,
    port: u16,
    /// The ids of its engines.
    pub(crate) ids: Vec<u32>,
}

impl EngineProcess {
    /// Joins with these options, and comes back when the cluster knows its engines.
    pub(crate) fn join(url: &str, options: &str) -> Self {
        Self::join_by(program(), url, options)
    }

    /// The same, with the code that is kept in this directory.
    pub(crate) fn join_with_cache(cache: &Path, url: &str, options: &str) -> Self {
        Self::join_by(program().env("RWASM_CACHE_DIR", cache), url, options)
    }

    fn join_by(program: Cli, url: &str, options: &str) -> Self {
        let dir = folder();
        let port = free_port();
        let ready = dir.path().join("ready");
        let stderr = File::create(dir.path().join("stderr")).expect("a file can be made");
        let mut child = program
            .args(["engine", "join", url])
            .typed(options)
            .args(["--health", &format!("127.0.0.1:{port}"), "--ready-file"])
            .arg(&ready)
            .into_command()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the program starts");
        let stderr = || fs::read_to_string(dir.path().join("stderr")).unwrap_or_default();
        until("the engines have joined", || {
            let ended = child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "it ended with {ended:?}: {}", stderr());
            ready.is_file()
        });
        let ids = fs::read_to_string(&ready).expect("it was written");
        let id = |line: &str| line.parse().expect("an engine's id on each line");
        Self {
            ids: ids.lines().map(id).collect(),
            child: Some(child),
            dir,
            port,
        }
    }

    /// Its number.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("it was not killed"))
    }

    /// Kills it, without a chance to say anything.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            child.wait().expect("a child can be waited for");
        }
    }

    /// Stops it where it is; its connection stays open.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Tells it to go.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until it has ended; what it said.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let child = self.child.take().expect("it was not killed");
        let status = wait(child).expect("it ends in time");
        (status, self.stderr())
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| child.try_wait().expect("a child can be asked").is_none())
    }

    /// What it wrote to stderr.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }

    /// A figure of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let (_, page) = self.page("/metrics");
        // What has no labels yet was not counted yet.
        assert!(page.ends_with("# EOF\n"), "{page}");
        figure(&page, name).unwrap_or(0)
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.metric("rwasm_busy_engines") > 0
    }

    /// The status and the text of a page of its health endpoint; 0 where it has none.
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        self.ask(path).unwrap_or_default()
    }

    fn ask(&self, path: &str) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: engine\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).unwrap_or_default();
        Ok((status.parse().unwrap_or_default(), body.to_owned()))
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a child takes signals");
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A figure of a page of metrics: the sum over its labels.
pub(crate) fn figure(page: &str, name: &str) -> Option<u64> {
    let values: Vec<u64> = page
        .lines()
        .filter_map(|line| {
            let (series, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            let is_its = series.is_empty() || series.starts_with('{') && series.ends_with('}');
            is_its.then(|| value.parse().ok())?
        })
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}
