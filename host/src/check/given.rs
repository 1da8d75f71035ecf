//! Compares the results of jobs and calls with the expected ones and with each other.

use super::Verdict;
use super::calls::{CallSample, ExpectedResult};
use super::checker::CheckError;
use super::difference::{Difference, same, text};
use super::samples::{InputSample, LARGEST};
use crate::{
    ByteSize, DynamicCallable, Failure, FailureCode, JobError, Origin, TaskError, Type, Value,
};
use rwasm_sandbox::sandbox::value_type;
use rwasm_value::format::{from_wave, to_wave};
use rwasm_value::small_file;
use std::io;

/// The result of a job or a call: a value, or why there is none.
pub(super) type Given = Result<Value, String>;

pub(super) fn expected(input: &InputSample, first: &Value) -> Result<Verdict, CheckError> {
    let name = input.expected.file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let found = text(first);
    // What is larger than both is not what the task gives.
    let most = LARGEST.max(ByteSize::new(found.len() as u64));
    let expected = match small_file::read_regular(&input.expected, most) {
        Ok(expected) => expected,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Verdict::Unsaid(format!(
                "there is no `{name}` with the expected output"
            )));
        }
        Err(source) => {
            return Err(CheckError::Unreadable {
                path: input.expected.clone(),
                source,
            });
        }
    };
    Ok(match Difference::of_texts(&expected, &found) {
        None => Verdict::kept(format!("matches `{name}`")),
        difference => Verdict::Broken {
            message: format!("does not match `{name}`"),
            difference,
        },
    })
}

/// Compares the result of a call with the expected one.
pub(super) fn wanted(
    call: &CallSample,
    function: &DynamicCallable,
    given: &Result<Value, Failure>,
) -> Verdict {
    let line = call.line;
    let Some(wanted) = &call.expected else {
        return Verdict::Unsaid(format!("line {line} has no expected result"));
    };
    let differs = |expected: String, found: String| Verdict::Broken {
        message: format!("does not match line {line}"),
        difference: Some(Difference {
            line: None,
            expected,
            found,
        }),
    };
    let found = || match given {
        Ok(value) => to_wave(value),
        Err(failure) if failure.code == FailureCode::GuestError => {
            format!("error {}", to_wave(&failure.message.as_str().into()))
        }
        Err(failure) => format!("error {}", said(failure)),
    };
    let is_met = match wanted {
        ExpectedResult::Value(text) => {
            let value = match value_of(text, function) {
                Ok(value) => value,
                Err(message) => return Verdict::broken(format!("line {line}: {message}")),
            };
            given.as_ref().is_ok_and(|given| same(given, &value))
        }
        ExpectedResult::GuestError(message) => given.as_ref().is_err_and(|failure| {
            failure.code == FailureCode::GuestError && failure.message == *message
        }),
        ExpectedResult::Failure(code) => given
            .as_ref()
            .is_err_and(|failure| failure.code.name() == code),
    };
    match (is_met, wanted) {
        (true, _) => Verdict::kept(format!("matches line {line}")),
        (false, ExpectedResult::Value(text)) => differs(text.clone(), found()),
        (false, ExpectedResult::GuestError(message)) => differs(
            format!("error {}", to_wave(&message.as_str().into())),
            found(),
        ),
        (false, ExpectedResult::Failure(code)) => differs(format!("error {code}"), found()),
    }
}

/// Parses the expected value of a call. The value of a `result` may be written with or without `ok`.
pub(super) fn value_of(text: &str, function: &DynamicCallable) -> Result<Value, String> {
    let ty = value_type(function.signature());
    if ty == Type::tuple([]) {
        let is_nothing = matches!(text, "()" | "ok");
        return if is_nothing {
            Ok(Value::Tuple(Vec::new()))
        } else {
            Err(format!(
                "`{}` returns nothing, which is written ()",
                function.signature()
            ))
        };
    }
    from_wave(text, &ty).or_else(|error| {
        let whole = function.signature().result.as_ref();
        match whole.map(|ty| from_wave(text, ty)) {
            Some(Ok(Value::Result(Ok(Some(value))))) => Ok(*value),
            _ => Err(error.to_string()),
        }
    })
}

