//! Messages and objects that no client of ours would send, from somebody whom the server lets send them: an engine process
//! bounds what they cost it, and goes on for everybody else.

use super::engine::EngineProcess;
use super::{PATIENCE, assets, connect, server};
use crate::support::{SOON, numbers};
use async_nats::jetstream::{self, consumer::PullConsumer};
use futures_util::{StreamExt as _, TryStreamExt as _};
use rwasm_cluster::Cluster;
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// What is there of a message: its head, and its body.
type Message = (Json, Vec<u8>);

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend(bytes);
}

/// A number at the beginning of `bytes`, and how many bytes it has.
fn number(bytes: &[u8]) -> (usize, usize) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0);
    let len = end.expect("it ends") + 1;
    let value = bytes[..len].iter().rev();
    let value = value.fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    (value, len)
}

fn framed((head, body): &Message) -> Vec<u8> {
    let mut out = vec![2];
    put_bytes(&mut out, head.to_string().as_bytes());
    out.extend(body);
    out
}

fn unframed(message: &[u8]) -> Message {
    let (len, begin) = number(&message[1..]);
    let head = &message[1 + begin..][..len];
    let body = message[1 + begin + len..].to_vec();
    (
        serde_json::from_slice(head).expect("its head is JSON"),
        body,
    )
}

/// Somebody who talks to the server past any client.
struct Raw {
    js: jetstream::Context,
}

impl Raw {
    async fn connect(url: &str) -> Self {
        let client = async_nats::connect(url).await.expect("it connects");
        Self {
            js: jetstream::new(client),
        }
    }

    /// A message as clients send it, which is in the queue.
    async fn sent(&self) -> Message {
        let stream = self.js.get_stream("RWC_TASKS").await.expect("it is there");
        let begun = Instant::now();
        loop {
            // A call is submitted before the server has its message.
            match stream.get_raw_message(1).await {
                Ok(message) => return unframed(&message.payload),
                Err(error) => assert!(begun.elapsed() < PATIENCE, "it is not stored: {error}"),
            }
        }
    }

    async fn send(&self, job: &str, message: &Message) {
        let subject = format!("rwc.t.main.mid.{job}.1");
        let sent = self.js.publish(subject, framed(message).into()).await;
        sent.expect("it is sent").await.expect("it is stored");
    }

    async fn store(&self, bucket: &str, name: &str, bytes: &[u8]) {
        let objects = self.js.get_object_store(bucket).await;
        let objects = objects.expect("it is there");
        let stored = objects.put(name, &mut &bytes[..]).await;
        stored.expect("it is stored");
    }

    /// Takes each message that waits, and gives it back.
    async fn take_once(&self) {
        let stream = self.js.get_stream("RWC_TASKS").await.expect("it is there");
        let names: Vec<String> = stream.consumer_names().try_collect().await.expect("a list");
        for name in names {
            let consumer: PullConsumer = stream.get_consumer(&name).await.expect("it is there");
            let waiting = consumer.fetch().max_messages(100).messages().await;
            let mut waiting = waiting.expect("it gives what it has");
            while let Some(message) = waiting.next().await {
                let message = message.expect("it arrives");
                let given = message.ack_with(jetstream::AckKind::Nak(None)).await;
                given.expect("it is given back");
            }
        }
    }

    /// What became of the message of a job, and its failures as text.
    async fn result(&self, job: &str) -> Message {
        let stream = self.js.get_stream("RWC_RESULTS").await;
        let stream = stream.expect("it is there");
        let subject = format!("rwc.r.{job}.1");
        let result = async {
            loop {
                match stream.get_last_raw_message_by_subject(&subject).await {
                    Ok(message) => return unframed(&message.payload),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        timeout(SOON, result).await.expect("it has a result")
    }
}

/// Has somebody do this on a server, with a message that a client has sent; then a process of two engines joins, and works
/// for others after it had to do with that.
fn survives(
    client: impl FnOnce(&Cluster),
    act: impl AsyncFnOnce(&Raw, Message),
    look: impl AsyncFnOnce(&Raw),
) {
    let server = server(&assets(SOON));
    let cluster = connect(server.url());
    client(&cluster);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let raw = runtime.block_on(async {
        let raw = Raw::connect(server.url()).await;
        let message = raw.sent().await;
        act(&raw, message).await;
        raw
    });
    let mut engine = EngineProcess::join(server.url(), "-n 2");
    runtime.block_on(look(&raw));
    let view = cluster.load_balanced_view().blocking();
    assert_eq!(view.apply(&numbers().add_one, 1).expect("a value"), 2);
    assert!(engine.is_alive() && !engine.is_busy());
}

#[test]
fn a_ledger_that_is_none_is_not_believed() {
    let part = |tasks: u64| json!({"tasks": tasks, "lost": 0});
    let ledgers = [
        json!([part(u64::MAX)]),
        json!([part(1), part(99), part(u64::MAX)]),
        json!([part(1), part(1)]),
        json!([part(0)]),
        Json::Null,
    ];
    survives(
        |cluster| {
            let task = cluster
                .load_balanced_view()
                .try_submit(&numbers().add_one, 1);
            // It stays in the queue.
            std::mem::forget(task.expect("it is submitted"));
        },
        async |raw, (mut head, body)| {
            // Suspect once it was given to somebody.
            head["deliveries"] = 1.into();
            for (place, left) in ledgers.iter().enumerate() {
                let job = format!("forged{place}");
                let ledger = json!({"doing": "Running", "lost": 0, "left": left});
                let ledger = framed(&(ledger, Vec::new()));
                raw.store("RWC_BLOBS", &format!("l/{job}/1.1"), &ledger)
                    .await;
                raw.send(&job, &(head.clone(), body.clone())).await;
            }
            raw.take_once().await;
        },
        async |raw| {
            for place in 0..ledgers.len() {
                let (result, _) = raw.result(&format!("forged{place}")).await;
                assert_eq!(result["count"], 1, "{result}");
            }
        },
    );
}

/// The body of a message of chunks that are in this object.
fn chunks(count: u64, object: &str, length: u64) -> Vec<u8> {
    let mut body = Vec::new();
    put_number(&mut body, count);
    for index in 0..count {
        put_number(&mut body, index);
        body.extend([0, 0, 3]);
        put_bytes(&mut body, b"in");
        body.extend([0, 0, 0]);
        put_number(&mut body, length);
        put_bytes(&mut body, format!("{object}{index}").as_bytes());
    }
    body
}

#[test]
fn objects_that_a_message_names_are_bounded() {
    const LARGE: u64 = 30 << 20;
    survives(
        |cluster| {
            let view = cluster.load_balanced_view();
            let task = view.try_submit(&numbers().length, &[1]);
            std::mem::forget(task.expect("it is submitted"));
        },
        // No object is stored: what there would be is too much.
        async |raw, (head, _)| raw.send("many", &(head, chunks(9, "none", LARGE))).await,
        async |raw| {
            let (head, body) = raw.result("many").await;
            assert_eq!(head["failures"], 9, "{head}");
            let text = String::from_utf8_lossy(&body);
            let wanted = "have 283115520 bytes, more than the 256MiB";
            assert!(text.contains(wanted), "{text}");
        },
    );
}
