//! Servers that are too old, too small, full, or not set up.

use super::member::Member;
use super::{Site, config, keys, refused, tool};
use crate::support::Server;
use async_nats::jetstream::context::PublishErrorKind;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};

/// A server that says of itself what it likes, and knows as much of the protocol as a client waits for.
fn stand_in(info: &'static str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client comes");
        let mut lines = BufReader::new(stream.try_clone().expect("it can be shared"));
        write!(stream, "INFO {info}\r\n").expect("the client listens");
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
            if line.starts_with("PING") && write!(stream, "PONG\r\n").is_err() {
                return;
            }
            line.clear();
        }
    });
    format!("nats://127.0.0.1:{port}")
}

#[test]
fn a_server_that_is_too_old_is_refused() {
    let url = stand_in(
        r#"{"server_id":"OLD","server_name":"OLD","version":"2.9.10","proto":1,"go":"go1.19.4","host":"0.0.0.0","port":4222,"headers":true,"max_payload":1048576,"jetstream":true,"client_id":5,"client_ip":"127.0.0.1"}"#,
    );
    refused(
        tool("init").arg(url),
        13,
        &["is version 2.9.10, but 2.11 or later is required"],
    );
}

#[test]
fn a_server_without_jetstream_is_refused() {
    let server = Server::configured("alone", "");
    refused(
        tool("init").arg(server.url()),
        13,
        &[
            "JetStream is disabled on the NATS server at",
            ": start it with `-js`",
        ],
    );
}

#[test]
fn an_account_without_jetstream_is_refused() {
    let dir = keys(&[]);
    let config = config(&dir, &[]);
    let enabled = "jetstream { max_streams: 32, max_consumers: 10000, max_mem: 0 }";
    assert!(config.contains(enabled), "{config}");
    let site = Site::configured(dir, &config.replace(enabled, "jetstream: disabled"));
    refused(
        site.init("admin"),
        13,
        &["JetStream is disabled for this account"],
    );
}

/// Whoever holds a key cannot use up the server's memory with subscriptions.
#[test]
fn a_connection_has_a_bounded_number_of_subscriptions() {
    const MOST: usize = 10_000;
    let site = Site::plain(&[]).set_up();
    Member::of(&site, "viewer").runs(async |mut viewer| {
        let mut heard = Vec::new();
        for number in 0..=MOST {
            let subject = format!("_INBOX_viewer.{number}");
            heard.push(viewer.client.subscribe(subject).await.expect("it is sent"));
        }
        viewer.is_denied("maximum subscriptions exceeded").await;
    });
}

#[test]
fn a_server_whose_messages_are_too_small_is_refused() {
    let site = Site::plain(&["--max-payload", "64KiB"]);
    refused(
        site.init("admin"),
        13,
        &["accepts messages of at most 64KiB, but 1MiB are required: raise `max_payload`"],
    );
}

#[test]
fn a_server_without_room_says_so_and_what_to_do() {
    let site = Site::plain(&["--max-store", "1GiB"]);
    refused(
        site.init("admin").typed("--max-bytes 10GiB"),
        13,
        &[
            "no room for stream RWC_TASKS, which may take 10GiB",
            "max_file_store",
            "--max-bytes",
        ],
    );
    // Nothing is left half done by it.
    site.set_up();
}

#[test]
fn a_server_that_was_not_set_up_says_so() {
    let site = Site::plain(&[]);
    for call in [site.run("client"), site.join("engine")] {
        refused(
            call,
            13,
            &[
                "the server has no stream RWC_TASKS: it is not set up as a cluster",
                "`rwasm-cluster init`",
            ],
        );
    }
}

#[test]
fn more_replicas_than_servers_are_refused() {
    let site = Site::plain(&[]);
    refused(
        site.init("admin").typed("--replicas 3 --max-bytes 10MiB"),
        13,
        &["stream RWC_TASKS cannot be kept on 3 servers"],
    );
    refused(
        site.init("admin").typed("--replicas 2"),
        2,
        &["write 1, 3 or 5"],
    );
    refused(
        site.init("admin").typed("--lane a.b"),
        2,
        &["expected at most 64 letters, digits"],
    );
}

#[test]
fn a_full_queue_refuses_and_loses_nothing() {
    const ROOM: u64 = 200_000;
    let site = Site::plain(&[]);
    site.init("admin")
        .arg("--max-bytes")
        .arg(ROOM.to_string())
        .output();
    let member = Member::of(&site, "client");
    member.runs(async |member| {
        let payload = bytes::Bytes::from(vec![7; 10_000]);
        let mut stored = 0;
        let error = loop {
            let subject = format!("rwc.t.main.mid.job.{stored}");
            let sent = member
                .js
                .publish(subject, payload.clone())
                .await
                .expect("it is sent");
            match sent.await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
            assert!(stored * 10_000 < ROOM, "it takes more than it has room for");
        };
        assert_eq!(error.kind(), PublishErrorKind::Other);
        assert!(
            error.to_string().contains("maximum bytes exceeded"),
            "{error}"
        );
        let mut stream = member
            .js
            .get_stream("RWC_TASKS")
            .await
            .expect("it is there");
        let state = &stream.info().await.expect("it is known").state;
        assert_eq!(state.messages, stored);
        assert_eq!(state.first_sequence, 1);
    });
}
