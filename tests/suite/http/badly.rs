//! Servers that are slow, wrong or hostile, and guests that ask too much: each gives the guest an error, or ends with the
//! task's time, and what it takes of the host is bounded.

use super::servers::{Server, ok};
use super::{fetch, get, is_refused};
use crate::support::{
    Cli, call, cluster, is_alone, memory, module, open_files, program, until, wat,
};
use rwasm_cluster::{Grants, Limits, Module};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// What there is at a server, by WASI 0.3.
fn get_by_03(server: &Server) -> Cli {
    let call = program().arg("call").arg(wat("fetch-async")).arg("get");
    let call = call.arg(format!("127.0.0.1:{}", server.port)).arg("/");
    call.typed(&server.granted()).typed("--timeout 20s")
}

/// Writes this until the client is gone.
fn without_end(stream: &mut TcpStream, first: &str, again: &str) {
    let again = again.repeat(1 + 4000 / again.len());
    let mut sent = stream.write_all(first.as_bytes());
    while sent.is_ok() {
        sent = stream.write_all(again.as_bytes());
    }
}

#[test]
fn the_guests_own_times_hold() {
    let silent = Server::then(|_| ());
    let slow = Server::then(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
    });
    let within = |server: &Server, scheme: &str, times: &str| {
        let url = format!("{scheme}://127.0.0.1:{} {times}", server.port);
        fetch("get-within", &url, &server.granted())
    };
    for (server, scheme, times, error) in [
        // A connection is one when there is TLS.
        (&silent, "https", "100 20000 20000", "ConnectionTimeout"),
        (&silent, "http", "20000 100 20000", "ConnectionReadTimeout"),
        (&slow, "http", "20000 20000 100", "ConnectionReadTimeout"),
    ] {
        is_refused(within(server, scheme, times), &[error]);
    }
    let good = Server::answering(|_| ok("hello"));
    let got = within(&good, "http", "20000 20000 20000").output();
    assert!(got.ends_with("hello"), "{got}");
}

#[test]
fn a_response_that_is_wrong_is_an_error() {
    let header = |length: usize| format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(length));
    let many = (0..200).fold(String::new(), |many, n| many + &format!("x-{n}: y\r\n"));
    for (response, error) in [
        (String::new(), "HttpResponseIncomplete"),
        ("HTTP/1.1 200".to_owned(), "HttpResponseIncomplete"),
        ("220 mail.example ESMTP\r\n".to_owned(), "HttpProtocolError"),
        (header(70_000), "HttpResponseHeaderSectionSize"),
        (
            format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
            "HttpResponseHeaderSectionSize",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort".to_owned(),
            "HttpResponseIncomplete",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(),
            "HttpProtocolError",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab".to_owned(),
            "HttpProtocolError",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab".to_owned(),
            "HttpResponseIncomplete",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nab"
                .to_owned(),
            "HttpProtocolError",
        ),
    ] {
        let shown: String = response.chars().take(100).collect();
        let server = Server::answering(move |_| response.clone());
        let stderr = is_refused(get(&server.url(), &server.granted()), &[]);
        assert!(stderr.contains(error), "{shown:?}: {stderr}");
    }
    let large = Server::answering(move |_| header(50_000));
    let got = get(&large.url(), &large.granted()).output();
    assert!(got.contains(&"a".repeat(50_000)));
}

