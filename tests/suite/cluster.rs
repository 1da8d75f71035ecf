//! The cluster as a library: it starts and ends whole, its jobs are independent, and its memory has a bound.

use crate::support::{
    SOON, Text, cluster, finish, is_alone, is_over_nats, memory_of, module, number, one_line_each,
    run, shown, threads, until, wait, word_count,
};
use rwasm_cluster::{
    Builtin, Chunking, Cluster, EngineId, Input, JobError, JobSpec, MAX_ENGINES, Merge, StartError,
};
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn the_number_of_engines_is_checked() {
    for wanted in [0, MAX_ENGINES + 1, u32::MAX] {
        let refused = Cluster::builder().engines(wanted).start();
        assert!(
            matches!(refused, Err(StartError::EngineCount { wanted: refused }) if refused == wanted)
        );
    }
    for engines in [1, 7] {
        let ids: Vec<EngineId> = (0..engines).map(EngineId).collect();
        assert_eq!(cluster(engines).engines(), ids);
    }
    let cores = std::thread::available_parallelism()
        .expect("it is known")
        .get();
    assert_eq!(
        Cluster::builder()
            .start()
            .expect("it starts")
            .engines()
            .len(),
        cores
    );
}

#[test]
fn the_largest_cluster_works() {
    let cluster = cluster(MAX_ENGINES);
    let text = Text::of(81, 200_000).make();
    let mut spec = JobSpec::default();
    spec.chunking = Some(Chunking::Lines(NonZeroU64::MIN));
    let counts = finish(&cluster, &module("wordcount"), text.clone(), &spec);
    assert_eq!(shown(&counts.merged.expect("counts")), word_count(&[&text]));
}

/// The threads of a cluster's user: where engines are elsewhere theirs are not counted, though they are in this process.
fn ours() -> Vec<String> {
    let user = ["rwasm-nats", "rwasm-job", "rwasm-reader", "rwasm-desk"];
    let is_ours = |name: &String| {
        let mut user = user.iter();
        !is_over_nats() || user.any(|begin| name.starts_with(begin))
    };
    threads().into_iter().filter(is_ours).collect()
}

#[test]
fn every_thread_is_joined() {
    if !is_alone("cluster::every_thread_is_joined") {
        return;
    }
    assert_eq!(threads(), Vec::<String>::new());
    for round in 0..5 {
        let cluster = cluster(4);
        // A thread names itself, when it gets to run.
        until("the threads are as wanted", || {
            let engines = |name: &&String| name.starts_with("rwasm-engine");
            threads().iter().filter(engines).count() == 4
        });
        finish(
            &cluster,
            &module("wordcount"),
            Text::of(round, 100_000).make(),
            &JobSpec::default(),
        );
        let stuck = cluster.run(
            &module("spin"),
            vec![Input::bytes("nothing", "")],
            &JobSpec::default(),
        );
        let stuck = stuck.expect("the job begins");
        if round % 2 == 0 {
            drop(stuck);
            cluster.shutdown(Duration::ZERO);
        } else {
            // The cluster goes first: its job is told.
            drop(cluster);
            assert!(stuck.wait().is_err());
        }
        // A thread that was joined may be listed for a moment more.
        until("the threads are as wanted", || ours().is_empty());
    }
}

#[test]
fn a_job_that_is_dropped_is_stopped() {
    let cluster = cluster(2);
    for (name, input) in [("spin", ""), ("sleep", ""), ("faulty", "spin\nsleep\n")] {
        let job = cluster.run(
            &module(name),
            vec![Input::bytes("input", input)],
            &one_line_each(Merge::None),
        );
        let start = Instant::now();
        drop(job.expect("the job begins"));
        assert!(start.elapsed() < SOON, "{name} took {:?}", start.elapsed());
    }
    // Both engines are free again.
    let counts = finish(
        &cluster,
        &module("wordcount"),
        "word\nword\n",
        &one_line_each(Merge::Default),
    );
    assert_eq!(shown(&counts.merged.expect("counts")), "word\t2\n");
}

#[test]
fn a_job_can_be_cancelled_from_elsewhere() {
    let cluster = cluster(2);
    for (name, input) in [("spin", ""), ("sleep", "")] {
        let job = cluster.run(
            &module(name),
            vec![Input::bytes("input", input)],
            &JobSpec::default(),
        );
        let job = job.expect("the job begins");
        let canceller = job.canceller();
        let other = canceller.clone();
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(move || canceller.cancel());
        });
        assert!(matches!(job.wait(), Err(JobError::Cancelled)), "{name}");
        assert!(start.elapsed() < SOON, "{name} took {:?}", start.elapsed());
        // It has ended: there is nothing to cancel, and nothing wrong with trying.
        other.cancel();
    }
}

#[test]
fn a_reader_that_never_ends_does_not_hold_up_a_cancelled_job() {
    let cluster = cluster(1);
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    let input = Input::reader("pipe", reader);
    let job = cluster
        .run(&module("wordcount"), vec![input], &JobSpec::default())
        .expect("the job begins");
    let start = Instant::now();
    job.canceller().cancel();
    assert!(matches!(job.wait(), Err(JobError::Cancelled)));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    drop(writer);
}

