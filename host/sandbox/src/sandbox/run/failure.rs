//! Turns wasmtime's errors into failures with a code, a message and the next step.

use super::runner::Stop;
use crate::limits::Limits;
use crate::outcome::{Failure, FailureCode, Log};
use crate::sandbox::module::Function;
use crate::sandbox::module::imports;
use crate::sandbox::world::host::HostFunctionFailed;
use crate::sandbox::world::http::MAX_FIELDS;
use crate::sandbox::world::quota::{Quota, Reached};
use crate::sandbox::world::request::Request;
use crate::sandbox::world::state::{GuestState, MOST_INSTANCES, Refused, Stopped, StoppedByHost};
use crate::sandbox::world::stdio::OutputLimitPassed;
use crate::sandbox::world::stubs::NotOffered;
use rwasm_value::plain::{in_line, shortened};
use rwasm_value::units::ByteSize;
use std::fmt::Write as _;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::FieldMapError;

/// How many frames of a guest's backtrace are kept.
const MAX_FRAMES: usize = 24;

/// How many bytes of a function's name are shown.
const MAX_NAME: usize = 400;

/// How often a function must occur among the innermost frames for calls to count as endlessly
/// nested, if not all are of one function.
const RECURS: usize = 5;

/// Compilers keep the data of calls on a stack of their own in linear memory, and accesses below it
/// are out of bounds.
const OWN_STACK: &str = "; its calls are deeply nested, and its own stack in linear memory may have overflowed: build it with a \
    larger one (Rust: -C link-arg=-zstack-size=BYTES, C: -Wl,-z,stack-size=BYTES)";

/// Classifies `error`, which was raised while a guest ran.
pub(super) fn classify(error: &wasmtime::Error, state: &GuestState, limits: &Limits) -> Failure {
    let mut failure = without_backtrace(error, state, limits);
    if matches!(
        failure.code,
        FailureCode::Trap | FailureCode::Timeout | FailureCode::StackOverflow
    ) {
        let trace = error.downcast_ref::<WasmBacktrace>();
        failure.backtrace = trace.and_then(backtrace);
        let is_outside = failure.code == FailureCode::Trap
            && error.downcast_ref() == Some(&Trap::MemoryOutOfBounds);
        if is_outside && trace.is_some_and(is_recursion) {
            failure.message.push_str(OWN_STACK);
        }
    }
    failure
}

