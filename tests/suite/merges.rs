//! The merges: by the module's reducer, by another function of it, built in, or none at all.

use crate::support::{Cli, Text, cluster, finish, module, number, run, shown, spec, word_count};
use rwasm_cluster::{Builtin, Chunking, Input, JobSpec, Merge};
use std::num::NonZeroU64;

fn lines_of(numbers: &[usize]) -> String {
    // Blocks of lines that `--chunk lines:10` cuts apart, but for the last.
    numbers
        .iter()
        .map(|&count| "line\n".repeat(count))
        .collect()
}

fn by_lines(merge: Merge, lines: u64) -> JobSpec {
    let mut spec = spec(merge);
    spec.chunking = Some(Chunking::Lines(NonZeroU64::new(lines).expect("not 0")));
    spec
}

fn faulty(options: &str) -> Cli {
    run("faulty").typed(options)
}

#[test]
fn numbers_merge_in_every_way() {
    let text = lines_of(&[10, 10, 10, 4]);
    let cases = [
        ("", "34\n"),
        ("--reduce reducer", "34\n"),
        ("--merge sum", "34\n"),
        ("--merge min", "4\n"),
        ("--merge max", "10\n"),
        ("--merge count", "4\n"),
        ("--merge collect", "10\n10\n10\n4\n"),
        ("--merge collect --format json", "[10,10,10,4]\n"),
        ("--merge collect --format jsonl", "10\n10\n10\n4\n"),
        ("--merge collect --format wave", "[10, 10, 10, 4]\n"),
        ("--merge none", "10\n10\n10\n4\n"),
        ("--merge none --format wave", "10\n10\n10\n4\n"),
    ];
    for (options, expected) in cases {
        for engines in ["1", "3"] {
            let ended = faulty("--chunk lines:10 --engines")
                .arg(engines)
                .typed(options)
                .stdin(text.clone())
                .end();
            ended
                .expect_code(0)
                .expect_stdout(expected)
                .expect_stderr_is_empty();
        }
    }
}

#[test]
fn texts_and_lists_are_joined_in_order() {
    let text = "ab\ncd\nef\ngh\n";
    let cases = [
        ("--map shout --merge concat", "AB\nCD\nEF\nGH\n"),
        (
            "--map shout --merge concat --format json",
            "\"AB\\nCD\\nEF\\nGH\\n\"\n",
        ),
        ("--map shout --reduce concat-reducer", "AB\nCD\nEF\nGH\n"),
        (
            "--map shout --merge collect --format json",
            "[\"AB\\nCD\\nEF\\n\",\"GH\\n\"]\n",
        ),
        (
            "--map shout --merge none",
            "\"AB\\nCD\\nEF\\n\"\n\"GH\\n\"\n",
        ),
        ("--map shout --merge none --format raw", "AB\nCD\nEF\nGH\n"),
        (
            "--map shout --merge min --format json",
            "\"AB\\nCD\\nEF\\n\"\n",
        ),
        ("--map shout --merge max --format json", "\"GH\\n\"\n"),
        ("--map lines-of --merge concat", "ab\ncd\nef\ngh\n"),
        (
            "--map lines-of --merge concat --format json",
            "[\"ab\",\"cd\",\"ef\",\"gh\"]\n",
        ),
        (
            "--map lines-of --merge collect --format json",
            "[[\"ab\",\"cd\",\"ef\"],[\"gh\"]]\n",
        ),
        ("--map lengths --merge collect", "9\n3\n"),
        ("--map lengths", "12\n"),
    ];
    for (options, expected) in cases {
        for engines in ["1", "2"] {
            let ended = faulty("--chunk lines:3 --engines")
                .arg(engines)
                .typed(options)
                .stdin(text)
                .end();
            ended
                .expect_code(0)
                .expect_stdout(expected)
                .expect_stderr_is_empty();
        }
    }
}

#[test]
fn without_a_merge_the_lines_are_the_same_for_every_number_of_engines() {
    let text = Text::of(21, 300_000).make();
    let of = |engines: u32| {
        run("wordcount")
            .typed("--merge none --chunk 4KiB --engines")
            .arg(engines.to_string())
            .stdin(text.clone())
            .end()
            .expect_code(0)
    };
    let one = of(1);
    let records = one.json_lines();
    let count = run("wordcount")
        .typed("--merge count --chunk 4KiB")
        .stdin(text.clone())
        .output();
    assert_eq!(count, format!("{}\n", records.len()));
    for engines in [2, 3, 8] {
        of(engines).expect_stdout(&one.stdout);
    }
    let total: u64 = records
        .iter()
        .flat_map(|record| record.as_array().expect("a list"))
        .map(|pair| pair[1].as_u64().expect("a count"))
        .sum();
    let serial: u64 = word_count(&[&text])
        .lines()
        .map(|line| {
            line.rsplit('\t')
                .next()
                .expect("a count")
                .parse::<u64>()
                .expect("a number")
        })
        .sum();
    assert_eq!(total, serial);
}

