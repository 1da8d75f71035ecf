//! What the library records, and what it says of that.

use super::{HistoryDir, history_of};
use crate::support::{module, one_line_each};
use rwasm_cluster::{
    Input, JobKind, JobQuery, JobState, Kept, Merge, RecordedInput, TaskQuery, TaskState, Value,
};

#[test]
fn the_library_records_runs_maps_and_calls() {
    let dir = HistoryDir::new();
    let cluster = dir.cluster(2);
    let numbers = module("numbers");
    let view = cluster.load_balanced_view().label("sums");
    let add = numbers
        .function::<(u64, u64), u64>("add")
        .expect("it is there");
    let task = view.try_submit(&add, (2, 3)).expect("submitted");
    assert_eq!(task.get().expect("it goes well"), 5);
    let fail = numbers
        .function::<(String,), u64>("fail")
        .expect("it is there");
    let task = view
        .try_submit(&fail, ("trap".to_owned(),))
        .expect("submitted");
    task.get().expect_err("it traps");
    let one = numbers
        .function::<(u64,), u64>("add-one")
        .expect("it is there");
    let map = view.map(&one, (0..100).map(|n| (n,))).expect("begun");
    assert_eq!(map.get().expect("all go well").len(), 100);
    let inputs = vec![Input::bytes("text", "a\nb\n")];
    let job = cluster.run(&module("wordcount"), inputs, &one_line_each(Merge::Default));
    job.expect("begun").wait().expect("it goes well");

    let history = history_of(&cluster);
    let jobs = history.jobs(&JobQuery::default()).expect("read");
    let seen: Vec<_> = jobs
        .iter()
        .rev()
        .map(|job| {
            (
                job.kind,
                job.state,
                job.function.as_str(),
                job.tasks,
                job.tasks_failed,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (JobKind::Call, JobState::Done, "add", 1, 0),
            (JobKind::Call, JobState::Failed, "fail", 1, 1),
            (JobKind::Map, JobState::Done, "add-one", 100, 0),
            (JobKind::Run, JobState::Done, "mapper", 2, 0),
        ]
    );
    assert_eq!(jobs[3].label.as_deref(), Some("sums"));
    let number = |kept: &Kept| match kept {
        Kept::Value(value) => value.unpack().expect("a value").as_u64(),
        _ => None,
    };
    let sum = history.task(jobs[3].key, 0).expect("there");
    assert_eq!((sum.state, number(&sum.result)), (TaskState::Done, Some(5)));
    let RecordedInput::Stored(arguments) = &sum.input else {
        panic!("{:?}", sum.input)
    };
    assert_eq!(arguments[1].unpack(), Ok(Value::U64(3)));
    let trap = history.task(jobs[2].key, 0).expect("there");
    assert_eq!(trap.code.as_deref(), Some("trap"));
    assert!(trap.backtrace.is_some() && trap.engine.is_some());
    let tasks = history
        .tasks(jobs[1].key, &TaskQuery::default())
        .expect("read");
    let values: Vec<_> = tasks
        .iter()
        .filter_map(|task| number(&task.result))
        .collect();
    assert_eq!(values, (1..=100).collect::<Vec<u64>>());
    assert!(matches!(history.result(jobs[0].key), Ok(Kept::Value(_))));
}
