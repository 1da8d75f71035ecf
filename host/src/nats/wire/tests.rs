//! What is sent comes back, and what comes from anywhere does no harm.

use super::*;
use crate::job::MOST_TASKS;
use proptest::collection::vec;
use proptest::prelude::*;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::note::{LogLevel, LogLine, Notes, Progress, Published};
use rwasm_sandbox::outcome::{Failure, FailureCode, Log, Logs, Outcome, Usage};
use rwasm_value::ids::EngineId;
use rwasm_value::units::ByteSize;
use rwasm_value::value::{Packed, Type, Value};

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn input() -> impl Strategy<Value = InputForm> {
    let data = prop_oneof![
        bytes().prop_map(ChunkForm::Inline),
        ".{0,20}".prop_map(ChunkForm::Object),
    ];
    let chunk = (
        ".{0,20}",
        any::<u64>(),
        any::<u64>(),
        any::<(u64, u64)>(),
        data,
    );
    prop_oneof![
        vec(bytes(), 0..4).prop_map(InputForm::Values),
        vec(bytes(), 0..4).prop_map(InputForm::Parts),
        chunk.prop_map(|(source, number, position, (start, end), data)| {
            InputForm::Chunk {
                source,
                number,
                position,
                range: start..end,
                data,
            }
        }),
        vec(
            prop_oneof![bytes().prop_map(Ok), ".{0,9}".prop_map(Err)],
            0..4
        )
        .prop_map(InputForm::Named),
        (".{0,9}", ".{0,30}", any::<bool>()).prop_map(|(code, message, is_input_error)| {
            InputForm::Refused {
                code,
                message,
                is_input_error,
            }
        }),
    ]
}