#[test]
fn what_never_ends_ends_with_the_tasks_time_in_bounded_memory() {
    if !is_alone("http::badly::what_never_ends_ends_with_the_tasks_time_in_bounded_memory") {
        return;
    }
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let servers = [
        ("is silent", Server::then(|_| ())),
        (
            "sends a body without end",
            Server::then(|stream| without_end(stream, "HTTP/1.1 200 OK\r\n\r\n", "body")),
        ),
        (
            "sends chunks without end",
            Server::then(move |stream| without_end(stream, chunked, "4\r\nbody\r\n")),
        ),
        (
            "sends a body piece by piece",
            Server::then(|stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while stream.write_all(b"a").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }),
        ),
        // The guest goes on sending, and nobody reads.
        (
            "reads nothing",
            Server::new(|stream| {
                std::thread::sleep(Duration::from_secs(3));
                drop(stream);
            }),
        ),
    ];
    let cluster = cluster(1);
    let fetch = module("fetch");
    let measure = fetch.function::<&str, u64>("measure").expect("it has it");
    let upload = fetch.function::<(&str, u64), String>("upload");
    let upload = upload.expect("it has it");
    let of_03 = Module::from_file(wat("fetch-async")).expect("it is a module");
    let get = of_03.function::<(&str, &str), (u16, u64)>("get");
    let get = get.expect("it has it");
    let mut limits = Limits::default();
    limits.time = Duration::from_millis(500);
    let grants = Grants::none().net("127.0.0.1:*".parse().expect("a peer"));
    let view = cluster.load_balanced_view();
    let view = view.limits(limits).grants(grants).blocking();
    let good = Server::answering(|_| ok("hello"));
    assert_eq!(view.apply(&measure, &*good.url()).ok(), Some(5));
    // Engines for WASI 0.3 are made with the first task that wants one.
    let host = format!("127.0.0.1:{}", good.port);
    assert_eq!(view.apply(&get, (&*host, "/")).ok(), Some((200, 5)));
    let (before, files) = (memory("VmHWM"), open_files());
    for (what, server) in &servers {
        let error = if *what == "reads nothing" {
            let sent = view.apply(&upload, (&*server.url(), 1 << 40));
            sent.expect_err(what)
        } else {
            view.apply(&measure, &*server.url()).expect_err(what)
        };
        assert!(error.to_string().contains("time limit"), "{what}: {error}");
        until("its connection is closed", || server.open() == 0);
        let host = format!("127.0.0.1:{}", server.port);
        let error = view.apply(&get, (&*host, "/")).expect_err(what);
        assert!(error.to_string().contains("time limit"), "{what}: {error}");
        until("its connection is closed", || server.open() == 0);
        assert_eq!(view.apply(&measure, &*good.url()).ok(), Some(5), "{what}");
    }
    let grown = memory("VmHWM").saturating_sub(before) / MIB;
    assert!(grown < 32, "{grown} MiB more");
    until("its sockets are closed", || open_files() <= files);
}

#[test]
fn informational_responses_are_passed_over_and_cut_off() {
    const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n";
    let some = Server::answering(|_| HINT.repeat(100) + &ok("hello"));
    let got = get(&some.url(), &some.granted()).output();
    assert!(got.starts_with("200\n") && got.ends_with("hello"), "{got}");
    let endless = Server::then(|stream| without_end(stream, "", HINT));
    let call = get(&endless.url(), &endless.granted());
    is_refused(call, &["HttpResponseHeaderSectionSize"]);
    is_refused(get_by_03(&endless), &[": 26"]);
}

#[test]
fn headers_without_end_are_cut_off() {
    let server = Server::then(|stream| without_end(stream, "HTTP/1.1 200 OK\r\n", "x: y\r\n"));
    let call = get(&server.url(), &server.granted());
    is_refused(call, &["HttpResponseHeaderSectionSize"]);
    let one = Server::then(|stream| without_end(stream, "HTTP/1.1 200 OK\r\nx: ", "y"));
    let call = get(&one.url(), &one.granted());
    is_refused(call, &["HttpResponseHeaderSectionSize"]);
    let trailers = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
    let trailing = Server::then(move |stream| without_end(stream, trailers, "x: y\r\n"));
    let call = get(&trailing.url(), &trailing.granted());
    call.fails(11).expect_stderr_has(&["guest-error"]);
    // The 27th of the errors, in WASI 0.3.
    is_refused(get_by_03(&one), &[": 26"]);
}

#[test]
fn a_guest_has_a_bounded_number_of_requests() {
    let server = Server::answering(|_| ok("hello"));
    let at_once = |count: u32| {
        let arguments = format!("{} {count}", server.url());
        fetch("get-at-once", &arguments, &server.granted())
    };
    assert_eq!(at_once(32).output(), "32\n");
    is_refused(
        at_once(33),
        &["ConnectionLimitReached", "it had 32 HTTP requests going on"],
    );
    // Those that nobody is granted take no connection.
    let denied = fetch("get-at-once", &format!("{} 100", server.url()), "");
    is_refused(denied, &["HttpRequestDenied"]);
    at_once(300)
        .fails(11)
        .expect_stderr_has(&["memory-limit", "256 handles"]);
}

#[test]
fn what_a_guest_says_of_a_request_is_bounded() {
    for (lengths, may) in [
        ("64 512 16384", "true\n"),
        ("65 1 1", "false\n"),
        ("1 513 1", "false\n"),
        ("1 1 16385", "false\n"),
    ] {
        assert_eq!(fetch("may-say", lengths, "").output(), may, "{lengths}");
    }
    let long = format!("x: {}", "a".repeat(65_000));
    let server = Server::answering(|asked| ok(&asked.head.len().to_string()));
    let send = |header: &str| {
        let call = call("fetch").args(["send", "GET", &server.url(), header, ""]);
        call.typed(&server.granted())
    };
    assert!(send(&long).output().starts_with("200\n"));
    send(&format!("{long}{}", "a".repeat(1000)))
        .fails(11)
        .expect_stderr_has(&["memory-limit", "HTTP headers of more than 64KiB"]);
}
