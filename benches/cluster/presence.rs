//! A thousand processes with engines on one server, as the server sees them: each has a connection, three subscriptions
//! and a record in `RWC_ENGINES` that it writes again every five seconds. They run no guests.

use super::server::{Server, block_on, connect};
use async_nats::Client;
use async_nats::jetstream::kv::{self, Operation, Store};
use bytes::Bytes;
use futures_util::StreamExt;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

const PROCESSES: usize = 1_000;

/// Of these, that many end without a word.
const VANISH: usize = 100;

/// Connections that are made at a time.
const AT_ONCE: usize = 64;

/// How often a record is written, and after which time without that it goes: as `init` sets a cluster up.
const BEAT: Duration = Duration::from_secs(5);
const PRESENCE: Duration = Duration::from_secs(15);
const MARKERS: Duration = Duration::from_mins(1);

/// How long they are watched at rest: four beats.
const REST: Duration = Duration::from_secs(20);

const LISTS: usize = 9;
const BROADCASTS: usize = 21;

/// How a process ends.
enum End {
    /// It takes its record away.
    Leave,
    /// It is killed.
    Vanish,
}

/// What a process tells whoever measures.
enum Said {
    Heard(Instant),
    Beat(Duration),
}

struct Process {
    end: oneshot::Sender<End>,
    task: tokio::task::JoinHandle<()>,
}

pub(crate) fn report(server: &Server) {
    block_on(async {
        let idle = server.resident();
        let (client, js) = server.connect().await;
        let bucket = js
            .create_key_value(kv::Config {
                bucket: "RWC_ENGINES".to_owned(),
                history: 1,
                max_age: PRESENCE,
                limit_markers: Some(MARKERS),
                ..kv::Config::default()
            })
            .await
            .unwrap();
        let mut seen = bucket.watch_all().await.unwrap();
        let (say, mut said) = mpsc::unbounded_channel();

        let begun = Instant::now();
        let processes: Vec<Process> = futures_util::stream::iter(0..PROCESSES)
            .map(|number| join(server.url(), number, say.clone()))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let joined = begun.elapsed();
        count(&mut seen, PROCESSES, |operation| {
            operation == Operation::Put
        })
        .await;
        println!(
            "presence ({PROCESSES} processes): joined in {:.2} s, all seen by one who watches after {:.2} s; server {:.0} MiB, {:.0} without them",
            joined.as_secs_f64(),
            begun.elapsed().as_secs_f64(),
            server.resident(),
            idle,
        );

        at_rest(server, &mut said).await;

        list_all(&bucket).await;
        broadcast(&client, &mut said).await;
        leave(processes, &mut seen).await;
        js.delete_key_value("RWC_ENGINES").await.unwrap();
    });
}

async fn list_all(bucket: &Store) {
    let mut times = vec![];
    for _ in 0..LISTS {
        let begun = Instant::now();
        assert_eq!(list(bucket).await, PROCESSES);
        times.push(begun.elapsed());
    }
    say_times("listed, one record each", &mut times);
}

/// How long a broadcast takes until the last process has it.
async fn broadcast(client: &Client, said: &mut mpsc::UnboundedReceiver<Said>) {
    let mut times = vec![];
    for number in 0..BROADCASTS {
        let begun = Instant::now();
        client
            .publish(format!("rwc.c.job{number}"), Bytes::new())
            .await
            .unwrap();
        client.flush().await.unwrap();
        let mut last = begun;
        let mut heard = 0;
        while heard < PROCESSES {
            if let Said::Heard(at) = said.recv().await.unwrap() {
                last = last.max(at);
                heard += 1;
            }
        }
        times.push(last - begun);
    }
    say_times("a broadcast on rwc.c.* until the last has it", &mut times);
}

/// Most processes leave, the others vanish.
async fn leave(mut processes: Vec<Process>, seen: &mut kv::Watch) {
    let stay = processes.split_off(PROCESSES - VANISH);
    let begun = Instant::now();
    end(processes, || End::Leave).await;
    let left = begun.elapsed();
    count(seen, PROCESSES - VANISH, |operation| {
        operation == Operation::Delete
    })
    .await;
    println!(
        "presence: {} left in {:.2} s, seen by one who watches after {:.2} s",
        PROCESSES - VANISH,
        left.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
    );

    let begun = Instant::now();
    end(stay, || End::Vanish).await;
    count(seen, VANISH, |operation| operation == Operation::Purge).await;
    println!(
        "presence: {VANISH} vanished, the last is known to be gone after {:.1} s",
        begun.elapsed().as_secs_f64(),
    );
}

