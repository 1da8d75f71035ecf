//! What the work of each role needs at the server, request by request: all of it is permitted.

use super::member::{Connected, Member};
use super::{AT_ONCE, Site};
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use bytes::Bytes;
use futures_util::StreamExt;
use std::time::Duration;

#[test]
fn every_role_may_do_its_work() {
    let site = Site::encrypted().set_up();
    let (client, engine, viewer) = (
        Member::of(&site, "client"),
        Member::of(&site, "engine"),
        Member::of(&site, "viewer"),
    );
    client.runs(async |mut client| {
        let mut engine = engine.connect().await;
        let mut viewer = viewer.connect().await;
        soon("joining", joins(&engine)).await;
        soon("submitting", submits(&client)).await;
        let mut notes = client
            .client
            .subscribe("rwc.n.job")
            .await
            .expect("it may hear");
        let mut results = client
            .client
            .subscribe("rwc.r.job.*")
            .await
            .expect("it may hear");
        client.is_heard().await;
        Box::pin(soon("working", works(&engine))).await;
        let result = tokio::time::timeout(AT_ONCE, results.next()).await;
        assert!(result.expect("it is heard").is_some());
        let note = tokio::time::timeout(AT_ONCE, notes.next()).await;
        assert!(note.expect("it is heard").is_some());
        Box::pin(soon("collecting", collects(&client))).await;
        soon("asking", is_asked(&client, &engine)).await;
        soon("looking on", looks_on(&viewer)).await;
        soon("cleaning up", cleans_up(&client)).await;
        let leaves = engine
            .js
            .get_key_value("RWC_ENGINES")
            .await
            .expect("it is there");
        leaves.delete("process").await.expect("it leaves");
        for member in [&mut client, &mut engine, &mut viewer] {
            member.was_permitted_everything().await;
        }
    });
}

/// What waits for a permission that is missing waits for long.
async fn soon(what: &str, act: impl Future<Output = ()>) {
    const LONG: Duration = Duration::from_secs(30);
    let ended = tokio::time::timeout(LONG, act).await;
    ended.unwrap_or_else(|_| panic!("{what} does not come to an end"));
}

/// An engine says that it is there, under an id that nobody had.
async fn joins(engine: &Connected) {
    let ids = engine
        .js
        .get_key_value("RWC_IDS")
        .await
        .expect("the bucket");
    for next in 1..3 {
        let entry = ids.entry("engine").await.expect("it may look");
        let revision = entry.map_or(0, |entry| entry.revision);
        let value = Bytes::from(next.to_string());
        ids.update("engine", value, revision)
            .await
            .expect("it takes one");
    }
    let present = engine
        .js
        .get_key_value("RWC_ENGINES")
        .await
        .expect("the bucket");
    for _ in 0..2 {
        present
            .put("process", "{}".into())
            .await
            .expect("it is there");
    }
}

/// A client stores a module, an input, the record of a job and its task.
async fn submits(client: &Connected) {
    for (bucket, name) in [("RWC_MODULES", "hash"), ("RWC_BLOBS", "job/i/0")] {
        let store = client.js.get_object_store(bucket).await.expect("the store");
        assert!(store.info(name).await.is_err(), "there is none so far");
        let bytes = vec![7; 3_000_000];
        let mut bytes: &[u8] = &bytes;
        store.put(name, &mut bytes).await.expect("it is stored");
        store.info(name).await.expect("it is there");
    }
    let jobs = client
        .js
        .get_key_value("RWC_JOBS")
        .await
        .expect("the bucket");
    let revision = jobs
        .create("job", "submitting".into())
        .await
        .expect("it is new");
    client
        .js
        .publish("rwc.t.main.mid.job.0", "a task".into())
        .await
        .expect("it is sent")
        .await
        .expect("it is stored");
    jobs.update("job", "queued".into(), revision)
        .await
        .expect("it is changed");
    let queue: PullConsumer = client
        .js
        .get_consumer_from_stream("main-mid", "RWC_TASKS")
        .await
        .expect("it may see what waits");
    assert_eq!(queue.cached_info().num_pending, 1);
}

/// An engine takes a task, keeps it, gives it back, takes it again, stores its result and acknowledges it.
async fn works(engine: &Connected) {
    let mut cancelled = engine
        .client
        .subscribe("rwc.c.*")
        .await
        .expect("it may hear");
    let queue: PullConsumer = engine
        .js
        .get_consumer_from_stream("main-mid", "RWC_TASKS")
        .await
        .expect("it may take tasks");
    let next = async || {
        let mut batch = queue
            .fetch()
            .max_messages(1)
            .expires(AT_ONCE)
            .messages()
            .await
            .expect("it asks");
        batch
            .next()
            .await
            .expect("there is one")
            .expect("it is one")
    };
    let task = next().await;
    task.ack_with(AckKind::Progress).await.expect("it keeps it");
    task.ack_with(AckKind::Nak(None))
        .await
        .expect("it gives it back");
    let task = next().await;
    assert_eq!(task.info().expect("it is a task").delivered, 2);
    for (bucket, name) in [("RWC_MODULES", "hash"), ("RWC_BLOBS", "job/i/0")] {
        assert_eq!(engine.reads_object(bucket, name).await, 3_000_000);
    }
    let blobs = engine
        .js
        .get_object_store("RWC_BLOBS")
        .await
        .expect("the store");
    let bytes = vec![8; 2_000_000];
    let mut bytes: &[u8] = &bytes;
    blobs
        .put("job/o/0", &mut bytes)
        .await
        .expect("it is stored");
    engine
        .client
        .publish("rwc.n.job", "half done".into())
        .await
        .expect("it is sent");
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
    let stored = engine
        .js
        .publish_with_headers("rwc.r.job.0", headers, "a result".into());
    stored
        .await
        .expect("it is sent")
        .await
        .expect("it is stored");
    task.double_ack().await.expect("it is done");
    cancelled.unsubscribe().await.expect("it hears no more");
}

