//! The two ways to call typed functions, on the core module and through a component, give equal results; and so does
//! a module that is a component from the beginning.

use crate::support::{
    Text, cluster, command_component, component, file, finish, folder, module, program, run,
    scratch, shown, spec, word_count,
};
use rwasm_cluster::{
    ByteSize, Chunking, Cluster, Form, Input, JobSpec, Lowering, Merge, Module, Tolerance,
};
use std::collections::BTreeSet;

fn lowered(lowering: Lowering) -> Cluster {
    Cluster::builder()
        .engines(2)
        .lowering(lowering)
        .cache_dir(scratch().join("compiled"))
        .start()
        .expect("a cluster starts")
}

fn both() -> [Cluster; 2] {
    [lowered(Lowering::Core), lowered(Lowering::Component)]
}

/// All outcomes of a job, in input order, as text.
fn outcomes(cluster: &Cluster, module: &Module, text: &str, map: Option<&str>) -> Vec<String> {
    let mut spec = spec(Merge::None);
    spec.map = map.map(str::to_owned);
    spec.chunking = Some(Chunking::Size(ByteSize::new(100)));
    spec.job.max_failures = Tolerance::Count(u64::MAX);
    let inputs = vec![Input::bytes("text", text.to_owned())];
    let mut job = cluster.run(module, inputs, &spec).expect("the job begins");
    let mut all = vec![];
    while let Some((origin, outcome)) = job.next_outcome() {
        all.push(match outcome.result {
            Ok(value) => format!("{origin}: {}", shown(&value)),
            Err(failure) => format!("{origin}: {} {failure}", failure.code),
        });
    }
    all
}

#[test]
fn a_word_count_is_the_same_both_ways() {
    let text = Text::of(71, 500_000).make();
    let expected = word_count(&[&text]);
    for cluster in both() {
        for chunking in [
            Chunking::Auto,
            Chunking::File,
            Chunking::Size(ByteSize::kib(1)),
        ] {
            let mut spec = JobSpec::default();
            spec.chunking = Some(chunking);
            let result = finish(&cluster, &module("wordcount"), text.clone(), &spec);
            assert_eq!(shown(&result.merged.expect("counts")), expected);
        }
    }
}

#[test]
fn functions_of_every_shape_give_the_same_both_ways() {
    let text = format!("refuse\n{}", Text::of(72, 20_000).make());
    let [core, component] = both();
    let faulty = module("faulty");
    for map in [None, Some("shout"), Some("lines-of"), Some("lengths")] {
        let by_core = outcomes(&core, &faulty, &text, map);
        assert!(by_core.len() > 100, "{map:?}");
        assert_eq!(
            by_core,
            outcomes(&component, &faulty, &text, map),
            "{map:?}"
        );
    }
    let refused = &outcomes(&core, &faulty, "refuse\n", None)[0];
    assert_eq!(
        refused,
        "text, bytes 0..7: guest-error refused: line 1 says so"
    );
}

#[test]
fn reducers_of_both_shapes_give_the_same_both_ways() {
    let text = Text::of(73, 50_000).make();
    for cluster in both() {
        let mut spec = JobSpec::default();
        spec.chunking = Some(Chunking::Size(ByteSize::new(200)));
        let lines = finish(&cluster, &module("faulty"), text.clone(), &spec);
        assert_eq!(
            shown(&lines.merged.expect("a number")),
            format!("{}\n", text.lines().count())
        );
        spec.map = Some("shout".to_owned());
        spec.merge = Merge::Reducer("concat-reducer".to_owned());
        let shouted = finish(&cluster, &module("faulty"), text.clone(), &spec);
        assert_eq!(shown(&shouted.merged.expect("a text")), text.to_uppercase());
    }
}