#[test]
fn many_jobs_run_at_once() {
    let cluster = cluster(3);
    let modules = [module("wordcount"), module("faulty"), module("upper")];
    std::thread::scope(|scope| {
        for number in 0..24 {
            let (cluster, modules) = (&cluster, &modules);
            scope.spawn(move || {
                let text = Text::of(number, 40_000).make();
                let which = usize::try_from(number % 3).expect("it is small");
                let expected = match which {
                    0 => word_count(&[&text]),
                    1 => format!("{}\n", text.lines().count()),
                    _ => text.to_uppercase(),
                };
                let mut spec = JobSpec::default();
                spec.chunking = Some(Chunking::Lines(NonZeroU64::new(20).expect("not 0")));
                let result = finish(cluster, &modules[which], text, &spec);
                assert_eq!(
                    shown(&result.merged.expect("a value")),
                    expected,
                    "job {number}"
                );
            });
        }
    });
}

#[test]
fn ten_thousand_tiny_tasks_are_each_run_once() {
    let cluster = cluster(2);
    let lines: Vec<String> = (0..10_000).map(|number| format!("{number}\n")).collect();
    let text = lines.concat();
    let faulty = module("faulty");
    let result = finish(
        &cluster,
        &faulty,
        text.clone(),
        &one_line_each(Builtin::Sum.into()),
    );
    assert_eq!(number(&result), 10_000);
    assert_eq!((result.stats.chunks, result.stats.tasks), (10_000, 10_000));
    assert!(
        result.stats.dispatches < 5_000,
        "{} dispatches",
        result.stats.dispatches
    );
    let mut spec = one_line_each(Builtin::Concat.into());
    spec.map = Some("shout".to_owned());
    assert_eq!(
        shown(
            &finish(&cluster, &faulty, text.clone(), &spec)
                .merged
                .expect("a text")
        ),
        text
    );
    let reduced = finish(&cluster, &faulty, text, &one_line_each(Merge::Default));
    assert_eq!(number(&reduced), 10_000);
}

#[test]
fn outcomes_that_nobody_takes_do_not_pile_up() {
    let cluster = cluster(2);
    let lines = 100_000;
    let mut job = cluster
        .run(
            &module("faulty"),
            vec![Input::reader("endless", std::io::repeat(b'\n'))],
            &one_line_each(Merge::None),
        )
        .expect("the job begins");
    // Of an endless input, which is only possible if the job waits for whoever takes its outcomes.
    for number in 0..lines {
        let (origin, outcome) = job.next_outcome().expect("there are more");
        assert_eq!(origin.index, number);
        assert!(outcome.result.is_ok());
    }
    drop(job);
}

#[test]
fn inputs_of_every_kind_go_together() {
    let cluster = cluster(2);
    let dir = crate::support::folder();
    let texts = [82, 83, 84].map(|seed| Text::of(seed, 120_000).make());
    let inputs = vec![
        Input::path(crate::support::file(&dir, "first.txt", &texts[0])),
        Input::bytes("second", texts[1].clone()),
        Input::reader("third", std::io::Cursor::new(texts[2].clone())),
    ];
    let job = cluster
        .run(&module("wordcount"), inputs, &JobSpec::default())
        .expect("the job begins");
    let progress = job.progress();
    let result = job.wait().expect("it ends well");
    assert_eq!(
        shown(&result.merged.expect("counts")),
        word_count(&[&texts[0], &texts[1], &texts[2]])
    );
    let bytes: usize = texts.iter().map(String::len).sum();
    assert_eq!(result.stats.bytes_in, bytes as u64);
    let now = progress.now();
    assert!(now.input_ended);
    assert_eq!(
        (now.bytes_done, now.chunks_done),
        (bytes as u64, now.chunks_read)
    );
}

#[test]
fn a_long_stream_does_not_fill_the_memory() {
    const MIB: u64 = 1 << 20;
    const STREAM: u64 = 200 * MIB;
    /// 2 GiB have to stay below 400 MiB; a part of that is what the engines take whatever the stream.
    const BOUND: u64 = 320 * MIB;
    let mut child = run("wordcount")
        .typed("--engines 2")
        .into_command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let text = Text::of(85, 1 << 20).make();
    let rounds = STREAM.div_ceil(text.len() as u64);
    for _ in 0..rounds {
        stdin.write_all(text.as_bytes()).expect("the program reads");
    }
    // All but what a pipe holds has been read, and the process is still there to be asked.
    let peak = memory_of(child.id(), "VmHWM");
    drop(stdin);
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let mut counts = String::new();
    stdout.read_to_string(&mut counts).expect("it prints text");
    assert!(wait(child).expect("it ends in time").success());
    let once = word_count(&[&text]);
    let times: Vec<String> = once
        .lines()
        .map(|line| line.rsplit_once('\t').expect("two fields"))
        .map(|(word, count)| {
            format!(
                "{word}\t{}\n",
                count.parse::<u64>().expect("a number") * rounds
            )
        })
        .collect();
    assert!(
        counts == times.concat(),
        "the counts of {rounds} rounds are not {rounds} times those of one"
    );
    assert!(peak < BOUND, "the process took {} MiB", peak / MIB);
}

#[test]
fn a_job_whose_outcomes_nobody_takes_can_be_cancelled() {
    let cluster = cluster(1);
    let input = Input::bytes("lines", "word\n".repeat(50_000));
    let job = cluster
        .run(
            &module("wordcount"),
            vec![input],
            &one_line_each(Merge::None),
        )
        .expect("the job begins");
    job.canceller().cancel();
    assert!(matches!(job.wait(), Err(JobError::Cancelled)));
}
