//! Running other programs.

#[cfg(feature = "projects")]
use crate::BuildOptions;
#[cfg(feature = "projects")]
use crate::error::BuildError;
#[cfg(feature = "projects")]
use std::borrow::Cow;
#[cfg(feature = "projects")]
use std::fs;
#[cfg(feature = "projects")]
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns what a program prints on stdout, or `None` if it cannot be started or fails.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = || String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then(text)
}

/// Returns the command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Runs a program to its end and passes its output on, line by line; fails by its exit status.
#[cfg(feature = "projects")]
pub(crate) fn run(
    command: &mut Command,
    name: &str,
    options: &BuildOptions,
) -> Result<(), BuildError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let output = options.stop.output(command.stderr(Stdio::piped()));
    let output = output.map_err(|source| BuildError::Io {
        what: format!("start {name}"),
        source,
    })?;
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !said.is_empty() && !said.ends_with('\n') {
        said.push('\n');
    }
    said.push_str(&String::from_utf8_lossy(&output.stdout));
    said.lines().for_each(&*options.tell);
    if output.status.success() {
        return Ok(());
    }
    Err(BuildError::Failed {
        program: name.to_owned(),
        status: output.status,
        output: said,
    })
}

/// Returns a directory in `scratch` for one project, identified by its path; creates it.
#[cfg(feature = "projects")]
pub(crate) fn workplace(scratch: &Path, language: &str, dir: &Path) -> Result<PathBuf, BuildError> {
    use sha2::{Digest, Sha256};
    let place = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let hash = Sha256::digest(place.as_os_str().as_encoded_bytes());
    let hash = hash[..8]
        .iter()
        .fold(0, |hash, &byte| hash << 8 | u64::from(byte));
    let workplace = absolute(scratch)
        .join(language)
        .join(format!("{hash:016x}"));
    make(&workplace)?;
    Ok(workplace)
}

/// Removes a directory with all in it, if it is there.
#[cfg(feature = "projects")]
pub(crate) fn remove(dir: &Path) -> Result<(), BuildError> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(BuildError::Io {
            what: format!("remove {}", dir.display()),
            source,
        }),
        _ => Ok(()),
    }
}

/// Creates a directory, unless it exists.
#[cfg(feature = "projects")]
pub(crate) fn make(dir: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(dir).map_err(|source| BuildError::Io {
        what: format!("create {}", dir.display()),
        source,
    })
}

/// Writes a whole file.
#[cfg(feature = "projects")]
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), BuildError> {
    fs::write(path, content).map_err(|source| BuildError::Io {
        what: format!("write {}", path.display()),
        source,
    })
}

/// Returns the path as a word of a shell.
#[cfg(feature = "projects")]
pub(crate) fn shell_word(path: &Path) -> String {
    let word = path.to_string_lossy();
    shlex::try_quote(&word).map_or_else(|_| word.to_string(), Cow::into_owned)
}

/// Returns the project as the user's commands name it; `None` if it is the current directory.
#[cfg(feature = "projects")]
pub(crate) fn elsewhere(project: Option<&Path>) -> Option<&Path> {
    project.filter(|dir| *dir != Path::new(".") && !dir.as_os_str().is_empty())
}

/// Returns the path as other programs find it, wherever they run.
#[cfg(feature = "projects")]
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