#[test]
fn failures_have_the_same_codes_both_ways() {
    let [core, component] = both();
    for line in ["trap", "refuse", "spin", "sleep", "hoard"] {
        let codes = [&core, &component].map(|cluster| {
            let mut spec = spec(Merge::None);
            spec.job.max_failures = Tolerance::Count(1);
            spec.task.limits.get_or_insert_default().time = std::time::Duration::from_millis(500);
            spec.task.limits.get_or_insert_default().memory = ByteSize::mib(16);
            let inputs = vec![Input::bytes("text", line)];
            let mut job = cluster
                .run(&module("faulty"), inputs, &spec)
                .expect("the job begins");
            let (_, outcome) = job.next_outcome().expect("an outcome");
            outcome.result.expect_err("the task fails").code
        });
        assert_eq!(codes[0], codes[1], "{line}");
    }
    // Not UTF-8: refused before the guest sees it.
    for cluster in [&core, &component] {
        let inputs = vec![Input::bytes("text", b"a\xff".to_vec())];
        let job = cluster
            .run(&module("wordcount"), inputs, &JobSpec::default())
            .expect("the job begins");
        let error = job.wait().expect_err("it fails").to_string();
        assert!(error.contains("not UTF-8 at byte 1"), "{error}");
    }
}

#[test]
fn a_component_runs_like_the_core_module_it_was_made_of() {
    let bytes = component("wordcount");
    let wordcount = Module::from_bytes("wordcount", bytes.clone()).expect("it loads");
    assert_eq!(wordcount.form(), Form::Component);
    let names: BTreeSet<&str> = wordcount
        .functions()
        .iter()
        .map(|function| function.name.as_str())
        .collect();
    assert_eq!(names, BTreeSet::from(["mapper", "reducer"]));
    let text = Text::of(74, 300_000).make();
    let expected = word_count(&[&text]);
    let counted = finish(&cluster(2), &wordcount, text.clone(), &JobSpec::default());
    assert_eq!(shown(&counted.merged.expect("counts")), expected);

    let dir = folder();
    let path = file(&dir, "component.wasm", bytes);
    for options in [
        "--engines 1",
        "--engines 2 --chunk 4KiB",
        "--reuse engine",
        "--reuse dispatch --view direct",
    ] {
        let ended = program()
            .arg("run")
            .arg(&path)
            .typed(options)
            .stdin(text.clone())
            .end();
        ended
            .expect_code(0)
            .expect_stdout(&expected)
            .expect_stderr_is_empty();
    }
}

#[test]
fn a_command_may_be_a_component() {
    let dir = folder();
    let text = Text::of(75, 300_000).make();
    let upper = file(&dir, "upper.wasm", command_component("upper"));
    let of = |options: &str| {
        program()
            .arg("run")
            .arg(&upper)
            .typed(options)
            .stdin(text.clone())
            .end()
    };
    of("").expect_code(0).expect_stdout(text.to_uppercase());
    of("--chunk 16KiB --engines 2")
        .expect_code(0)
        .expect_stdout(text.to_uppercase());
    let ended = program()
        .arg("run")
        .arg(&upper)
        .stdin("a\nb")
        .args(["--", "--prefix", "> "])
        .end();
    ended.expect_code(0).expect_stdout("> A\n> B");

    let exit = file(&dir, "exit3.wasm", command_component("exit3"));
    program()
        .arg("run")
        .arg(&exit)
        .fails(11)
        .expect_stderr_has(&["exit-code", "a line on stderr"]);
    let spin = file(&dir, "spin.wasm", command_component("spin"));
    program()
        .arg("run")
        .arg(&spin)
        .typed("--timeout 200ms")
        .fails(11)
        .expect_stderr_has(&["(timeout)"]);
    let sleep = file(&dir, "sleep.wasm", command_component("sleep"));
    program()
        .arg("run")
        .arg(&sleep)
        .typed("--timeout 200ms")
        .fails(11)
        .expect_stderr_has(&["(timeout)"]);
    let chatter = file(&dir, "chatter.wasm", command_component("chatter"));
    program()
        .arg("run")
        .arg(&chatter)
        .typed("--limit output=1MiB")
        .fails(11)
        .expect_stderr_has(&["output-limit"]);
    let noisy = file(&dir, "noisy.wasm", command_component("noisy"));
    assert_eq!(program().arg("run").arg(&noisy).output(), "done\n");
    assert_eq!(run("noisy").output(), "done\n");
}
