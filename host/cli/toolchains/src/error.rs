//! The errors of finding a project, building it and installing its tools.

#[cfg(feature = "projects")]
use crate::Language;
use std::fmt;
#[cfg(feature = "projects")]
use std::io;
#[cfg(feature = "projects")]
use std::path::{Path, PathBuf};
#[cfg(feature = "projects")]
use std::process::ExitStatus;

/// A tool that is missing, and how to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing, and what for.
    pub what: String,
    /// Commands, any one of which installs it; the usual one first.
    pub install: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for (number, command) in self.install.iter().enumerate() {
            let before = if number == 0 { ": run" } else { ", or" };
            write!(f, "{before} `{command}`")?;
        }
        Ok(())
    }
}

impl std::error::Error for Missing {}

/// Why a path cannot be read.
#[cfg(feature = "projects")]
fn unreadable(path: &Path, source: &io::Error) -> String {
    if source.kind() == io::ErrorKind::NotFound {
        format!("`{}` does not exist", path.display())
    } else {
        format!("cannot read `{}`: {source}", path.display())
    }
}

/// The reason why there is no task project at a path.
#[cfg(feature = "projects")]
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The path does not exist or cannot be read.
    #[error("{}", unreadable(path, source))]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// No file that identifies a project was found.
    #[error(
        "no task project in `{}`: looked for Cargo.toml, go.mod, pyproject.toml, package.json and C or C++ sources, found {found}",
        dir.display()
    )]
    NotFound {
        /// The directory that was searched.
        dir: PathBuf,
        /// What it contains instead.
        found: String,
    },
    /// The project's manifest cannot be parsed, or lacks something.
    #[error("{}: {reason}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The project's name cannot be a file name.
    #[error(
        "the project `{}` has the invalid name `{}`: use letters, digits, `-`, `_` and `.`, starting with a letter or digit",
        dir.display(),
        name.escape_debug()
    )]
    Name {
        /// The project's directory.
        dir: PathBuf,
        /// Its name.
        name: String,
    },
}

/// What is wrong with a project's WIT.
#[cfg(feature = "projects")]
#[derive(Debug, thiserror::Error)]
pub enum WitError {
    /// The project has no WIT, which its language needs.
    #[error("`{}` has no WIT: a project in {language} declares its functions in wit/NAME.wit, in a world", dir.display())]
    None {
        /// The project's directory.
        dir: PathBuf,
        /// Its language.
        language: Language,
    },
    /// The WIT cannot be parsed.
    #[error("{}{reason}", place(dir, reason))]
    Bad {
        /// The directory of the WIT.
        dir: PathBuf,
        /// The message of the parser.
        reason: String,
    },
    /// The WIT has a type that the tool that makes the component cannot pass.
    #[error(
        "{}: `{function}` has `{found}` in {place}, which {tool} cannot pass: use `{instead}`",
        dir.display()
    )]
    Unpassable {
        /// The directory of the WIT.
        dir: PathBuf,
        /// The function that uses the type.
        function: Box<str>,
        /// Where the function uses it.
        place: Box<str>,
        /// The type.
        found: Box<str>,
        /// A type to use instead.
        instead: Box<str>,
        /// The tool, with its version.
        tool: Box<str>,
    },
    /// The package has no world, or more than one.
    #[error("{} must have one world, found {found}", dir.display())]
    Worlds {
        /// The directory of the WIT.
        dir: PathBuf,
        /// The worlds that were found.
        found: String,
    },
}

/// Returns the place of the WIT, unless the parser's message has it.
#[cfg(feature = "projects")]
fn place(dir: &Path, reason: &str) -> String {
    if reason.contains('\n') {
        return String::new();
    }
    format!("{}: ", dir.display())
}

/// The error of building a project.
#[cfg(feature = "projects")]
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool is missing.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The compiler failed; its messages were passed on, or shown on stderr.
    #[error("{program} failed with {status}")]
    Failed {
        /// The compiler.
        program: String,
        /// Its exit status.
        status: ExitStatus,
        /// Its output, unless that went to stderr directly.
        output: String,
    },
    /// The project cannot be built.
    #[error("{}: {reason}", path.display())]
    Project {
        /// The file or directory concerned.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Its WIT is not usable.
    #[error(transparent)]
    Wit(#[from] WitError),
    /// A file or a program could not be used.
    #[error("cannot {what}: {source}")]
    Io {
        /// The action that failed.
        what: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// The error of installing a toolchain.
#[derive(Debug)]
pub enum InstallError {
    /// It cannot be installed automatically: what to do by hand.
    ByHand(Missing),
    /// An installer failed.
    Failed {
        /// The installer's command line.
        command: String,
        /// Its exit status.
        status: String,
        /// What is missing, and how to get it.
        by_hand: Missing,
    },
}

// Without `thiserror`, whose macros take longer to compile than all that is built without `projects`.
impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByHand(missing) => missing.fmt(f),
            Self::Failed {
                command,
                status,
                by_hand,
            } => write!(
                f,
                "`{command}` failed ({status}); to install it by hand: {by_hand}"
            ),
        }
    }
}

impl std::error::Error for InstallError {}

impl From<Missing> for InstallError {
    fn from(missing: Missing) -> Self {
        Self::ByHand(missing)
    }
}
