//! `--net`: the peers that were granted and nobody else, by TCP, UDP and the look-up of names.
//!
//! The guest `dial` is a core module that imports WASI's sockets, and becomes a component for it.

pub(crate) mod peers;

use crate::support::{
    Cli, call, cluster, guest, is_alone, module, only_in_threads, open_files, program, until,
};
use peers::{Silent, echo_datagrams, echo_streams, stranger};
use rwasm_cluster::{Grants, Limits};
use std::time::Duration;

/// Calls the guest's function with these arguments, and these options of what it may reach.
fn dial(function: &str, arguments: &str, options: &str) -> Cli {
    call("dial")
        .arg(function)
        .typed(arguments)
        .typed(options)
        .typed("--timeout 20s")
}

#[track_caller]
fn is_refused(function: &str, arguments: &str, options: &str, parts: &[&str]) -> String {
    let ended = dial(function, arguments, options).fails(11);
    let ended = ended.expect_stderr_has(&["guest-error"]);
    ended.expect_stderr_has(parts).stderr
}

#[test]
fn a_granted_peer_is_reached() {
    let port = echo_streams();
    for (peer, net) in [
        ("127.0.0.1", format!("127.0.0.1:{port}")),
        ("127.0.0.1", "127.0.0.1:*".to_owned()),
        ("localhost", format!("localhost:{port}")),
        // By an address that a granted name has.
        ("127.0.0.1", format!("LocalHost:{port}")),
        ("127.0.0.1", format!("[::ffff:127.0.0.1]:{port}")),
        ("127.0.0.1", format!("10.0.0.1:1,127.0.0.1:{port}")),
    ] {
        let answer = dial(
            "tcp",
            &format!("{peer} {port} hello"),
            &format!("--net {net}"),
        );
        assert_eq!(answer.output(), "hello", "{net}");
    }
    let answer = dial("tcp", &format!("127.0.0.1 {port} hello"), "")
        .env("RWASM_NET", format!("127.0.0.1:{port}"));
    assert_eq!(answer.output(), "hello");

    let port = echo_datagrams();
    let net = format!("--net 127.0.0.1:{port}");
    for function in ["udp", "udp-connected"] {
        let answer = dial(function, &format!("127.0.0.1 {port} hello"), &net);
        assert_eq!(answer.output(), "hello", "{function}");
    }
}

#[test]
fn every_other_peer_is_refused() {
    let port = echo_streams();
    let other = echo_streams();
    let net = format!("--net 127.0.0.1:{port}");
    for peer in [
        format!("127.0.0.1 {other}"),
        format!("127.0.0.2 {port}"),
        format!("::1 {port}"),
        "169.254.169.254 80".to_owned(),
    ] {
        let hint = peer.replacen(' ', ":", usize::from(!peer.starts_with(':')));
        let parts: &[&str] = if peer.starts_with(':') {
            &["access-denied", "--net [::1]:"]
        } else {
            &[
                "access-denied",
                "access to the peer",
                &format!("--net {hint}"),
            ]
        };
        is_refused("tcp", &format!("{peer} hello"), &net, parts);
        is_refused("udp", &format!("{peer} hello"), &net, &["access-denied"]);
        is_refused(
            "udp-connected",
            &format!("{peer} hello"),
            &net,
            &["access-denied"],
        );
    }
    // An address of IPv4 in the clothes of IPv6 is none that a socket takes.
    let mapped = format!("::ffff:127.0.0.1 {port} hello");
    is_refused("tcp", &mapped, &net, &["invalid-argument"]);
}

#[test]
fn nothing_is_granted_unless_it_is_said() {
    let port = echo_streams();
    let network = "access to the network was denied (grant it with --net HOST:PORT)";
    let peer = format!(
        "access to the peer 127.0.0.1:{port} was denied (grant it with --net 127.0.0.1:{port})"
    );
    // A worker without a grant has no socket at all that could name the peer.
    let has_socket = !only_in_threads("the peer that was refused is named");
    for (function, hint) in [
        ("tcp", if has_socket { &*peer } else { network }),
        ("udp", network),
        ("udp-connected", network),
    ] {
        let arguments = format!("127.0.0.1 {port} hello");
        is_refused(function, &arguments, "", &["access-denied", hint]);
        is_refused(
            function,
            &format!("localhost {port} hello"),
            "",
            &["access-denied", "(grant it with --net "],
        );
    }
    is_refused(
        "look-up",
        "localhost",
        "",
        &["access-denied", "--net localhost:PORT"],
    );
    // One that reaches nobody, so that the peer can be named.
    if has_socket {
        assert_eq!(dial("sockets", "1", "").output(), "1\n");
    }
    is_refused("sockets", "2", "", &["access-denied", network]);
    let peer = format!("--net [::1]:{port}");
    let hint = if has_socket { &*peer } else { network };
    is_refused("tcp", &format!("::1 {port} hello"), "", &[hint]);
}

