//! From the command line to the inputs of a run: the files it names, those that a list names, and those in directories.

use super::{STDIN_NAME, is_stdin};
use crate::args::{Decompress, InputOptions, RunArguments};
use crate::exit::CliError;
use rwasm_cluster::plain;
use rwasm_cluster::{
    ByteSize, FileTree, Form, Input, InputError, Module, Reading, Records, SubmitError,
};
use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The largest list of names: some millions of them.
const LIST_SIZE: ByteSize = ByteSize::mib(256);

/// The files that a run reads, by name: `-` is stdin.
pub(crate) struct InputFiles {
    files: Vec<PathBuf>,
    /// Whether none was named, and no list.
    are_unnamed: bool,
}

impl InputFiles {
    /// Finds them, in the order in which they are read.
    pub(crate) fn find(arguments: &RunArguments) -> Result<Self, CliError> {
        let options = &arguments.read;
        let list = options.files_from.as_deref();
        let named = &arguments.inputs;
        let stdins = named.iter().map(PathBuf::as_path).chain(list);
        let stdins = stdins.filter(|path| is_stdin(path)).count();
        if stdins > 0 && stdins + usize::from(is_stdin(&arguments.module)) > 1 {
            return Err(CliError::Wrong {
                message: "stdin (`-`) is given more than once, but can be read only once"
                    .to_owned(),
                hint: "use `-` only once".to_owned(),
            });
        }
        if options.null && list.is_none() {
            return Err(CliError::Wrong {
                message: "--null describes the list of --files-from, but none is given".to_owned(),
                hint: "add --files-from FILE, or omit --null".to_owned(),
            });
        }
        let mut tree = FileTree::default();
        tree.include.clone_from(&options.include);
        tree.exclude.clone_from(&options.exclude);
        let mut files = Vec::new();
        for path in named {
            add(&mut files, path.clone(), &tree)?;
        }
        if let Some(list) = list {
            for path in names(list, options.null)? {
                // In a list it is the name of a file like others.
                let path = if is_stdin(&path) {
                    Path::new(".").join(path)
                } else {
                    path
                };
                add(&mut files, path, &tree)?;
            }
        }
        let are_unnamed = named.is_empty() && list.is_none();
        if files.is_empty() && !are_unnamed {
            return Err(nothing_found(named, list));
        }
        Ok(Self { files, are_unnamed })
    }

    /// The files that are there by name.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// The inputs, with stdin in its place among the files.
    pub(crate) fn open(
        self,
        module: &Module,
        arguments: &RunArguments,
    ) -> Result<Vec<Input>, CliError> {
        let stdin = || Input::reader(STDIN_NAME, std::io::stdin());
        let is_module = is_stdin(&arguments.module);
        if self.are_unnamed {
            if !is_module && !std::io::stdin().is_terminal() {
                return Ok(vec![stdin()]);
            }
            if module.form() == Form::Command && arguments.map.is_none() {
                return Ok(vec![Input::bytes("<no input>", "")]);
            }
            return Err(no_input(module, is_module));
        }
        let inputs = self.files.into_iter();
        let input = |path: PathBuf| {
            if is_stdin(&path) {
                stdin()
            } else {
                Input::path(path)
            }
        };
        Ok(inputs.map(input).collect())
    }
}

/// Adds a file, or those in a directory. What is not there is for the job to say.
fn add(files: &mut Vec<PathBuf>, path: PathBuf, tree: &FileTree) -> Result<(), CliError> {
    if is_stdin(&path) || !path.is_dir() {
        files.push(path);
        return Ok(());
    }
    let found = tree.files(&path).map_err(|error| {
        let (path, source) = (error.path, error.source);
        CliError::Submit(SubmitError::Input(InputError::Unreadable { path, source }))
    })?;
    files.extend(found);
    Ok(())
}

/// The names in a list.
fn names(list: &Path, is_null: bool) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |source: std::io::Error| {
        let path = list.to_owned();
        CliError::Submit(SubmitError::Input(match source.kind() {
            std::io::ErrorKind::NotFound => InputError::NotFound { path },
            std::io::ErrorKind::IsADirectory => InputError::Directory { path },
            _ => InputError::Unreadable { path, source },
        }))
    };
    let most = LIST_SIZE.bytes();
    let mut bytes = Vec::new();
    let read = if is_stdin(list) {
        std::io::stdin()
            .lock()
            .take(most + 1)
            .read_to_end(&mut bytes)
    } else {
        File::open(list).and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
    };
    if read.map_err(unreadable)? as u64 > most {
        return Err(CliError::Wrong {
            message: format!(
                "the list of inputs `{}` is larger than {LIST_SIZE}",
                plain::path(list)
            ),
            hint: "name the directories that the files are in".to_owned(),
        });
    }
    let end = if is_null { b'\0' } else { b'\n' };
    if !is_null && bytes.contains(&b'\0') {
        return Err(CliError::Wrong {
            message: format!("the list of inputs `{}` has NUL bytes", plain::path(list)),
            hint: "add -0 if its names end with NUL bytes".to_owned(),
        });
    }
    let names = bytes
        .split(|byte| *byte == end)
        .filter(|name| !name.is_empty());
    Ok(names
        .map(|name| OsString::from_vec(name.to_vec()).into())
        .collect())
}

fn nothing_found(named: &[PathBuf], list: Option<&Path>) -> CliError {
    let message = match (named, list) {
        ([], Some(list)) => format!("the list of inputs `{}` names no file", plain::path(list)),
        ([one], None) => format!("no file to read in directory `{}`", plain::path(one)),
        _ => "no file to read in these directories".to_owned(),
    };
    CliError::Gone {
        message,
        hint: "check the names, and the patterns of --include and --exclude".to_owned(),
    }
}

fn no_input(module: &Module, is_module: bool) -> CliError {
    let stdin = if is_module {
        "the module"
    } else {
        "a terminal"
    };
    CliError::Wrong {
        message: format!("no input: stdin is {stdin}, and no file is named"),
        hint: format!(
            "name an input: rwasm-cluster run {} book.txt",
            module.name()
        ),
    }
}

/// How the options say that inputs are read.
pub(crate) fn reading(options: &InputOptions) -> Result<Reading, CliError> {
    let mut records = Vec::new();
    records.extend(
        options
            .record_lines
            .map(|lines| ("--record-lines", Records::Groups(lines))),
    );
    let start = options.record_start.clone();
    records.extend(start.map(|start| ("--record-start", Records::Start(start))));
    if options.csv {
        records.push(("--csv", Records::Csv));
    }
    if let [(one, _), (other, _), ..] = records.as_slice() {
        return Err(CliError::Wrong {
            message: format!("{one} and {other} both say what the records of an input are"),
            hint: "use one of them".to_owned(),
        });
    }
    let mut reading = Reading::default();
    reading.inflate = options.decompress == Decompress::Auto;
    reading.header = options.header.unwrap_or_default();
    reading.invalid_utf8 = options.invalid_utf8.into();
    if let Some((_, described)) = records.pop() {
        reading.records = described;
    }
    Ok(reading)
}