#[test]
fn sums_by_key_keep_the_order_of_first_appearance() {
    let text = Text::of(22, 200_000).make();
    // The mapper itself gives words in that order.
    let whole = run("wordcount")
        .typed("--merge concat --chunk file")
        .stdin(text.clone())
        .output();
    for options in [
        "--engines 1",
        "--engines 3",
        "--chunk 1KiB --engines 2",
        "--chunk lines:100 --view direct",
    ] {
        let summed = run("wordcount")
            .typed("--merge sum")
            .typed(options)
            .stdin(text.clone())
            .end();
        summed.expect_code(0).expect_stdout(&whole);
    }
    let mut lines: Vec<(&str, u64)> = whole
        .lines()
        .map(|line| line.rsplit_once('\t').expect("two fields"))
        .map(|(word, count)| (word, count.parse().expect("a number")))
        .collect();
    lines.sort_by(|(a, n), (b, m)| m.cmp(n).then(a.cmp(b)));
    let sorted: Vec<String> = lines
        .iter()
        .map(|(word, count)| format!("{word}\t{count}\n"))
        .collect();
    assert_eq!(sorted.concat(), word_count(&[&text]));
}

#[test]
fn the_library_merges_as_the_command_line_does() {
    let cluster = cluster(3);
    let faulty = module("faulty");
    let text = lines_of(&[7, 7, 7, 7, 3]);
    let merged = |merge| {
        number(&finish(
            &cluster,
            &faulty,
            text.clone(),
            &by_lines(merge, 7),
        ))
    };
    assert_eq!(merged(Merge::Default), 31);
    assert_eq!(merged(Merge::Reducer("reducer".to_owned())), 31);
    assert_eq!(merged(Builtin::Sum.into()), 31);
    assert_eq!(merged(Builtin::Min.into()), 3);
    assert_eq!(merged(Builtin::Max.into()), 7);
    assert_eq!(merged(Builtin::Count.into()), 5);

    let collected = finish(
        &cluster,
        &faulty,
        text.clone(),
        &by_lines(Builtin::Collect.into(), 7),
    );
    assert_eq!(shown(&collected.merged.expect("a list")), "7\n7\n7\n7\n3\n");

    let mut shout = by_lines(Builtin::Concat.into(), 7);
    shout.map = Some("shout".to_owned());
    let joined = finish(&cluster, &faulty, text.clone(), &shout);
    assert_eq!(shown(&joined.merged.expect("a text")), text.to_uppercase());

    let none = finish(&cluster, &faulty, text.clone(), &by_lines(Merge::None, 7));
    assert!(none.merged.is_none());
    let mut job = cluster
        .run(
            &faulty,
            vec![Input::bytes("text", text)],
            &by_lines(Merge::None, 7),
        )
        .expect("the job begins");
    let mut outcomes = vec![];
    while let Some((origin, outcome)) = job.next_outcome() {
        outcomes.push((origin.index, shown(&outcome.result.expect("a value"))));
    }
    let lines = ["7\n", "7\n", "7\n", "7\n", "3\n"];
    let expected: Vec<(u64, String)> = (0..).zip(lines.map(str::to_owned)).collect();
    assert_eq!(outcomes, expected);
    job.wait().expect("the job ends well");
}

#[test]
fn what_a_merge_needs_is_known_before_anything_runs() {
    let cluster = cluster(1);
    for (name, map, merge) in [
        ("faulty", Some("shout"), Builtin::Sum.into()),
        ("faulty", Some("lines-of"), Builtin::Sum.into()),
        ("faulty", Some("lengths"), Builtin::Concat.into()),
        (
            "faulty",
            Some("shout"),
            Merge::Reducer("reducer".to_owned()),
        ),
        ("upper", None, Builtin::Max.into()),
    ] {
        let mut spec = spec(merge.clone());
        spec.map = map.map(str::to_owned);
        let started = cluster.run(&module(name), vec![Input::bytes("text", "a")], &spec);
        assert!(started.is_err(), "{name} {map:?} {merge:?} was accepted");
    }
}

#[test]
fn a_job_without_any_value_still_has_a_merge() {
    // Every task fails and is tolerated: what is left is the merge of nothing.
    let cases = [
        ("--merge sum", "0\n"),
        ("--merge count", "0\n"),
        ("--merge collect --format json", "[]\n"),
        ("--map mapper --merge min", ""),
    ];
    for (options, expected) in cases {
        let ended = faulty("--max-failures 100% --chunk lines:1")
            .typed(options)
            .stdin("refuse\nrefuse\n")
            .end();
        ended
            .expect_code(0)
            .expect_stdout(expected)
            .expect_stderr_has(&["warning: ", "2 of 2 tasks failed"]);
    }
}

#[test]
fn a_reducer_that_fails_is_a_failed_merge() {
    // More than a reducer may be given.
    let text = Text::of(23, 400_000).make();
    run("wordcount")
        .typed("--chunk 16KiB --limit input=32KiB")
        .stdin(text)
        .fails(12)
        .expect_stderr_has(&["reducer", "input-limit"]);
}