/// Compares two outcomes of a call.
pub(super) fn differs(
    first: &Result<Value, Failure>,
    other: &Result<Value, Failure>,
    when: &str,
) -> Option<Verdict> {
    let given = |given: &Result<Value, Failure>| match given {
        Ok(value) => Ok(value.clone()),
        Err(failure) => Err(said(failure)),
    };
    unlike(&given(first), &given(other), when)
}

/// Compares a result with an earlier one.
pub(super) fn unlike(first: &Given, other: &Given, when: &str) -> Option<Verdict> {
    let verdict = |message: String, difference| {
        Some(Verdict::Broken {
            message,
            difference,
        })
    };
    match (first, other) {
        (Ok(first), Ok(other)) => Difference::of_values(first, other).and_then(|difference| {
            verdict(format!("gives a different result {when}"), Some(difference))
        }),
        (Ok(_), Err(message)) => verdict(format!("fails {when}: {message}"), None),
        (Err(message), Ok(_)) => verdict(
            format!("succeeds {when}, but failed before: {message}"),
            None,
        ),
        (Err(first), Err(other)) if first == other => None,
        (Err(first), Err(other)) => verdict(
            format!("fails {when} with a different error: {other}; before: {first}"),
            None,
        ),
    }
}

/// The parts in the form that the reducer takes.
pub(super) fn list(values: &[&Value], ty: &Type) -> Value {
    if ty.is_bytes() {
        // A list of these is bytes.
        let bytes: Option<Vec<u8>> = values
            .iter()
            .map(|value| match value {
                Value::U8(byte) => Some(*byte),
                _ => None,
            })
            .collect();
        if let Some(bytes) = bytes {
            return bytes.into();
        }
    }
    Value::List(values.iter().map(|value| (*value).clone()).collect())
}

pub(super) fn piece_name(origin: &Origin) -> String {
    match origin.source {
        crate::ArgumentSource::Chunk {
            ref input,
            ref range,
        } => {
            let name = input.rsplit('/').next().unwrap_or_default();
            format!("{name}, bytes {}..{}", range.start, range.end)
        }
        _ => origin.to_string(),
    }
}

pub(super) fn said(failure: &Failure) -> String {
    format!("{}: {}", failure.code, failure.message)
}

/// Returns the failure of the task, unless something else is wrong.
pub(super) fn failed(
    given: Result<Value, TaskError>,
) -> Result<Result<Value, Failure>, CheckError> {
    match given {
        Ok(value) => Ok(Ok(value)),
        Err(TaskError::Failed(failed)) if failed.failure.code == FailureCode::Cancelled => {
            Err(CheckError::Job(JobError::Cancelled))
        }
        Err(TaskError::Failed(failed)) => Ok(Err(failed.failure.clone())),
        Err(error) => Err(fault(error)),
    }
}

/// Returns why a job has no result, if the task is to blame.
pub(super) fn unmade(error: JobError) -> Result<String, CheckError> {
    match error {
        JobError::TaskFailed { failure, .. } if failure.code == FailureCode::Cancelled => {
            Err(CheckError::Job(JobError::Cancelled))
        }
        JobError::TaskFailed {
            origin, failure, ..
        } => Ok(format!("{} ({})", said(&failure), piece_name(&origin))),
        JobError::ReducerFailed(failure) => Ok(format!("the reducer fails: {}", said(&failure))),
        JobError::Merge(_) | JobError::Deadline(_) => Ok(error.to_string()),
        other => Err(CheckError::Job(other)),
    }
}

pub(super) fn fault(error: impl std::error::Error) -> CheckError {
    CheckError::Job(JobError::Internal(error.to_string()))
}
