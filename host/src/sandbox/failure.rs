//! How wasmtime's errors become failures with a code, a message and the next step.

use super::host::HostFunctionFailed;
use super::state::{Refused, State, Stopped, StoppedByHost};
use super::stdio::OutputLimitPassed;
use super::stubs::NotOffered;
use crate::limits::{Limits, STACK_SIZE};
use crate::outcome::{Failure, FailureCode};
use crate::units::ByteSize;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// How many frames of a guest's backtrace are kept.
const MAX_FRAMES: usize = 24;

/// The failure that `error`, raised while a guest ran, stands for.
pub(super) fn classify(error: &wasmtime::Error, state: &State, limits: &Limits) -> Failure {
    let mut failure = without_backtrace(error, state, limits);
    if matches!(
        failure.code,
        FailureCode::Trap | FailureCode::Timeout | FailureCode::StackOverflow
    ) {
        failure.backtrace = error.downcast_ref::<WasmBacktrace>().and_then(backtrace);
    }
    failure
}

fn without_backtrace(error: &wasmtime::Error, state: &State, limits: &Limits) -> Failure {
    if error.is::<StoppedByHost>() {
        return match state.stopped {
            Some(Stopped::Cancelled) => cancelled(),
            _ => timeout(limits),
        };
    }
    if error.is::<OutputLimitPassed>() || chain_has::<OutputLimitPassed>(error) {
        return output_limit(limits);
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Failure::new(
            FailureCode::ExitCode,
            format!("the program exited with code {}", exit.0),
        );
    }
    if let Some(import) = error.downcast_ref::<wasmtime::UnknownImportError>() {
        return not_offered(import.module(), import.name());
    }
    if let Some(import) = error.downcast_ref::<NotOffered>() {
        return not_offered(&import.module, &import.name);
    }
    if let Some(failed) = error.downcast_ref::<HostFunctionFailed>() {
        return Failure::new(FailureCode::Trap, failed.to_string());
    }
    // wasmtime gives this error no type of its own.
    if error
        .root_cause()
        .to_string()
        .contains("fuel allocated for hostcalls")
    {
        return output_limit(limits);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Failure::new(
            FailureCode::StackOverflow,
            format!("the guest's calls nested deeper than its stack of {STACK_SIZE} allows"),
        ),
        Some(Trap::OutOfFuel) => Failure::new(
            FailureCode::FuelExhausted,
            format!(
                "the guest used up its fuel of {} (raise it with --fuel)",
                limits.fuel.unwrap_or_default()
            ),
        ),
        // A guest that was refused memory usually traps on its own; what it wanted is the cause.
        trap => match (state.limiter.refused, trap) {
            (Some(refused), _) => memory_limit(refused, limits),
            (None, Some(trap)) => Failure::new(FailureCode::Trap, trap_text(*trap)),
            (None, None) => Failure::new(FailureCode::Trap, format!("{:#}", error.root_cause())),
        },
    }
}

fn not_offered(module: &str, name: &str) -> Failure {
    Failure::new(
        FailureCode::ImportDenied,
        format!(
            "the guest called the import `{name}` of `{module}`, which this host does not offer"
        ),
    )
}

fn chain_has<E: std::error::Error + 'static>(error: &wasmtime::Error) -> bool {
    error.chain().any(<dyn std::error::Error>::is::<E>)
}

fn trap_text(trap: Trap) -> String {
    let text = trap.to_string();
    let text = text.strip_prefix("wasm trap: ").unwrap_or(&text);
    match trap {
        Trap::UnreachableCodeReached => format!("{text} (a panic or an abort of the program)"),
        _ => text.to_owned(),
    }
}

pub(super) fn cancelled() -> Failure {
    Failure::new(FailureCode::Cancelled, "the task was cancelled")
}

pub(super) fn timeout(limits: &Limits) -> Failure {
    Failure::new(
        FailureCode::Timeout,
        format!(
            "the task ran longer than its time limit of {} (raise it with --timeout)",
            humantime::format_duration(limits.time)
        ),
    )
}

pub(super) fn output_limit(limits: &Limits) -> Failure {
    Failure::new(
        FailureCode::OutputLimit,
        format!(
            "the task produced more than its output limit of {} (raise it with --limit output=SIZE)",
            limits.output
        ),
    )
}

pub(super) fn input_limit(size: u64, limits: &Limits) -> Failure {
    Failure::new(
        FailureCode::InputLimit,
        format!(
            "the input of {} is larger than the input limit of {} (cut it smaller with --chunk, or raise the limit with --limit input=SIZE)",
            ByteSize::new(size),
            limits.input
        ),
    )
}

fn memory_limit(refused: Refused, limits: &Limits) -> Failure {
    let message = match refused {
        Refused::Memory(wanted) => format!(
            "the guest wanted {} of memory, its limit is {} (raise it with --memory)",
            ByteSize::new(wanted as u64),
            limits.memory
        ),
        Refused::Table(wanted) => format!(
            "the guest wanted {wanted} table elements, its limit is {} (raise it with --limit table-elements=N)",
            limits.table_elements
        ),
    };
    Failure::new(FailureCode::MemoryLimit, message)
}

fn backtrace(trace: &WasmBacktrace) -> Option<String> {
    let frames = trace.frames();
    let mut lines: Vec<String> = frames
        .iter()
        .take(MAX_FRAMES)
        .map(|frame| match frame.func_name() {
            Some(name) => demangled(name),
            None => format!("<function {}>", frame.func_index()),
        })
        .collect();
    if frames.len() > MAX_FRAMES {
        lines.push(format!("… and {} more", frames.len() - MAX_FRAMES));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// A function's name as its author wrote it; names of other languages than Rust stay as they are.
fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