/// A client reads the results in order and by name, and a large one.
async fn collects(client: &Connected) {
    let found = client.reads("RWC_RESULTS", "rwc.r.job.*").await;
    let found: Vec<&[u8]> = found.iter().map(|one| &*one.payload).collect();
    assert_eq!(found, [b"a result"]);
    let results = client
        .js
        .get_stream("RWC_RESULTS")
        .await
        .expect("the stream");
    let one = results
        .direct_get_last_for_subject("rwc.r.job.0")
        .await
        .expect("it is there");
    assert_eq!(one.payload, "a result");
    results.direct_get(one.sequence).await.expect("it is there");
    let of_leader = results
        .get_last_raw_message_by_subject("rwc.r.job.0")
        .await
        .expect("it is there");
    assert_eq!(of_leader.sequence, one.sequence);
    assert_eq!(client.reads_object("RWC_BLOBS", "job/o/0").await, 2_000_000);
}

/// A client finds an engine and asks it, and it answers; an engine that is not there is no time-out.
async fn is_asked(client: &Connected, engine: &Connected) {
    looks_at_engines(client).await;
    let mut changes = client
        .client
        .subscribe("$KV.RWC_ENGINES.*")
        .await
        .expect("it may watch");
    client.is_heard().await;
    let present = engine
        .js
        .get_key_value("RWC_ENGINES")
        .await
        .expect("the bucket");
    present
        .put("process", "{}".into())
        .await
        .expect("it is there");
    let first = tokio::time::timeout(AT_ONCE, changes.next())
        .await
        .expect("it comes");
    assert_eq!(first.expect("there is one").payload, "{}");
    for order in ["exec", "control"] {
        let subject = format!("rwc.e.process.{order}");
        let mut orders = engine
            .client
            .subscribe(subject.clone())
            .await
            .expect("it may hear");
        engine.is_heard().await;
        let answers = async {
            let asked = orders.next().await.expect("it is asked");
            let reply = asked.reply.expect("an answer is wanted");
            engine
                .client
                .publish(reply, "accepted".into())
                .await
                .expect("it answers");
        };
        let asks = client.client.request(subject, "please".into());
        let (answer, ()) = tokio::join!(asks, answers);
        assert_eq!(answer.expect("it is answered").payload, "accepted");
    }
    let absent = client
        .client
        .request("rwc.e.absent.exec", "please".into())
        .await;
    let error = absent.expect_err("nobody is there");
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
}

async fn looks_on(viewer: &Connected) {
    viewer.js.query_account().await.expect("it may look");
    for stream in ["RWC_TASKS", "RWC_RESULTS", "OBJ_RWC_BLOBS"] {
        viewer.js.get_stream(stream).await.expect("it may look");
    }
    let queue = viewer
        .js
        .get_consumer_from_stream::<pull::Config, _, _>("main-mid", "RWC_TASKS")
        .await;
    queue.expect("it may look");
    let jobs = viewer
        .js
        .get_key_value("RWC_JOBS")
        .await
        .expect("the bucket");
    let record = jobs.get("job").await.expect("it may read");
    assert_eq!(record.expect("there is one"), "queued");
    looks_at_engines(viewer).await;
}

/// A client cancels a job and removes what is left of it.
async fn cleans_up(client: &Connected) {
    client
        .client
        .publish("rwc.c.job", "".into())
        .await
        .expect("it is sent");
    for (stream, filter) in [
        ("RWC_TASKS", "rwc.t.*.*.job.*"),
        ("RWC_RESULTS", "rwc.r.job.*"),
    ] {
        let stream = client
            .js
            .get_stream_no_info(stream)
            .await
            .expect("the stream");
        stream
            .purge()
            .filter(filter)
            .await
            .expect("it removes them");
    }
    let blobs = client
        .js
        .get_object_store("RWC_BLOBS")
        .await
        .expect("the store");
    for name in ["job/i/0", "job/o/0"] {
        blobs.delete(name).await.expect("it is removed");
    }
    let jobs = client
        .js
        .get_key_value("RWC_JOBS")
        .await
        .expect("the bucket");
    jobs.delete("job").await.expect("it is removed");
    jobs.purge("job").await.expect("it is removed");
}

/// Whoever may look sees the one engine there is.
async fn looks_at_engines(who: &Connected) {
    let found = who.reads("KV_RWC_ENGINES", "$KV.RWC_ENGINES.>").await;
    let found: Vec<&[u8]> = found.iter().map(|one| &*one.payload).collect();
    assert_eq!(found, [b"{}"]);
}
