//! The client of `wasi:http`: requests to the peers that were granted and nobody else, with TLS by the host. What comes back is
//! not trusted, and everything ends with its task.
//!
//! The guest `fetch` is a core module that imports WASI 0.2, and `fetch-async` a component of 0.3.

mod badly;
mod servers;

use crate::support::{Cli, call, file, folder, guest, inspect, only_here, program, wat};
use servers::{Authority, Server, drain, ok};
use std::io::Write as _;

/// Calls the guest's function with these arguments, and these options of what it may reach.
fn fetch(function: &str, arguments: &str, options: &str) -> Cli {
    call("fetch")
        .arg(function)
        .typed(arguments)
        .typed(options)
        .typed("--timeout 20s")
}

/// What there is at the URL.
fn get(url: &str, options: &str) -> Cli {
    fetch("get", url, options)
}

/// It fails with this error of its own.
#[track_caller]
fn is_refused(call: Cli, parts: &[&str]) -> String {
    let ended = call.fails(11).expect_stderr_has(&["guest-error"]);
    ended.expect_stderr_has(parts).stderr
}

#[test]
fn a_request_and_its_response_arrive() {
    let server = Server::answering(|asked| {
        let head = asked.head.replace("\r\n", "\n");
        format!(
            "HTTP/1.1 201 Created\r\nx-answer: yes\r\nconnection: close\r\n\r\n{head}\n{}",
            asked.body
        )
    });
    let (url, net) = (server.url(), server.granted());
    let got = get(&format!("{url}/a/b?c=d"), &net).output();
    let host = format!("host: 127.0.0.1:{}", server.port);
    // What belongs to the connection does not reach the guest.
    assert_eq!(
        got,
        format!("201\nx-answer: yes\n\nGET /a/b?c=d HTTP/1.1\n{host}\n")
    );
    let send = |method: &str, header: &str, body: &str| {
        let call = call("fetch").args(["send", method, &url, header, body]);
        call.typed(&net).output()
    };
    let sent = send("POST", "x-asks: please", "hello");
    for part in [
        "POST / HTTP/1.1\n",
        "x-asks: please\n",
        "content-length: 5\n",
        "\nhello",
    ] {
        assert!(sent.contains(part), "{part:?} in {sent}");
    }
    assert!(send("PURGE", "", "").contains("PURGE / HTTP/1.1\n"));
    let long = fetch("upload", &format!("{url} 3000000"), &net).output();
    assert!(long.ends_with(&"a".repeat(3_000_000)), "{}", long.len());
    // A peer that is granted by its name is asked by its name.
    let by_name = format!("localhost:{}", server.port);
    let got = get(&format!("http://{by_name}"), &format!("--net {by_name}")).output();
    assert!(got.contains(&format!("host: {by_name}")), "{got}");
}

#[test]
fn wasi_03_sends_requests_too() {
    let server = Server::answering(|_| ok("twelve bytes"));
    let get = |options: &str| {
        let call = program().arg("call").arg(wat("fetch-async")).arg("get");
        let call = call.arg(format!("127.0.0.1:{}", server.port)).arg("/a");
        call.typed(options).typed("--timeout 20s")
    };
    assert_eq!(get(&server.granted()).output(), "200\t12\n");
    assert_eq!(server.came(), 1);
    let net = format!("--net 127.0.0.1:{}", server.port);
    // The sixteenth of the errors: the request is denied.
    is_refused(get(""), &["15", &net]);
    is_refused(get("--deterministic"), &["15", &net]);
    assert_eq!(server.came(), 1);
}

#[test]
fn a_redirect_is_an_answer_like_any_other() {
    let other = Server::answering(|_| ok("elsewhere"));
    let place = other.url();
    let server = Server::answering(move |_| {
        format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n")
    });
    let net = format!("{} {}", server.granted(), other.granted());
    let got = get(&server.url(), &net).output();
    assert!(got.starts_with("302\n"), "{got}");
    assert!(got.contains(&format!("location: {}", other.url())), "{got}");
    assert_eq!(other.came(), 0);
}

#[test]
fn no_proxy_is_asked() {
    let proxy = Server::answering(|_| ok("from the proxy"));
    let server = Server::answering(|_| ok("from the server"));
    let net = format!("{} {}", server.granted(), proxy.granted());
    let mut call = get(&server.url(), &net);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        call = call.env(name, proxy.url());
        call = call.arg("--env").arg(format!("{name}={}", proxy.url()));
    }
    assert!(call.output().ends_with("from the server"));
    assert_eq!(proxy.came(), 0);
}

#[test]
fn certificates_are_those_that_the_host_trusts() {
    if only_here("the host that trusts them is the engine's") {
        return;
    }
    let authority = Authority::of(&["localhost", "127.0.0.1"]);
    let server = Server::secure(&authority, |_| ok("in secret"));
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}", server.port);
        let net = format!("--net {host}:{}", server.port);
        let got = get(&url, &net).env("SSL_CERT_FILE", &authority.trusted);
        assert!(got.output().ends_with("in secret"), "{host}");
        // Nor does a guest choose whom to trust.
        let own = format!("{net} --env SSL_CERT_FILE={}", authority.trusted.display());
        let unknown = get(&url, &own).env("SSL_CERT_FILE", "/nowhere");
        is_refused(unknown, &["TlsCertificateError"]);
    }
    let other = Authority::of(&["other.example"]);
    let server = Server::secure(&other, |_| ok("in secret"));
    let url = format!("https://127.0.0.1:{}", server.port);
    let wrong = get(&url, &server.granted()).env("SSL_CERT_FILE", &other.trusted);
    is_refused(wrong, &["TlsCertificateError"]);

    let plain = Server::new(|mut stream| {
        // What it hears is no request to it.
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        drain(stream);
    });
    let url = format!("https://127.0.0.1:{}", plain.port);
    is_refused(get(&url, &plain.granted()), &["TlsProtocolError"]);
}