fn task() -> impl Strategy<Value = TaskForm> {
    (any::<u64>(), any::<u32>(), any::<u64>(), input()).prop_map(
        |(index, attempt, start_by, input)| TaskForm {
            index,
            attempt,
            start_by,
            input,
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let result = prop_oneof![
        any::<u64>().prop_map(|number| {
            Ok(Packed::pack(&Value::U64(number), &Type::U64).expect("it fits"))
        }),
        ("[a-z ]{0,30}", prop::option::of("[a-z]{0,9}")).prop_map(|(text, backtrace)| {
            let mut failure = Failure::new(FailureCode::Trap, text);
            failure.backtrace = backtrace;
            Err(failure)
        }),
    ];
    let notes = prop::option::of(("[a-z]{0,9}", bytes()).prop_map(|(name, bytes)| {
        Box::new(Notes {
            log: vec![LogLine {
                level: LogLevel::Warn,
                message: name.clone(),
            }],
            log_dropped: 3,
            published: vec![Published {
                name: name.into(),
                bytes,
            }],
            published_dropped: 0,
            progress: Some(Progress {
                done: 1,
                total: None,
            }),
        })
    }));
    let logs = prop::option::of(bytes().prop_map(|kept| {
        let log = |kept: &Bytes| Log {
            kept: kept.to_vec(),
            dropped: 7,
            dropped_at: kept.len() / 2,
        };
        Box::new(Logs {
            stdout: log(&kept),
            stderr: Log::default(),
        })
    }));
    let numbers = any::<(u32, u32, u64, bool)>();
    (result, numbers, notes, logs).prop_map(
        |(result, (engine, attempt, size, lost), notes, logs)| {
            let now = time(micros(std::time::SystemTime::now()));
            let mut usage =
                Usage::none((engine % 2 == 0).then_some(EngineId(engine)), attempt, now);
            usage.started = now;
            usage.run_time = Duration::from_nanos(size);
            usage.peak_memory = size;
            usage.fuel = lost.then_some(size);
            usage.state_lost = lost;
            usage.notes = notes;
            usage.logs = logs;
            Outcome { result, usage }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tasks_come_back_as_they_were(tasks in vec(task(), 0..6)) {
        let body = Bytes::from(encode_tasks(&tasks));
        prop_assert!(decoded(&tasks, 100) <= most_decoded(&body, 100));
        prop_assert_eq!(decode_tasks(&body).expect("they are tasks"), tasks);
    }

    #[test]
    fn outcomes_come_back_as_they_were(outcomes in vec(outcome(), 0..6)) {
        let body = encode_outcomes(&outcomes);
        let count = outcomes.len() as u64;
        let back = decode_outcomes(&body, &Type::U64, count).expect("they are outcomes");
        prop_assert_eq!(format!("{back:?}"), format!("{outcomes:?}"));
        let fewer = count.checked_sub(1).map(|fewer| decode_outcomes(&body, &Type::U64, fewer));
        prop_assert!(!matches!(fewer, Some(Ok(_))), "they are for fewer tasks");
    }

    #[test]
    fn bytes_from_anywhere_do_no_harm(body in vec(any::<u8>(), 0..200)) {
        let _ = decode_outcomes(&body, &Type::String, u64::MAX);
        let body = Bytes::from(body);
        let _ = decode_tasks(&body);
        let _ = parse::<OutcomesHead>(&body);
    }

    #[test]
    fn what_is_cut_off_is_refused(tasks in vec(task(), 1..4), cut in 1_usize..30) {
        let body = encode_tasks(&tasks);
        let cut = body.len().saturating_sub(cut);
        prop_assert!(decode_tasks(&Bytes::copy_from_slice(&body[..cut])).is_err());
    }
}

#[test]
fn a_message_has_a_head_and_a_body() {
    let head = OutcomesHead {
        process: "p".to_owned(),
        delivery: 1,
        count: 2,
        failures: 0,
        first: 0,
        last: 1,
        body: None,
    };
    let message = frame(&head, b"body");
    let (back, body) = parse::<OutcomesHead>(&message).expect("a message");
    assert_eq!((back, &body[..]), (head, &b"body"[..]));
    let mut other = message.to_vec();
    other[0] = 9;
    let error = parse::<OutcomesHead>(&other.into()).unwrap_err();
    assert!(error.to_string().contains("version 9"), "{error}");
}

#[test]
fn a_message_is_not_trusted_for_how_many_tasks_it_has() {
    let tasks = |count: usize, values: usize| -> Vec<TaskForm> {
        let input = InputForm::Values(vec![Bytes::new(); values]);
        let task = |index| TaskForm {
            index,
            attempt: 1,
            start_by: 0,
            input: input.clone(),
        };
        (0..count as u64).map(task).collect()
    };
    let decoded = |count, values| {
        let body = Bytes::from(encode_tasks(&tasks(count, values)));
        decode_tasks(&body).map(|tasks| tasks.len())
    };
    assert_eq!(
        decoded(MOST_TASKS, 1).expect("so many are allowed"),
        MOST_TASKS
    );
    assert!(matches!(
        decoded(MOST_TASKS + 1, 0),
        Err(WireError::TooMany)
    ));
    // Two megabytes of empty arguments would become sixty.
    assert!(matches!(decoded(1, 2 << 20), Err(WireError::TooMany)));
    assert!(matches!(decoded(4096, 512), Err(WireError::TooMany)));
}

#[test]
fn the_bound_of_outcomes_follows_from_the_limits_of_their_tasks() {
    let mut limits = Limits::default();
    limits.output = ByteSize::mib(1);
    limits.logs = ByteSize::new(1 << 10);
    let one = largest_outcomes(&limits, 1);
    assert!((3 << 20..4 << 20).contains(&one), "{one}");
    assert_eq!(largest_outcomes(&limits, 10), 10 * one);
    assert_eq!(largest_outcomes(&limits, u64::MAX), LARGEST_OUTCOMES);
    // A task that returns and publishes as much as it may, in the form that takes the most room.
    let numbers = Value::List(vec![Value::U64(u64::MAX); (1 << 20) / 8]);
    let packed = Packed::pack(&numbers, &Type::List(Type::U64.into())).expect("it fits");
    let mut usage = Usage::none(None::<EngineId>, 1, std::time::SystemTime::now());
    usage.notes = Some(Box::new(Notes {
        published: vec![Published {
            name: "all".into(),
            bytes: vec![7; (1 << 20) - 3].into(),
        }],
        ..Notes::default()
    }));
    let outcome = Outcome {
        result: Ok(packed),
        usage,
    };
    let body = encode_outcomes(&[outcome]);
    assert!((body.len() as u64) < one, "{} of {one}", body.len());
}

#[test]
fn a_time_that_never_comes_is_none() {
    let hour = from_now(Duration::from_hours(1)).expect("it comes");
    assert!(micros(hour) > micros(SystemTime::now()));
    assert_eq!(from_now(Duration::MAX), None);
}
