//! Queries against a filter of a few lines.

use super::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rwasm_value::ids::EngineId;

const FUNCTIONS: [&str; 3] = ["add-one", "mapper", "mapper-2"];
const LABELS: [&str; 4] = ["", "night", "night-2", "Night*"];
const HASHES: [&str; 3] = ["aa00", "aa01", "bb00"];
const CODES: [&str; 2] = ["trap", "timeout"];

#[derive(Clone, Debug)]
struct Sample {
    job: NewJob,
    state: JobState,
    tasks: Vec<TaskEntry>,
}

fn ended() -> impl Strategy<Value = JobState> {
    select(vec![JobState::Done, JobState::Failed, JobState::Cancelled])
}

fn any_task() -> impl Strategy<Value = TaskEntry> {
    let state = select(TaskState::ALL);
    (state, select(&CODES[..]), of(0..3_u32), of(0..6_u64)).prop_map(
        |(state, code, engine, started)| TaskEntry {
            code: (state == TaskState::Failed).then(|| code.to_owned()),
            engine: engine.map(EngineId),
            started: started.map(time),
            ..TaskEntry::new(0, state, RecordedInput::Stored(Vec::new()))
        },
    )
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let job = (
        select(JobKind::ALL),
        select(&FUNCTIONS[..]),
        of(select(&LABELS[..])),
        select(&HASHES[..]),
        0..6_u64,
    );
    (job, ended(), vec(any_task(), 0..5)).prop_map(
        |((kind, function, label, hash, submitted), state, mut tasks)| {
            for (index, task) in (0..).zip(&mut tasks) {
                task.index = index;
            }
            let job = NewJob {
                kind,
                function: function.to_owned(),
                label: label.map(str::to_owned),
                module_hash: hash.repeat(16),
                submitted: time(submitted),
                ..new_job("")
            };
            Sample { job, state, tasks }
        },
    )
}

fn any_job_query() -> impl Strategy<Value = JobQuery> {
    let label = select(vec![
        "*",
        "night",
        "night*",
        "?ight*",
        "[Nn]ight*",
        "",
        "night[*]",
        "Night[*]",
    ]);
    let hash = select(vec!["", "a", "AA0", "aa01", "c", "aa00%"]);
    (
        subsequence(JobState::ALL.to_vec(), 0..=3),
        of(select(JobKind::ALL)),
        of(label),
        of(0..3_u32),
        (of(0..7_u64), of(0..7_u64)),
        of(select(&FUNCTIONS[..])),
        of(hash),
        of(0..5_usize),
    )
        .prop_map(
            |(states, kind, label, engine, (since, until), function, hash, limit)| JobQuery {
                states,
                kind,
                label: label.map(str::to_owned),
                engine: engine.map(EngineId),
                since: since.map(time),
                until: until.map(time),
                function: function.map(str::to_owned),
                module_hash: hash.map(str::to_owned),
                limit,
            },
        )
}

fn any_task_query() -> impl Strategy<Value = TaskQuery> {
    (
        subsequence(TaskState::ALL.to_vec(), 0..=2),
        of(select(&CODES[..])),
        of(0..3_u32),
        (of(0..7_u64), of(0..7_u64)),
        0..4_u64,
        of(0..4_usize),
    )
        .prop_map(
            |(states, code, engine, (since, until), first, limit)| TaskQuery {
                states,
                code: code.map(str::to_owned),
                engine: engine.map(EngineId),
                since: since.map(time),
                until: until.map(time),
                first,
                limit,
            },
        )
}

/// Whether `text` fits `pattern`.
fn globs(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            globs(rest, text) || (!text.is_empty() && globs(pattern, &text[1..]))
        }
        ([b'?', rest @ ..], [_, text @ ..]) => globs(rest, text),
        ([b'[', rest @ ..], [first, text @ ..]) => {
            let end = rest.iter().position(|byte| *byte == b']').expect("closed");
            rest[..end].contains(first) && globs(&rest[end + 1..], text)
        }
        ([wanted, rest @ ..], [first, text @ ..]) => wanted == first && globs(rest, text),
        _ => false,
    }
}

fn is_any<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

fn job_fits(query: &JobQuery, Sample { job, state, tasks }: &Sample) -> bool {
    let label = |pattern: &String| {
        let label = job.label.as_ref();
        label.is_some_and(|label| globs(pattern.as_bytes(), label.as_bytes()))
    };
    let hash = |prefix: &String| job.module_hash.starts_with(&prefix.to_lowercase());
    let engine = |engine: EngineId| tasks.iter().any(|task| task.engine == Some(engine));
    (query.states.is_empty() || query.states.contains(state))
        && is_any(query.kind.as_ref(), &job.kind)
        && query.label.as_ref().is_none_or(label)
        && query.engine.is_none_or(engine)
        && query.since.is_none_or(|since| job.submitted >= since)
        && query.until.is_none_or(|until| job.submitted < until)
        && is_any(query.function.as_ref(), &job.function)
        && query.module_hash.as_ref().is_none_or(hash)
}

fn task_fits(query: &TaskQuery, task: &TaskEntry) -> bool {
    let started = |fits: &dyn Fn(SystemTime) -> bool| task.started.is_some_and(fits);
    (query.states.is_empty() || query.states.contains(&task.state))
        && query
            .code
            .as_ref()
            .is_none_or(|code| task.code.as_ref() == Some(code))
        && query
            .engine
            .is_none_or(|engine| task.engine == Some(engine))
        && query.since.is_none_or(|since| started(&|at| at >= since))
        && query.until.is_none_or(|until| started(&|at| at < until))
        && task.index >= query.first
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 24,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_query_finds_what_a_filter_finds(
        samples in vec(any_sample(), 0..12),
        job_queries in vec(any_job_query(), 40),
        task_queries in vec(any_task_query(), 20),
    ) {
        let place = HistoryFile::new();
        let history = place.open();
        let mut keys = Vec::new();
        for Sample { job, state, tasks } in &samples {
            let recorder = history.begin(job).expect("begun");
            recorder.tasks(tasks.clone());
            recorder.end(JobEnd { state: *state, ..done() });
            keys.push(recorder.key());
            recorder.flush();
        }
        for query in job_queries {
            let found = history.jobs(&query).expect("read");
            let found: Vec<_> = found.into_iter().map(|job| job.key).collect();
            let wanted: Vec<_> = keys.iter().zip(&samples).rev()
                .filter(|(_, sample)| job_fits(&query, sample))
                .map(|(key, _)| *key)
                .take(query.limit.unwrap_or(usize::MAX))
                .collect();
            prop_assert_eq!(found, wanted, "{:?}", query);
        }
        for query in task_queries {
            for (key, sample) in keys.iter().zip(&samples) {
                let found = history.tasks(*key, &query).expect("read");
                let wanted: Vec<_> = sample.tasks.iter()
                    .filter(|task| task_fits(&query, task))
                    .take(query.limit.unwrap_or(usize::MAX))
                    .cloned()
                    .collect();
                prop_assert_eq!(found, wanted, "{:?}", query);
            }
        }
    }
}
