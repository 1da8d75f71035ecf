//! What `JetStream` gives by itself: the work that a cluster makes the server do, without tasks in it.

use super::server::{Server, UNACKED, block_on, connect};
use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::object_store::{self, ObjectMetadata, ObjectStore};
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

pub(crate) const MESSAGES: usize = 50_000;
pub(crate) const PAYLOAD: usize = 1024;

/// How many take messages or objects at a time: as many as there are engine processes.
pub(crate) const TAKERS: usize = 2;

const FETCH: usize = 256;

/// Messages a second out of a work queue that is full before the clock starts.
pub(crate) fn drain(server: &Server) -> f64 {
    block_on(async {
        let (_client, js) = server.connect().await;
        let stream = make_queue(&js).await;
        fill(&js).await;
        stream
            .create_consumer(pull::Config {
                durable_name: Some("takers".to_owned()),
                ack_policy: AckPolicy::Explicit,
                max_ack_pending: 100_000,
                ..pull::Config::default()
            })
            .await
            .unwrap();
    });
    let taken = AtomicUsize::new(0);
    let begun = Instant::now();
    let ended = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..TAKERS)
            .map(|_| scope.spawn(|| block_on(take(server.url(), &taken))))
            .collect();
        takers
            .into_iter()
            .map(|taker| taker.join().unwrap())
            .max()
            .unwrap()
    });
    block_on(delete_queue(server));
    MESSAGES as f64 / (ended - begun).as_secs_f64()
}

/// Takes messages until all are taken; gives when this one acknowledged its last.
async fn take(url: &str, taken: &AtomicUsize) -> Instant {
    let (client, js) = connect(url).await;
    let consumer: PullConsumer = js.get_consumer_from_stream("takers", QUEUE).await.unwrap();
    let mut last = Instant::now();
    while taken.load(Ordering::Relaxed) < MESSAGES {
        let mut messages = consumer
            .fetch()
            .max_messages(FETCH)
            .expires(Duration::from_secs(1))
            .messages()
            .await
            .unwrap();
        let mut some = false;
        while let Some(message) = messages.next().await {
            let message = message.unwrap();
            assert_eq!(message.payload.len(), PAYLOAD);
            message.ack().await.unwrap();
            taken.fetch_add(1, Ordering::Relaxed);
            some = true;
        }
        if some {
            client.flush().await.unwrap();
            last = Instant::now();
        }
    }
    last
}

/// Messages a second into a work queue.
pub(crate) fn publish(server: &Server) -> f64 {
    block_on(async {
        let (_client, js) = server.connect().await;
        make_queue(&js).await;
        let begun = Instant::now();
        fill(&js).await;
        let rate = MESSAGES as f64 / begun.elapsed().as_secs_f64();
        delete_queue(server).await;
        rate
    })
}

/// Results a second, written once each: the server looks whether there is one already.
pub(crate) fn results(server: &Server) -> f64 {
    const RESULTS: &str = "BENCH_RESULTS";
    block_on(async {
        let (_client, js) = server.connect().await;
        js.create_stream(stream::Config {
            name: RESULTS.to_owned(),
            subjects: vec!["bench.r.>".to_owned()],
            discard: DiscardPolicy::New,
            max_messages_per_subject: 1,
            allow_direct: true,
            ..stream::Config::default()
        })
        .await
        .unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
        let begun = Instant::now();
        publish_all(&js, &headers, |number| format!("bench.r.job.{number}")).await;
        let rate = MESSAGES as f64 / begun.elapsed().as_secs_f64();
        js.delete_stream(RESULTS).await.unwrap();
        rate
    })
}

const QUEUE: &str = "BENCH_TASKS";

async fn make_queue(js: &Context) -> stream::Stream {
    js.create_stream(stream::Config {
        name: QUEUE.to_owned(),
        subjects: vec!["bench.t.>".to_owned()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        ..stream::Config::default()
    })
    .await
    .unwrap()
}

async fn delete_queue(server: &Server) {
    let (_client, js) = server.connect().await;
    js.delete_stream(QUEUE).await.unwrap();
}

async fn fill(js: &Context) {
    publish_all(js, &HeaderMap::new(), |number| {
        format!("bench.t.main.mid.job.{number}")
    })
    .await;
}

async fn publish_all(js: &Context, headers: &HeaderMap, subject: impl Fn(usize) -> String) {
    let payload = Bytes::from(vec![b'x'; PAYLOAD]);
    let mut unacked = FuturesUnordered::new();
    for number in 0..MESSAGES {
        let ack = js
            .publish_with_headers(subject(number), headers.clone(), payload.clone())
            .await
            .unwrap();
        unacked.push(ack.into_future());
        while unacked.len() >= UNACKED {
            unacked.next().await.unwrap().unwrap();
        }
    }
    while let Some(ack) = unacked.next().await {
        ack.unwrap();
    }
}

pub(crate) const OBJECT: usize = 16 << 20;
pub(crate) const OBJECTS: usize = 64;

/// Objects that are put at a time.
const PUTS: usize = 4;

/// MiB a second through an object store: each object is put once and got once, by someone else, as soon as it is there.
pub(crate) fn objects(server: &Server, chunk: Option<usize>) -> f64 {
    const BUCKET: &str = "BENCH_BLOBS";
    block_on(async {
        let (_client, js) = server.connect().await;
        let config = object_store::Config {
            bucket: BUCKET.to_owned(),
            ..object_store::Config::default()
        };
        js.create_object_store(config).await.unwrap();
    });
    let got = AtomicU64::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let mut inboxes = vec![];
        for _ in 0..TAKERS {
            let (sender, names) = mpsc::channel::<String>();
            inboxes.push(sender);
            let got = &got;
            scope.spawn(move || {
                block_on(async {
                    let (_client, js) = connect(server.url()).await;
                    let store = js.get_object_store(BUCKET).await.unwrap();
                    while let Ok(name) = names.recv() {
                        got.fetch_add(get(&store, &name).await, Ordering::Relaxed);
                    }
                });
            });
        }
        block_on(async {
            let (_client, js) = server.connect().await;
            let store = js.get_object_store(BUCKET).await.unwrap();
            let content = vec![b'x'; OBJECT];
            let (store, content, inboxes) = (&store, &content, &inboxes);
            futures_util::stream::iter(0..OBJECTS)
                .map(|number| async move {
                    let name = format!("job/{number}");
                    let metadata = ObjectMetadata {
                        name: name.clone(),
                        chunk_size: chunk,
                        ..ObjectMetadata::default()
                    };
                    store.put(metadata, &mut content.as_slice()).await.unwrap();
                    inboxes[number % TAKERS].send(name).unwrap();
                })
                .buffer_unordered(PUTS)
                .collect::<()>()
                .await;
        });
    });
    let time = begun.elapsed();
    assert_eq!(got.into_inner(), (OBJECT * OBJECTS) as u64);
    block_on(async {
        let (_client, js) = server.connect().await;
        js.delete_object_store(BUCKET).await.unwrap();
    });
    (OBJECT * OBJECTS) as f64 / f64::from(1 << 20) / time.as_secs_f64()
}

/// Reads an object to its end, in bounded memory; its digest is checked by the client.
async fn get(store: &ObjectStore, name: &str) -> u64 {
    let mut object = store.get(name).await.unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        match object.read(&mut buffer).await.unwrap() {
            0 => return length,
            read => length += read as u64,
        }
    }
}
