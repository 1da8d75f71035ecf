//! What runs in the process that compiles: it reads one module, writes its code, says how it went.

use super::protocol::{Answer, COMMAND, Kind, Passed, Request};
use super::system;
use crate::sandbox::variant;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// What is told of what is wrong with a module is no longer than this.
const MESSAGE: usize = 8 << 10;

/// Compiles the module that a cluster asks for, where these arguments, without the program's name, say
/// so, and gives the code to exit with; none where they do not. A program calls it first of all to be
/// the helper of [`Compiler::Helper`](crate::Compiler::Helper):
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     let arguments = std::env::args_os().skip(1);
///     if let Some(code) = rwasm_cluster::compile_worker(arguments) {
///         return code;
///     }
///     // Whatever else the program does.
///     std::process::ExitCode::SUCCESS
/// }
/// ```
///
/// It lowers the limits of this process for good, has its stdin, stdout and stderr to itself, and ends
/// the process when its stdin ends: whoever asked has gone then.
pub fn compile_worker(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter();
    if arguments.next()? != COMMAND {
        return None;
    }
    let request = arguments.next().and_then(|text| text.into_string().ok());
    let answer = match request.map(|text| serde_json::from_str(&text)) {
        Some(Ok(request)) => serve(&request),
        // Of a build that says it otherwise.
        _ => Answer::Mismatch,
    };
    if let Ok(mut line) = serde_json::to_string(&answer) {
        // A line of its own, whatever was written before.
        line = format!("\n{line}\n");
        // Whoever asked may have gone.
        let _ = io::stderr().write_all(line.as_bytes());
    }
    Some(ExitCode::SUCCESS)
}

fn serve(request: &Request) -> Answer {
    let compiled = || -> io::Result<Answer> {
        system::bind(request)?;
        let Ok(engine) = variant::compiling(request.variant, request.pooled) else {
            return Ok(Answer::Mismatch);
        };
        if variant::compatibility(&engine, request.variant) != request.compatibility {
            return Ok(Answer::Mismatch);
        }
        let module = module(request.module)?;
        end_with_stdin()?;
        // The hook has said where; the text is told to whoever asked.
        let compiled = catch_unwind(AssertUnwindSafe(|| match request.kind {
            Kind::Core => engine.precompile_module(&module),
            Kind::Component => engine.precompile_component(&module),
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
                message: cut(panic_text(&*panic)),
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

/// So many bytes of stdin.
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

/// Ends the process when stdin does, though the compiler be busy.
fn end_with_stdin() -> io::Result<()> {
    /// It reads, and no more.
    const STACK: usize = 64 << 10;
    let watch = || {
        let mut rest = [0];
        // What comes after the module means nothing, and nothing is ever sent.
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

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", text.unwrap_or("without a message"))
}

fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MESSAGE));
    message
}