/// A process that comes: returns when its record is stored.
async fn join(url: &str, number: usize, say: mpsc::UnboundedSender<Said>) -> Process {
    let (client, js) = connect(url).await;
    let process = format!("01JDPRESENCE00000000{number:06}");
    let execute = client
        .subscribe(format!("rwc.e.{process}.exec"))
        .await
        .unwrap();
    let control = client
        .subscribe(format!("rwc.e.{process}.control"))
        .await
        .unwrap();
    let mut cancelled = client.subscribe("rwc.c.*").await.unwrap();
    let bucket = js.get_key_value("RWC_ENGINES").await.unwrap();
    let record = Bytes::from(format!(
        r#"{{"process":"{process}","host":"host-{number}","pid":{number},"version":"0.1.0","engines":[{number}],"lanes":["main"],"labels":{{"rack":"r{}"}},"busy":0,"done":0,"failed":0,"started_ms":1764000000000}}"#,
        number % 20
    ));
    bucket.put(&process, record.clone()).await.unwrap();
    let (end, mut ended) = oneshot::channel();
    let task = tokio::spawn(async move {
        let _open = (execute, control);
        let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + BEAT, BEAT);
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    let begun = Instant::now();
                    bucket.put(&process, record.clone()).await.unwrap();
                    _ = say.send(Said::Beat(begun.elapsed()));
                }
                message = cancelled.next() => {
                    message.unwrap();
                    _ = say.send(Said::Heard(Instant::now()));
                }
                order = &mut ended => {
                    if let Ok(End::Leave) = order {
                        bucket.delete(&process).await.unwrap();
                    }
                    break;
                }
            }
        }
    });
    Process { end, task }
}

async fn end(processes: Vec<Process>, how: impl Fn() -> End) {
    let mut tasks = vec![];
    for process in processes {
        _ = process.end.send(how());
        tasks.push(process.task);
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// What they cost while nothing happens.
async fn at_rest(server: &Server, said: &mut mpsc::UnboundedReceiver<Said>) {
    let (begun, before) = (Instant::now(), server.processor_time());
    let mut beats = vec![];
    let until = tokio::time::Instant::now() + REST;
    while let Ok(heard) = tokio::time::timeout_at(until, said.recv()).await {
        if let Some(Said::Beat(time)) = heard {
            beats.push(time);
        }
    }
    let share = server.processor_time().saturating_sub(before).as_secs_f64()
        / begun.elapsed().as_secs_f64();
    assert!(!beats.is_empty(), "no record was written again");
    beats.sort_unstable();
    let percent = |share: usize| beats[(beats.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!(
        "presence: at rest {:.0} records a second, each stored in p50 {:.1} ms, p99 {:.1} ms; the server takes {:.1} % of a core, {:.0} MiB",
        beats.len() as f64 / REST.as_secs_f64(),
        percent(50),
        percent(99),
        share * 100.0,
        server.resident(),
    );
}

/// Reads every record, as `engine list` does, and says how many there are.
async fn list(bucket: &Store) -> usize {
    let mut records = bucket.watch_with_history(">").await.unwrap();
    let mut there = 0;
    while let Some(record) = records.next().await {
        let record = record.unwrap();
        if record.operation == Operation::Put {
            assert!(record.value.starts_with(b"{"));
            there += 1;
        }
        if record.delta == 0 {
            break;
        }
    }
    there
}

/// Waits until `wanted` different keys have had such an operation.
async fn count(seen: &mut kv::Watch, wanted: usize, is_one: impl Fn(Operation) -> bool) {
    let mut keys = std::collections::HashSet::new();
    while keys.len() < wanted {
        let entry = seen.next().await.unwrap().unwrap();
        if is_one(entry.operation) {
            keys.insert(entry.key);
        }
    }
}

fn say_times(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "presence: {what}: median of {} {:.1} ms, at most {:.1} ms",
        times.len(),
        ms(times[times.len() / 2]),
        ms(*times.last().unwrap()),
    );
}