#[test]
fn every_other_peer_is_refused_and_named() {
    let server = Server::answering(|_| ok("hello"));
    let other = Server::answering(|_| ok("hello"));
    let net = server.granted();
    for (peer, hint) in [
        (
            format!("127.0.0.1:{}", other.port),
            format!("127.0.0.1:{}", other.port),
        ),
        (
            format!("localhost:{}", server.port),
            format!("localhost:{}", server.port),
        ),
        (
            format!("LocalHost.:{}", server.port),
            format!("localhost:{}", server.port),
        ),
        ("127.0.0.1".to_owned(), "127.0.0.1:80".to_owned()),
        ("[::1]:81".to_owned(), "[::1]:81".to_owned()),
        (
            "169.254.169.254".to_owned(),
            "169.254.169.254:80".to_owned(),
        ),
    ] {
        for net in [&*net, ""] {
            let parts = [
                "HttpRequestDenied",
                &format!("access to the peer {hint} was denied (grant it with --net {hint})"),
            ];
            is_refused(get(&format!("http://{peer}/latest"), net), &parts);
        }
    }
    let secure = get("https://db.example", &net);
    is_refused(secure, &["HttpRequestDenied", "--net db.example:443"]);
    // A name is granted with its port, whatever else is granted at its address.
    let elsewhere = format!("--net localhost:{}", other.port);
    let call = get(&format!("http://localhost:{}", server.port), &elsewhere);
    is_refused(call, &["HttpRequestDenied"]);
    let missing = get(
        "http://no-such-host.invalid",
        "--net no-such-host.invalid:80",
    );
    is_refused(
        missing,
        &["DnsError", "`no-such-host.invalid` has no address"],
    );
    for odd in ["me@127.0.0.1", "127.1", "a..b", "127.0.0.1:http"] {
        let call = get(&format!("http://{odd}/"), "--net 127.0.0.1:*");
        is_refused(call, &["HttpRequestUriInvalid"]);
    }
    is_refused(
        get("ftp://127.0.0.1", "--net 127.0.0.1:*"),
        &["HttpProtocolError"],
    );
    assert_eq!((server.came(), other.came()), (0, 0));
}

#[test]
fn a_peer_that_is_not_there_is_an_error_of_the_guests_own() {
    let nobody = super::network::peers::nobody();
    let call = get(
        &format!("http://127.0.0.1:{nobody}"),
        &format!("--net 127.0.0.1:{nobody}"),
    );
    let stderr = is_refused(call, &["ConnectionRefused"]);
    assert!(!stderr.contains("--net"), "{stderr}");
}

#[test]
fn deterministic_tasks_reach_nobody() {
    let server = Server::answering(|_| ok("hello"));
    let denied = get(&server.url(), "--deterministic");
    is_refused(denied, &["HttpRequestDenied"]);
    get(&server.url(), &server.granted())
        .arg("--deterministic")
        .fails(2)
        .expect_stderr_has(&["deterministic", "network"]);
    assert_eq!(server.came(), 0);
}

#[test]
fn what_frames_a_request_is_the_hosts_affair() {
    let server = Server::answering(|asked| ok(&asked.head));
    for header in [
        "host: elsewhere",
        "connection: upgrade",
        "transfer-encoding: chunked",
        "upgrade: h2c",
        "proxy-authorization: x",
    ] {
        let call = call("fetch").args(["send", "GET", &server.url(), header, ""]);
        is_refused(call.typed(&server.granted()), &["Forbidden"]);
    }
    for header in ["a b: c", "x: a\r\nhost: elsewhere"] {
        let call = call("fetch").args(["send", "GET", &server.url(), header, ""]);
        is_refused(call.typed(&server.granted()), &["InvalidSyntax"]);
    }
    assert_eq!(server.came(), 0);
}

#[test]
fn a_server_is_no_task() {
    /// Exports the function by which components of 0.2 answer requests.
    const SERVER: &str = r#"(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))
  (core module $code (func (export "handle") (param i32 i32)))
  (core instance $code (instantiate $code))
  (func $handle (param "request" (own $request)) (param "out" (own $out))
    (canon lift (core func $code "handle")))
  (component $handler
    (import "incoming-request" (type $request (sub resource)))
    (import "response-outparam" (type $out (sub resource)))
    (import "f" (func $f (param "request" (own $request)) (param "out" (own $out))))
    (export "handle" (func $f)))
  (instance $handler (instantiate $handler
    (with "incoming-request" (type $request)) (with "response-outparam" (type $out))
    (with "f" (func $handle))))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#;
    let dir = folder();
    let server = file(&dir, "server.wat", SERVER);
    let why = "it answers HTTP requests, as a server does, and a task is called with values";
    let text = inspect(&server).output();
    assert!(text.contains(why), "{text}");
    let call = program().arg("call").arg(&server).arg("handle").end();
    assert!(call.stderr.contains(why), "{}", call.stderr);
}

#[test]
fn inspect_says_that_it_may_use_the_network() {
    for module in [guest("fetch"), wat("fetch-async")] {
        let ended = inspect(&module).typed("--format json").end();
        let facts = ended.expect_code(0).json();
        let may_use = facts["may_use"].as_array().expect("a list");
        assert!(may_use.iter().any(|need| need == "network"), "{may_use:?}");
        let text = inspect(&module).output();
        assert!(!text.contains("not offered"), "{text}");
        assert!(text.contains("network (--net)"), "{text}");
    }
}
