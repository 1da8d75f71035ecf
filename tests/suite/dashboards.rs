//! `--dashboard`: the page of a job that runs, who may see it, and what it says. The page itself is held against what it must
//! not do beside its sources.

use crate::support::{Cli, is_over_nats, map, run, wait};
use serde_json::Value as Json;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

/// A job that goes on until it is let go, with its page.
struct Shown {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: std::io::Lines<BufReader<ChildStdout>>,
    /// `127.0.0.1:PORT`.
    host: String,
    token: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Json {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_str(&self.body).expect("it is JSON")
    }
}

impl Shown {
    fn start(cli: Cli) -> Self {
        let mut command = cli.into_command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        while !line.starts_with("dashboard: ") {
            line.clear();
            assert!(
                said.read_line(&mut line).expect("it is text") > 0,
                "it says nothing"
            );
        }
        // What else it says is read, so that it never waits for that.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let url = line
            .trim()
            .strip_prefix("dashboard: http://")
            .expect("a URL");
        let (host, token) = url.split_once("/?token=").expect("a token");
        assert!(host.starts_with("127.0.0.1:") && token.len() == 32, "{url}");
        let stdout = child.stdout.take().expect("it is piped");
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(stdout).lines(),
            host: host.to_owned(),
            token: token.to_owned(),
            child,
        }
    }

    /// Gives it a line, and waits for the result.
    fn call(&mut self, line: &str) -> String {
        let stdin = self.stdin.as_mut().expect("it is open");
        writeln!(stdin, "{line}").expect("it reads");
        self.stdout.next().expect("a result").expect("it is text")
    }

    fn ask(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.host).expect("it listens");
        let limit = Some(Duration::from_mins(1));
        stream.set_read_timeout(limit).expect("it has a limit");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Answer {
            status: status.expect("a status"),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn get(&self, path: &str, headers: &str) -> Answer {
        let host = &self.host;
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n"
        ))
    }

    fn allowed(&self, path: &str) -> Answer {
        self.get(path, &format!("Authorization: Bearer {}\r\n", self.token))
    }

    fn end(mut self) {
        drop(self.stdin.take());
        for line in self.stdout {
            line.expect("it is text");
        }
        wait(self.child).expect("it ends");
    }
}

fn numbers(options: &str) -> Shown {
    Shown::start(map("numbers").arg("divide").typed(options))
}

#[test]
fn the_page_shows_a_job_while_it_runs() {
    let mut shown = numbers("--dashboard --engines 2 --max-failures 5 --label <b>");
    assert_eq!(shown.call("[6, 2]"), "3");
    let failed = shown.call("[1, 0]");
    assert_eq!(shown.call("[8, 2]"), "4", "after {failed}");
    let state = shown.allowed("/api/state").json();
    assert_eq!(state["figures"]["tasks"], 3, "{state}");
    assert_eq!(state["figures"]["failed"], 1);
    assert_eq!(state["codes"]["guest-error"], 1);
    assert_eq!(state["failures"][0]["code"], "guest-error");
    let job = &state["jobs"][0];
    assert_eq!(
        (&job["state"], &job["kind"]),
        (&"running".into(), &"map".into())
    );
    assert_eq!(
        (&job["label"], &job["name"]),
        (&"<b>".into(), &"divide".into())
    );
    let engines = state["engines"].as_array().expect("a list");
    assert!(engines.len() >= 2, "{engines:?}");
    let tiles = state["strip"]["tiles"].as_array().expect("a list");
    let tasks: u64 = tiles.iter().filter_map(|tile| tile[4].as_u64()).sum();
    assert_eq!(tasks, 3);

    // Whoever has seen that is told what is new.
    let (generation, change) = (&state["strip"]["generation"], &state["strip"]["change"]);
    shown.call("[9, 3]");
    let path = format!("/api/state?generation={generation}&change={change}");
    let state = shown.allowed(&path).json();
    assert_eq!(state["strip"]["tiles"].as_array().map(Vec::len), Some(1));

    let metrics = shown.allowed("/metrics");
    assert_eq!(metrics.status, 200);
    let name = if is_over_nats() {
        "rwasm_client"
    } else {
        "rwasm"
    };
    for line in [
        format!("{name}_tasks_total{{outcome=\"ok\",function=\"divide\"}} 3\n"),
        format!("{name}_tasks_total{{outcome=\"guest-error\",function=\"divide\"}} 1\n"),
        format!("{name}_queue_tasks 0\n"),
        format!("{name}_running_jobs 1\n"),
        format!("{name}_task_duration_seconds_count{{function=\"divide\"}} 4\n"),
        format!(
            "rwasm_build_info{{version=\"{}\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        ),
    ] {
        assert!(metrics.body.contains(&line), "{line}{}", metrics.body);
    }
    assert!(metrics.body.contains("process_resident_memory_bytes "));
    assert!(metrics.body.ends_with("# EOF\n"));
    shown.end();
}

#[test]
fn the_page_is_for_whoever_has_its_address() {
    let shown = numbers("--dashboard");
    let token = shown.token.clone();
    for path in [
        "/",
        "/?token=",
        "/?token=0",
        "/api/state",
        "/metrics",
        "/nothing",
    ] {
        assert_eq!(shown.get(path, "").status, 401, "{path}");
    }
    let wrong = format!("Authorization: Bearer {}0\r\n", &token[1..]);
    assert_eq!(shown.get("/api/state", &wrong).status, 401);
    let page = shown.get(&format!("/?token={token}"), "");
    assert_eq!(page.status, 200);
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(page.head.contains(header), "{header}\n{}", page.head);
    }
    assert!(!page.head.contains("unsafe"), "{}", page.head);
    for path in ["/view.js", "/live.js", "/style.css"] {
        assert_eq!(shown.get(path, "").status, 200, "{path}");
    }

    // A name that leads here may be anybody's, and so may a page that asks.
    let host = &shown.host;
    let port = host.rsplit(':').next().expect("a port");
    for (host, origin, status) in [
        ("evil.example".to_owned(), String::new(), 421),
        (format!("evil.example:{port}"), String::new(), 421),
        (
            host.clone(),
            "Origin: http://evil.example\r\n".to_owned(),
            421,
        ),
        (host.clone(), "Origin: null\r\n".to_owned(), 421),
        (host.clone(), format!("Origin: http://{host}\r\n"), 200),
        (format!("localhost:{port}"), String::new(), 200),
    ] {
        let asked = shown.ask(&format!(
            "GET /?token={token} HTTP/1.1\r\nHost: {host}\r\n{origin}Connection: close\r\n\r\n"
        ));
        assert_eq!(asked.status, status, "{host} {origin}");
    }
    let posted = shown.ask(&format!(
        "POST /?token={token} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ));
    assert_eq!(posted.status, 405);
    assert_eq!(shown.allowed("/nothing").status, 404);
    shown.end();
}

#[test]
fn the_page_is_on_this_machine_alone() {
    let ended = run("wordcount")
        .typed("--dashboard=0.0.0.0:0")
        .stdin("a")
        .fails(2);
    ended.expect_stderr_has(&["0.0.0.0:0", "not encrypted", "ssh -L"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has one");
    let cli = run("wordcount").arg(format!("--dashboard={address}"));
    cli.stdin("a")
        .fails(14)
        .expect_stderr_has(&["the dashboard at"]);
    run("wordcount").arg("--dashboard=here").stdin("a").fails(2);
}
