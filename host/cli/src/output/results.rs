//! Where results go: stdout, or a file that appears when it is complete.

use crate::exit::CliError;
use rwasm_cluster::Value;
use rwasm_cluster::aside::Aside;
use rwasm_cluster::format::{Format, WriteError, WriteOptions, write_value};
use rwasm_cluster::plain;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::{Path, PathBuf};

/// Big enough that a write costs little beside what is written.
const BUFFER: usize = 256 << 10;

/// The place for a job's results.
pub(crate) struct Output {
    sink: Sink,
    options: WriteOptions,
}

enum Sink {
    Stdout(BufWriter<StdoutLock<'static>>),
    File {
        writer: BufWriter<Aside>,
        path: PathBuf,
    },
    /// Something that is there and no regular file.
    Device {
        writer: BufWriter<File>,
        path: PathBuf,
    },
}

/// What the system said, without the name of a file that was to be written aside, of which nobody knows.
pub(crate) fn plain(error: io::Error) -> io::Error {
    match error.to_string().split_once(" at path ") {
        Some((said, _)) => io::Error::new(error.kind(), said),
        None => error,
    }
}

/// The names of stdout. A file that it was redirected to is written like any other stdout, and not replaced.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Whether the path names a stream and no file of its own.
pub(crate) fn is_stream(path: &Path) -> bool {
    STDOUT.iter().any(|stdout| path == Path::new(stdout)) || is_descriptor(path)
}

/// Whether the path names a stream that this process was started with, which leads to a file where it was redirected.
fn is_descriptor(path: &Path) -> bool {
    path == Path::new("/dev/stderr")
        || ["/dev/fd", "/proc/self/fd"]
            .iter()
            .any(|folder| path.starts_with(folder))
}

impl Output {
    /// stdout, or the file at `path`, which is written aside until [`Output::complete`].
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, CliError> {
        // As everywhere, `-` is the standard stream.
        let is_file = |path: &&Path| !STDOUT.iter().any(|stdout| *path == Path::new(stdout));
        let Some(path) = path.filter(is_file) else {
            let stdout = io::stdout();
            let options = WriteOptions {
                escape_control: stdout.is_terminal(),
            };
            let sink = Sink::Stdout(BufWriter::with_capacity(BUFFER, stdout.lock()));
            return Ok(Self { sink, options });
        };
        let unwritable = |source| CliError::Output {
            what: format!("`{}`", plain::path(path)),
            source: plain(source),
        };
        if path.is_dir() {
            return Err(unwritable(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        // A device or a pipe is written to; a file put in its place would destroy it. A link
        // stays one: the file it leads to is replaced.
        let mut permissions = file_permissions();
        let path = match std::fs::metadata(path) {
            Ok(meta) if !meta.is_file() || is_descriptor(path) => {
                // What a shell redirected a stream to goes on after what is there.
                let device = std::fs::OpenOptions::new()
                    .append(true)
                    .open(path)
                    .map_err(unwritable)?;
                let escape_control = device.is_terminal();
                let writer = BufWriter::with_capacity(BUFFER, device);
                let sink = Sink::Device {
                    writer,
                    path: path.to_owned(),
                };
                return Ok(Self {
                    sink,
                    options: WriteOptions { escape_control },
                });
            }
            Ok(meta) => {
                permissions = meta.permissions();
                path.canonicalize().map_err(unwritable)?
            }
            Err(_) => path.to_owned(),
        };
        let aside = Aside::with(&path, &permissions).map_err(unwritable)?;
        let writer = BufWriter::with_capacity(BUFFER, aside);
        Ok(Self {
            sink: Sink::File { writer, path },
            options: WriteOptions::default(),
        })
    }

    /// Writes one value.
    pub(crate) fn value(&mut self, value: &Value, format: Format) -> Result<(), CliError> {
        let options = self.options;
        let written = match &mut self.sink {
            Sink::Stdout(out) => write_value(out, value, format, options),
            Sink::File { writer, .. } => write_value(writer, value, format, options),
            Sink::Device { writer, .. } => write_value(writer, value, format, options),
        };
        written.map_err(|error| match error {
            WriteError::Io(source) => self.failed(source),
            other => CliError::Format(other.to_string()),
        })
    }

    /// Writes one value among several, on a line of its own: where it has no result to show, the
    /// line is empty. `Raw` alone has no lines.
    pub(crate) fn record(&mut self, value: &Value, format: Format) -> Result<(), CliError> {
        let is_nothing = matches!(value, Value::Tuple(fields) if fields.is_empty());
        match format {
            Format::Json | Format::Jsonl if is_nothing => self.bytes(b"null\n"),
            Format::Json | Format::Jsonl => self.value(value, Format::Json),
            Format::Raw if is_nothing => Ok(()),
            _ if is_nothing => self.bytes(b"\n"),
            Format::Text if matches!(value, Value::String(_) | Value::Bytes(_)) => {
                self.value(value, format)?;
                self.bytes(b"\n")
            }
            _ => self.value(value, format),
        }
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let written = match &mut self.sink {
            Sink::Stdout(out) => out.write_all(bytes),
            Sink::File { writer, .. } => writer.write_all(bytes),
            Sink::Device { writer, .. } => writer.write_all(bytes),
        };
        written.map_err(|source| self.failed(source))
    }

    /// Passes on what was written so far to whoever reads along.
    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        match &mut self.sink {
            Sink::Stdout(out) => out.flush().map_err(|source| self.failed(source)),
            Sink::Device { writer, .. } => writer.flush().map_err(|source| self.failed(source)),
            Sink::File { .. } => Ok(()),
        }
    }

    /// Ends the output; only now a file appears under its name, and stays there should the machine fail.
    pub(crate) fn complete(mut self) -> Result<(), CliError> {
        self.flush()?;
        let Sink::File { writer, path } = self.sink else {
            return Ok(());
        };
        let unwritable = |source| CliError::Output {
            what: format!("`{}`", plain::path(&path)),
            source,
        };
        let aside = writer
            .into_inner()
            .map_err(|error| unwritable(error.into_error()))?;
        aside.complete().map_err(unwritable)
    }

    fn failed(&self, source: io::Error) -> CliError {
        match &self.sink {
            Sink::Stdout(_) if source.kind() == io::ErrorKind::BrokenPipe => CliError::OutputClosed,
            Sink::Stdout(_) => CliError::Output {
                what: "stdout".to_owned(),
                source,
            },
            Sink::File { path, .. } | Sink::Device { path, .. } => CliError::Output {
                what: format!("`{}`", plain::path(path)),
                source,
            },
        }
    }
}

/// The permissions a program's output has, not those of a temporary file.
#[cfg(unix)]
fn file_permissions() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}
