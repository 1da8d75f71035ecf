//! What a NATS server gives on this machine, and what of that is left through rwasm-cluster: rates of both in one run, in
//! turn; and a thousand processes with engines that come, are listed, are told something, and leave.
//!
//! Run it with `cargo bench --bench cluster`, or a part of it: `-- tiny`, `-- drain`, `-- objects`, `-- presence` and so on.
//! `-- --sync 2m` lets the server write to disk every two minutes, and not with each message, as `start` has it.
//! The server is its own: the binary that `RWASM_NATS_SERVER` names, else one that xtask fetched, else one on PATH.
//!
//! A rate has a row in `ROWS`: what it is, the function that measures it raw, and the one that measures ours beside it.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark has one reader and small numbers"
)]

#[path = "../guests.rs"]
mod guests;
mod ours;
mod presence;
mod raw;
mod request;
mod server;

use server::Server;

/// A rate, and through what it is reached.
struct Row {
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    /// What ours is held against.
    beside: &'static str,
    raw: fn(&Server) -> f64,
    /// The same work through rwasm-cluster, on the same server, in turn with `raw`.
    ours: Option<fn(&Server) -> f64>,
}

const ROWS: [Row; 6] = [
    Row {
        name: "tiny",
        what: "100 000 calls of a function that adds one, on 2 engines",
        unit: "tasks/s",
        beside: "in this process",
        raw: ours::tiny_here,
        ours: Some(ours::tiny_there),
    },
    Row {
        name: "drain",
        what: "1 KB messages from a full work queue, 2 pull consumers, fetch 256, explicit ack; ours: 1 KB tasks, from submitting to their results",
        unit: "a second",
        beside: RAW,
        raw: raw::drain,
        ours: Some(ours::drain),
    },
    Row {
        name: "objects",
        what: "1 GiB in objects of 16 MiB, chunks of 1 MiB, put 4 at a time and got by 2 as they come; ours: a file in chunks of 16 MiB",
        unit: "MiB/s",
        beside: RAW,
        raw: |server| raw::objects(server, Some(1 << 20)),
        ours: Some(ours::objects),
    },
    Row {
        name: "objects-default",
        what: "the same in chunks of the client's default (128 KiB)",
        unit: "MiB/s",
        beside: RAW,
        raw: |server| raw::objects(server, None),
        ours: None,
    },
    Row {
        name: "publish",
        what: "1 KB messages into a work queue, 1000 acknowledgements under way",
        unit: "a second",
        beside: RAW,
        raw: raw::publish,
        ours: None,
    },
    Row {
        name: "results",
        what: "1 KB results, each on a subject of its own that must be empty, 1000 acknowledgements under way",
        unit: "a second",
        beside: RAW,
        raw: raw::results,
        ours: None,
    },
];

const RAW: &str = "raw";

/// How often each rate is measured; the best counts.
const ROUNDS: usize = 3;

type Report = (&'static str, fn(&Server));

/// What is not a rate: it prints its own lines.
const REPORTS: [Report; 3] = [
    ("request", request::report),
    ("call", ours::call),
    ("presence", presence::report),
];

fn main() {
    let mut sync = "always".to_owned();
    let mut wanted: Vec<String> = vec![];
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--sync" => {
                sync = arguments
                    .next()
                    .expect("--sync wants a value: always or 2m");
            }
            // What cargo hands to every benchmark.
            "--bench" => {}
            _ => wanted.push(argument),
        }
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let unknown = wanted.iter().find(|wanted| {
        !ROWS.iter().any(|row| row.name == **wanted)
            && !REPORTS.iter().any(|(name, _)| *name == **wanted)
    });
    assert!(unknown.is_none(), "there is no part {unknown:?}");

    server::allow_open_files(4096);
    let server = Server::start(&sync);
    println!("nats-server {}, sync_interval {sync}", server.version());
    for row in ROWS.iter().filter(|row| is_wanted(row.name)) {
        measure(row, &server);
    }
    for (_, report) in REPORTS.iter().filter(|(name, _)| is_wanted(name)) {
        report(&server);
    }
}

fn measure(row: &Row, server: &Server) {
    let (mut raw, mut ours) = (0_f64, None::<f64>);
    for _ in 0..ROUNDS {
        raw = raw.max((row.raw)(server));
        if let Some(run) = row.ours {
            ours = Some(ours.unwrap_or(0.0).max(run(server)));
        }
    }
    let beside = ours.map_or(String::new(), |ours| {
        format!("; rwasm-cluster {ours:.0}, ratio {:.2}", ours / raw)
    });
    println!(
        "{} ({}): {} {raw:.0} {}{beside}",
        row.name, row.what, row.beside, row.unit
    );
}
