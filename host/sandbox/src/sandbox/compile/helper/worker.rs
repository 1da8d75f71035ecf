//! What runs in the process that compiles: reads one module, writes its code, and reports how it
//! went.

use super::super::variant;
use super::protocol::{Answer, COMMAND, CodeKind, Passed, Request};
use super::system;
use crate::sandbox::module::valid::expect_compilable;
use rwasm_value::plain::panic_text;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// The longest message about what is wrong with a module.
const MESSAGE: usize = 8 << 10;

/// Compiles the module that a cluster asks for, if these arguments, without the program's name, say
/// so, and returns the exit code; otherwise returns `None`. A program calls it before anything else
/// to be the helper of [`Compiler::Helper`](crate::sandbox::Compiler::Helper):
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     let arguments = std::env::args_os().skip(1);
///     if let Some(code) = rwasm_sandbox::sandbox::compile_worker(arguments) {
///         return code;
///     }
///     // Everything else that the program does.
///     std::process::ExitCode::SUCCESS
/// }
/// ```
///
/// It lowers the limits of this process for good, takes over its stdin, stdout and stderr, and ends
/// the process when stdin ends, because the requester has gone then.
pub fn compile_worker(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter();
    if arguments.next()? != COMMAND {
        return None;
    }
    let request = arguments.next().and_then(|text| text.into_string().ok());
    let answer = match request.map(|text| serde_json::from_str(&text)) {
        Some(Ok(request)) => serve(&request),
        // A different build, with another form of request.
        _ => Answer::Mismatch,
    };
    if let Ok(mut line) = serde_json::to_string(&answer) {
        // On its own line, whatever was written before.
        line = format!("\n{line}\n");
        // The requester may have gone.
        let _ = io::stderr().write_all(line.as_bytes());
    }
    Some(ExitCode::SUCCESS)
}

fn serve(request: &Request) -> Answer {
    let compiled = || -> io::Result<Answer> {
        system::bind(request)?;
        let Ok(engine) = variant::compiling(request.variant, request.spacious) else {
            return Ok(Answer::Mismatch);
        };
        if variant::compatibility(&engine, request.variant) != request.compatibility {
            return Ok(Answer::Mismatch);
        }
        let module = module(request.module)?;
        end_with_stdin()?;
        // The hook has reported the place; the text goes to the requester.
        let compiled = catch_unwind(AssertUnwindSafe(|| {
            expect_compilable(&module)?;
            match request.kind {
                CodeKind::Core => engine.precompile_module(&module),
                CodeKind::Component => engine.precompile_component(&module),
            }
        }));
        Ok(match compiled {
            Ok(Ok(code)) if code.len() as u64 > request.code => Answer::Limit {
                passed: Passed::Code,
            },
            Ok(Ok(code)) => {
                output()?.write_all(&code)?;
                Answer::Compiled {
                    bytes: code.len() as u64,
                    crc32: crc32fast::hash(&code),
                }
            }
            Ok(Err(error)) if error.is::<wasmtime::OutOfMemory>() => Answer::Limit {
                passed: Passed::Memory,
            },
            Ok(Err(error)) => Answer::Invalid {
                message: cut(format!("{error:#}")),
            },
            Err(panic) => Answer::Failed {
                message: cut(format!("it panicked: {}", panic_text(&*panic))),
            },
        })
    };
    compiled().unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::OutOfMemory => Answer::Limit {
            passed: Passed::Memory,
        },
        _ => Answer::Failed {
            message: error.to_string(),
        },
    })
}

/// Reads this many bytes of stdin.
fn module(size: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut module = Vec::new();
    module
        .try_reserve_exact(size)
        .map_err(|_| io::ErrorKind::OutOfMemory)?;
    module.resize(size, 0);
    io::stdin().lock().read_exact(&mut module)?;
    Ok(module)
}

/// Ends the process when stdin ends, even if the compiler is busy.
fn end_with_stdin() -> io::Result<()> {
    /// It only reads.
    const STACK: usize = 64 << 10;
    let watch = || {
        let mut rest = [0];
        // Bytes after the module mean nothing, and none are ever sent.
        while matches!(io::stdin().lock().read(&mut rest), Ok(1..)) {}
        std::process::exit(1)
    };
    std::thread::Builder::new()
        .name("rwasm-watch".to_owned())
        .stack_size(STACK)
        .spawn(watch)
        .map(drop)
}

/// Stdout as the file that it is, without a buffer.
fn output() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MESSAGE));
    message
}
