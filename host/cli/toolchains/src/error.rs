//! How finding a project, building it and installing its tools can fail.

use crate::Language;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// A tool that is not there, and how to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing, and for what.
    pub what: String,
    /// Commands any one of which installs it, the usual one first.
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

/// Why there is no task project at a path.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// There is nothing at that path, or it cannot be looked into.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// None of the files that a project is known by is there.
    #[error(
        "no task project in {}: looked for Cargo.toml, pyproject.toml, package.json and C or C++ sources, found {found}",
        dir.display()
    )]
    NotFound {
        /// Where was looked.
        dir: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// The project's manifest cannot be understood, or lacks something.
    #[error("{}: {reason}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The project's name cannot be the name of a file.
    #[error(
        "the project {} has the invalid name {name:?}: use letters, digits, `-`, `_` and `.`, starting with a letter or digit",
        dir.display()
    )]
    Name {
        /// The project.
        dir: PathBuf,
        /// Its name.
        name: String,
    },
}

/// What is wrong with a project's WIT.
#[derive(Debug, thiserror::Error)]
pub enum WitError {
    /// There is none, and the language cannot do without.
    #[error("{} has no WIT: a project in {language} declares its functions in wit/NAME.wit, in a world", dir.display())]
    None {
        /// The project.
        dir: PathBuf,
        /// Its language.
        language: Language,
    },
    /// It cannot be understood.
    #[error("{}{reason}", place(dir, reason))]
    Bad {
        /// The directory of the WIT.
        dir: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// It has a type that what makes the component cannot pass.
    #[error(
        "{}: `{function}` has `{found}` in {place}, which {tool} cannot pass: use `{instead}`",
        dir.display()
    )]
    Unpassable {
        /// The directory of the WIT.
        dir: PathBuf,
        /// The function that has it.
        function: Box<str>,
        /// Where the function has it.
        place: Box<str>,
        /// The type.
        found: Box<str>,
        /// One that does the same.
        instead: Box<str>,
        /// What cannot pass it, with its version.
        tool: Box<str>,
    },
    /// The package has no world, or more than one.
    #[error("{} must have one world, found {found}", dir.display())]
    Worlds {
        /// The directory of the WIT.
        dir: PathBuf,
        /// The worlds that are there.
        found: String,
    },
}

/// Where the WIT is, unless the parser's own words say where in it.
fn place(dir: &Path, reason: &str) -> String {
    if reason.contains('\n') {
        return String::new();
    }
    format!("{}: ", dir.display())
}

/// Why a project was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool is not there.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The compiler did not do it; it was told, or shown on stderr, why.
    #[error("{program} failed with {status}")]
    Failed {
        /// The compiler.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said, where that did not go to stderr directly.
        output: String,
    },
    /// The project is not one that can be built.
    #[error("{}: {reason}", path.display())]
    Project {
        /// The file or directory that is meant.
        path: PathBuf,
        /// What is wrong, and what is wanted.
        reason: String,
    },
    /// Its WIT is not as it should be.
    #[error(transparent)]
    Wit(#[from] WitError),
    /// A file or a program could not be used.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was to be done.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Why a toolchain was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It cannot be installed from here: what to do by hand.
    #[error(transparent)]
    ByHand(#[from] Missing),
    /// An installer failed.
    #[error("`{command}` failed ({status}); to install it by hand: {by_hand}")]
    Failed {
        /// The installer's command line.
        command: String,
        /// How it ended.
        status: String,
        /// What is missing, and how to get it.
        by_hand: Missing,
    },
}