fn without_backtrace(error: &wasmtime::Error, state: &GuestState, limits: &Limits) -> Failure {
    if error.is::<StoppedByHost>() {
        return match state.stopped {
            Some(Stopped::Cancelled) => Failure::cancelled(),
            Some(Stopped::OutOfFuel) => out_of_fuel(limits),
            _ if state.work.is_some() => timeout_by_clock(limits),
            _ => timeout(limits),
        };
    }
    if error.is::<OutputLimitPassed>() || chain_has::<OutputLimitPassed>(error) {
        return output_limit(limits);
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return exited(exit_code(exit), state, limits);
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
    if error.is::<PoolConcurrencyLimitError>() {
        let message = format!("the instance pool is full: {error}");
        return Failure::new(FailureCode::Internal, message);
    }
    if let Some(failure) = asked_too_much(error, limits) {
        return failure;
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Failure::new(
            FailureCode::StackOverflow,
            format!(
                "the guest's calls nested deeper than its stack of {} allows (raise `Limits::stack`)",
                limits.stack_class()
            ),
        ),
        Some(Trap::OutOfFuel) => out_of_fuel(limits),
        // A guest that was refused memory usually traps by itself; the refusal is the cause.
        trap => match (state.limiter.refused, refused_file(state, limits), trap) {
            (Some(refused), _, _) => memory_limit(refused, limits),
            (None, Some(failure), _) => failure,
            (None, None, Some(trap)) => match (trap, &state.desk.panicked) {
                // If it went on after a panic, a trap of another kind has another cause.
                (Trap::UnreachableCodeReached, Some(panicked)) => {
                    Failure::new(FailureCode::Trap, panicked.to_string())
                }
                _ => Failure::new(FailureCode::Trap, trap_text(*trap)),
            },
            (None, None, None) => {
                Failure::new(FailureCode::Trap, format!("{:#}", error.root_cause()))
            }
        },
    }
}

/// Returns the failure of a guest that has or asked for too much of something that the host keeps.
fn asked_too_much(error: &wasmtime::Error, limits: &Limits) -> Option<Failure> {
    let memory_limit = |message: String| Some(Failure::new(FailureCode::MemoryLimit, message));
    if has_no_handle_left(error) {
        return Some(no_handle_left(limits));
    }
    if is_out_of_hostcall_fuel(error) {
        return Some(output_limit(limits));
    }
    if has_too_many_resources(error) {
        let message = "the guest made more resources of its own than a component may have";
        return memory_limit(message.to_owned());
    }
    if has_too_many_instances(error) {
        return memory_limit(format!(
            "the component has more than {MOST_INSTANCES} core modules, the most it may have"
        ));
    }
    if wanted_too_much_random(error) {
        return memory_limit(format!(
            "the guest asked for more random bytes at once than its limit of {} (raise `Limits::random`)",
            limits.random
        ));
    }
    if error.is::<FieldMapError>() {
        let most = ByteSize::new(MAX_FIELDS as u64);
        return memory_limit(format!(
            "the guest made HTTP headers of more than {most}, the most that a request may have"
        ));
    }
    None
}

/// A program that exits with an error after it was refused memory, or reached a limit of its directories, fails for that
/// limit, as if it had trapped.
pub(super) fn exited(code: u32, state: &GuestState, limits: &Limits) -> Failure {
    let refused = || {
        let memory = state.limiter.refused;
        let memory = memory.map(|refused| memory_limit(refused, limits));
        memory.or_else(|| refused_file(state, limits))
    };
    let refused = (code != 0).then(refused).flatten().map(|mut failure| {
        // Writing to a string cannot fail.
        let _ = write!(failure.message, "; the program exited with code {code}");
        failure
    });
    refused.unwrap_or_else(|| {
        Failure::new(
            FailureCode::ExitCode,
            format!("the program exited with code {code}"),
        )
    })
}

/// What was lost of what the guest has passed from one stream to another, and not waited for.
pub(super) fn lost(state: &GuestState, limits: &Limits) -> Option<Failure> {
    let reason = state.stdio.flows.untold()?;
    Some(refused_file(state, limits).unwrap_or_else(|| {
        let message = format!(
            "what the guest passed from or to a file did not arrive whole ({reason}), and it did not wait for the end"
        );
        Failure::new(FailureCode::GuestError, message)
    }))
}

/// What programs say of a path that lies in no granted directory. Their library compares paths with
/// the granted ones, so the host does not hear of it.
const MISSING: [&str; 6] = [
    "os error 44",
    "os error 76",
    "Errno 44",
    "No such file or directory",
    "pre-opened file descriptor",
    "ENOENT",
];

/// Returns what is granted, as a suffix for the failure of a task that complains of a missing file.
pub(super) fn missing_directory(failure: &Failure, stderr: &Log, request: &Request<'_>) -> String {
    let is_its_own = matches!(
        failure.code,
        FailureCode::ExitCode | FailureCode::Trap | FailureCode::GuestError
    );
    let text = stderr.text();
    let complains = |text: &str| MISSING.iter().any(|words| text.contains(words));
    if !is_its_own || !complains(&text) && !complains(&failure.message) {
        return String::new();
    }
    match request.setting.grants.dirs.as_slice() {
        [] => "; no directory is granted (grant one with `Grants::dir`)".to_owned(),
        dirs => {
            let names: Vec<_> = dirs
                .iter()
                .map(|dir| format!("`{}`", in_line(&dir.guest)))
                .collect();
            format!(
                "; of directories, only {} is granted (grant another with `Grants::dir`)",
                names.join(", ")
            )
        }
    }
}

/// Returns the failure for a limit of directories or handles, if the guest reached one.
fn refused_file(state: &GuestState, limits: &Limits) -> Option<Failure> {
    let reached = state.files.quota.as_ref().and_then(Quota::reached);
    let message = match reached {
        Some(Reached::Written) => format!(
            "the task tried to write more than its limit of {} to its granted directories (raise `Limits::written`)",
            limits.written
        ),
        Some(Reached::Files) => format!(
            "the task tried to create more than its limit of {} files, directories and links (raise `Limits::files`)",
            limits.files
        ),
        None if state.files.handles_refused => return Some(no_handle_left(limits)),
        None => return None,
    };
    Some(Failure::new(FailureCode::OutputLimit, message))
}

fn no_handle_left(limits: &Limits) -> Failure {
    Failure::new(
        FailureCode::MemoryLimit,
        format!(
            "the guest tried to open more than its limit of {} handles (raise `Limits::handles`)",
            limits.handles
        ),
    )
}

fn has_no_handle_left(error: &wasmtime::Error) -> bool {
    let is_full = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(ResourceTableError::Full))
    };
    error.chain().any(is_full)
}

/// Whether a component has too many resources of its own. wasmtime has no type for this error.
fn has_too_many_resources(error: &wasmtime::Error) -> bool {
    let cause = error.root_cause().to_string();
    cause.contains("handle limit exceeded")
}

/// Whether a component has more core modules than it may. wasmtime has no type for this error.
fn has_too_many_instances(error: &wasmtime::Error) -> bool {
    let cause = error.root_cause().to_string();
    cause.contains("instance count too high")
}