#[test]
fn names_are_looked_up_where_they_are_granted() {
    let port = echo_streams();
    let found = dial("look-up", "localhost", &format!("--net localhost:{port}")).output();
    assert!(found.lines().any(|line| line == "127.0.0.1"), "{found}");
    // The root's dot and capitals make no other name of it.
    let found = dial("look-up", "LOCALHOST.", &format!("--net localhost:{port}")).output();
    assert!(found.lines().any(|line| line == "127.0.0.1"), "{found}");
    // An address needs no look-up.
    assert_eq!(dial("look-up", "192.0.2.1", "").output(), "192.0.2.1\n");
    assert_eq!(dial("look-up", "[::1]", "").output(), "::1\n");

    // An address grants no name, even one that has it.
    let by_address = format!("--net 127.0.0.1:{port}");
    let parts = ["access-denied", "access to the name `localhost` was denied"];
    is_refused("look-up", "localhost", &by_address, &parts);
    is_refused(
        "tcp",
        &format!("localhost {port} hello"),
        &by_address,
        &parts,
    );
    let other = [
        "access-denied",
        "access to the name `host.example.com` was denied",
    ];
    is_refused("look-up", "Host.Example.com", &by_address, &other);
    for odd in ["", "a..b", "127.1", "0x7f000001", "2130706433", "a b"] {
        let ended = call("dial")
            .arg("look-up")
            .arg(odd)
            .typed(&by_address)
            .fails(11);
        ended.expect_stderr_has(&["guest-error"]);
    }
    // That a name has no address is known when a task asks for it, and not before.
    let missing = "--net no-such-host.invalid:80";
    let parts = ["name-unresolvable", "`no-such-host.invalid` has no address"];
    is_refused("look-up", "no-such-host.invalid", missing, &parts);
    let numbers = call("numbers").typed("fib 10").typed(missing);
    assert_eq!(numbers.output(), "55\n");
}

#[test]
fn nobody_is_served() {
    let net = "--net 127.0.0.1:*";
    for place in ["127.0.0.1 0", "0.0.0.0 0", "127.0.0.1 8000", ":: 0"] {
        is_refused("listen", place, net, &["access-denied"]);
    }
    for place in ["127.0.0.1 0", "0.0.0.0 8000", "::1 0"] {
        is_refused("bind-udp", place, net, &["access-denied"]);
    }
    dial("bind-udp", "0.0.0.0 0", net).output();
}

#[test]
fn datagrams_of_strangers_do_not_arrive() {
    // The peer tells a stranger the guest's port; it sends there before the peer does.
    let port = stranger();
    let net = format!("--net 127.0.0.1:{port}");
    let heard = dial("udp-receive", &format!("127.0.0.1 {port}"), &net).output();
    assert_eq!(heard, "from the peer");
}

#[test]
fn an_error_of_the_peer_is_the_guests_own() {
    let port = peers::nobody();
    let net = format!("--net 127.0.0.1:{port}");
    let stderr = is_refused(
        "tcp",
        &format!("127.0.0.1 {port} hello"),
        &net,
        &["connection-refused"],
    );
    assert!(!stderr.contains("--net"), "{stderr}");
}

#[test]
fn what_hangs_ends_with_the_tasks_time_and_its_sockets_with_it() {
    if !is_alone("network::what_hangs_ends_with_the_tasks_time_and_its_sockets_with_it") {
        return;
    }
    let silent = Silent::new();
    let cluster = cluster(1);
    let dial = module("dial");
    let tcp = dial.function::<(&str, u16, &str), String>("tcp");
    let receive = dial.function::<(&str, u16), String>("udp-receive");
    let (tcp, receive) = (tcp.expect("it has it"), receive.expect("it has it"));
    let mut limits = Limits::default();
    limits.time = Duration::from_millis(300);
    let grants = Grants::none().net(
        format!("127.0.0.1:{}", silent.port())
            .parse()
            .expect("a peer"),
    );
    let view = cluster.load_balanced_view();
    let view = view.limits(limits).grants(grants).blocking();
    let mut before = None;
    for round in 0..4 {
        for error in [
            view.apply(&tcp, ("127.0.0.1", silent.port(), "hello"))
                .expect_err("it hangs"),
            view.apply(&receive, ("127.0.0.1", silent.port()))
                .expect_err("it hangs"),
        ] {
            assert!(error.to_string().contains("time limit"), "{error}");
        }
        silent.forget();
        if round == 0 {
            // Behind a boundary, the engine has a spare worker from then on.
            continue;
        }
        let before = *before.get_or_insert_with(open_files);
        until("its sockets are closed", || open_files() <= before);
    }
}

#[test]
fn sockets_are_bounded() {
    let net = "--net 127.0.0.1:9";
    assert_eq!(dial("sockets", "200", net).output(), "200\n");
    dial("sockets", "300", net)
        .fails(11)
        .expect_stderr_has(&["256 handles", "--limit handles=N"]);
    let few = dial("sockets", "20", net).typed("--limit handles=10");
    few.fails(11).expect_stderr_has(&["10 handles"]);
    let many = dial("sockets", "300", net).typed("--limit handles=400");
    assert_eq!(many.output(), "300\n");
}

#[test]
fn a_grant_that_is_none_is_refused_at_once() {
    for odd in [
        "127.0.0.1",
        "localhost:0",
        "::1:80",
        "a b:80",
        "*:80",
        "host:http",
    ] {
        dial("look-up", "localhost", "")
            .arg(format!("--net={odd}"))
            .fails(2)
            .expect_stderr_has(&["HOST:PORT", "[::1]"]);
    }
    dial("look-up", "localhost", "--net localhost:80 --deterministic")
        .fails(2)
        .expect_stderr_has(&["deterministic", "network"]);
}

#[test]
fn a_project_file_grants_nothing() {
    let dir = crate::support::folder();
    crate::support::file(&dir, "rwasm.toml", "net = [\"127.0.0.1:80\"]\n");
    program()
        .arg("call")
        .arg(guest("dial"))
        .typed("look-up localhost")
        .in_dir(dir.path())
        .fails(2);
}
