//! Questions to one engine process and its answers, over core NATS: what a direct view and `engine drain` are made of.

use super::server::{Server, block_on, connect};
use bytes::Bytes;
use futures_util::StreamExt;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const SUBJECT: &str = "rwc.e.bench.exec";
const PAYLOAD: usize = 1024;

/// One after the other, for latency.
const ALONE: usize = 5_000;

/// With as many under way as this, for the rate.
const TOGETHER: usize = 100_000;
const WINDOW: usize = 256;

pub(crate) fn report(server: &Server) {
    std::thread::scope(|scope| {
        let (ready, is_ready) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        scope.spawn(move || block_on(answer(server.url(), ready, stopped)));
        is_ready.recv().unwrap();
        let (latencies, rate) = block_on(ask(server));
        stop.send(()).unwrap();
        let percent = |share: usize| latencies[latencies.len() * share / 100].as_secs_f64() * 1e6;
        println!(
            "request (core request and reply, 1 KB each way): p50 {:.0} µs, p99 {:.0} µs; {WINDOW} under way: {rate:.0}/s",
            percent(50),
            percent(99),
        );
    });
}

async fn answer(url: &str, ready: mpsc::Sender<()>, stopped: tokio::sync::oneshot::Receiver<()>) {
    let (client, _js) = connect(url).await;
    let mut requests = client.subscribe(SUBJECT).await.unwrap();
    // The server has it before anyone asks.
    client.flush().await.unwrap();
    ready.send(()).unwrap();
    let answers = async {
        while let Some(request) = requests.next().await {
            let reply = request.reply.unwrap();
            client.publish(reply, request.payload).await.unwrap();
        }
    };
    tokio::select! {
        () = answers => {}
        _ = stopped => {}
    }
}

async fn ask(server: &Server) -> (Vec<Duration>, f64) {
    let (client, _js) = server.connect().await;
    let payload = Bytes::from(vec![b'x'; PAYLOAD]);
    let mut latencies = Vec::with_capacity(ALONE);
    for _ in 0..ALONE {
        let begun = Instant::now();
        let reply = client.request(SUBJECT, payload.clone()).await.unwrap();
        latencies.push(begun.elapsed());
        assert_eq!(reply.payload.len(), PAYLOAD);
    }
    latencies.sort_unstable();
    let begun = Instant::now();
    futures_util::stream::iter(0..TOGETHER)
        .map(|_| client.request(SUBJECT, payload.clone()))
        .buffer_unordered(WINDOW)
        .for_each(|reply| async {
            reply.unwrap();
        })
        .await;
    (latencies, TOGETHER as f64 / begun.elapsed().as_secs_f64())
}