/// Whether the guest asked for too many random bytes at once. wasmtime-wasi has no type for this
/// error.
fn wanted_too_much_random(error: &wasmtime::Error) -> bool {
    let cause = error.root_cause().to_string();
    cause.starts_with("requested len ") && cause.contains(" exceeds limit ")
}

/// Whether too much data passed between guest and host. wasmtime has no type for this error.
fn is_out_of_hostcall_fuel(error: &wasmtime::Error) -> bool {
    let cause = error.root_cause().to_string();
    cause.contains("fuel allocated for hostcalls")
}

/// Classifies the error of a call of a component. An error raised while no guest code ran comes
/// from the host and concerns the result, or the memory that the guest allocated.
pub(super) fn of_call(error: wasmtime::Error, function: &Function) -> Stop {
    let is_guests = error.is::<WasmBacktrace>()
        || error.is::<Trap>()
        || error.is::<I32Exit>()
        || error.is::<StoppedByHost>()
        || is_out_of_hostcall_fuel(&error);
    if is_guests {
        return Stop::Guest(error);
    }
    let message = format!(
        "the result of `{}`, or the memory it allocated, violates the canonical ABI: {}",
        function.name,
        error.root_cause()
    );
    Stop::Failure(Failure::new(FailureCode::BadOutput, message))
}

/// Returns the exit code as guests give it, unsigned.
pub(super) fn exit_code(exit: &I32Exit) -> u32 {
    exit.0.cast_unsigned()
}

fn not_offered(module: &str, name: &str) -> Failure {
    Failure::new(
        FailureCode::ImportDenied,
        format!(
            "the guest called the import `{}` of `{}`, which this host does not provide{}",
            in_line(name),
            in_line(module),
            imports::advice(module)
        ),
    )
}

pub(super) fn chain_has<E: std::error::Error + 'static>(error: &wasmtime::Error) -> bool {
    error.chain().any(<dyn std::error::Error>::is::<E>)
}

fn trap_text(trap: Trap) -> String {
    let text = trap.to_string();
    let text = text.strip_prefix("wasm trap: ").unwrap_or(&text);
    match trap {
        Trap::UnreachableCodeReached => format!("{text} (the program panicked or aborted)"),
        _ => text.to_owned(),
    }
}

pub(super) fn timeout(limits: &Limits) -> Failure {
    Failure::timeout(limits.time)
}

/// Of a deterministic task that the clock ended.
pub(super) fn timeout_by_clock(limits: &Limits) -> Failure {
    let mut failure = Failure::new(
        FailureCode::Timeout,
        format!(
            "the task ran longer by the clock than {}, so that it has no outcome: on a faster machine it might have ended \
             (raise `Limits::wall`)",
            humantime::format_duration(limits.wall())
        ),
    );
    failure.is_by_clock = true;
    failure
}

pub(super) fn out_of_fuel(limits: &Limits) -> Failure {
    Failure::new(
        FailureCode::FuelExhausted,
        format!(
            "the guest used up its fuel of {} (raise `Limits::fuel`)",
            limits.fuel.unwrap_or_default()
        ),
    )
}

pub(super) fn output_limit(limits: &Limits) -> Failure {
    Failure::new(
        FailureCode::OutputLimit,
        format!(
            "the task produced more than its output limit of {} (raise `Limits::output`)",
            limits.output
        ),
    )
}

pub(super) fn input_limit(size: u64, limits: &Limits) -> Failure {
    Failure::new(
        FailureCode::InputLimit,
        format!(
            "the input of {} is larger than the input limit of {} (use smaller chunks, or raise `Limits::input`)",
            ByteSize::new(size),
            limits.input
        ),
    )
}

pub(super) fn memory_limit(refused: Refused, limits: &Limits) -> Failure {
    let message = match refused {
        Refused::Memory(wanted) => format!(
            "the guest asked for {} of memory, more than its limit of {} (raise `Limits::memory`)",
            ByteSize::new(wanted as u64),
            limits.memory
        ),
        Refused::Table(wanted) => format!(
            "the guest asked for {wanted} table elements, more than its limit of {} (raise `Limits::table_elements`)",
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

/// Whether the trace consists of a few functions, again and again.
fn is_recursion(trace: &WasmBacktrace) -> bool {
    let frames = trace.frames();
    let times = |index| {
        frames
            .iter()
            .filter(|one| one.func_index() == index)
            .count()
    };
    frames
        .iter()
        .any(|frame| times(frame.func_index()) >= RECURS)
}

/// Returns a function's name as its author wrote it; names of languages other than Rust stay as
/// they are.
fn demangled(name: &str) -> String {
    in_line(&shortened(
        format!("{:#}", rustc_demangle::demangle(name)),
        MAX_NAME,
    ))
}
