//! Finds the task project in a directory, and compiles it to WebAssembly, for each language.
//!
//! A project is recognized by the files that its language needs anyway. If its compiler is missing,
//! the error names the commands that install it; only [`install`] changes the machine, and it
//! reports what it does. The result is a module as its compiler made it. This crate knows nothing
//! of clusters, or of what runs modules.

#[cfg(feature = "projects")]
mod c;
#[cfg(feature = "projects")]
mod componentizer;
mod error;
#[cfg(feature = "projects")]
mod go;
mod install;
#[cfg(feature = "projects")]
mod js;
#[cfg(feature = "projects")]
mod project;
#[cfg(feature = "projects")]
mod python;
pub mod rust;
#[cfg(feature = "projects")]
mod stop;
mod tool;
#[cfg(feature = "projects")]
mod unchanged;
#[cfg(feature = "projects")]
mod wit;

#[cfg(feature = "projects")]
pub use error::{BuildError, ProjectError, WitError};
pub use error::{InstallError, Missing};
#[cfg(feature = "projects")]
pub use install::{InstallOptions, install};
#[cfg(feature = "projects")]
pub use project::Project;
#[cfg(feature = "projects")]
pub use stop::Stop;

use std::fmt;
#[cfg(feature = "projects")]
use std::path::PathBuf;
use std::str::FromStr;

/// A programming language for tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// `Cargo.toml`, compiled by cargo.
    Rust,
    /// C and C++: sources and no manifest, compiled by clang or zig.
    C,
    /// `go.mod`, compiled by Go's own compiler.
    Go,
    /// `pyproject.toml` and `app.py`, compiled to a component by componentize-py.
    Python,
    /// `package.json`, compiled to a component by componentize-js.
    JavaScript,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 5] = [
        Self::Rust,
        Self::C,
        Self::Go,
        Self::Python,
        Self::JavaScript,
    ];

    /// Returns its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Go => "go",
            Self::Python => "python",
            Self::JavaScript => "js",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL
            .into_iter()
            .find(|language| language.name() == text);
        known.ok_or_else(|| UnknownLanguage(text.to_owned()))
    }
}

/// The error for an unknown language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLanguage(pub String);

impl fmt::Display for UnknownLanguage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown language {:?}: use rust, c, go, python or js",
            self.0
        )
    }
}

impl std::error::Error for UnknownLanguage {}

/// How a project is built.
#[cfg(feature = "projects")]
pub struct BuildOptions {
    /// A directory for intermediate files, private to this user; builds share it.
    pub scratch: PathBuf,
    /// Where [`install`] puts the tools of Go, Python and JavaScript: `tools` in `scratch` by default.
    /// Searched after the project's own tools and `PATH`.
    pub tools: Option<PathBuf>,
    /// Receives a line for each step, and the output of compilers.
    pub tell: Box<dyn Fn(&str)>,
    /// Stops the build from another thread.
    pub stop: Stop,
}

#[cfg(feature = "projects")]
impl BuildOptions {
    /// Options without progress output.
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        let scratch = scratch.into();
        Self {
            tools: Some(scratch.join("tools")),
            scratch,
            tell: Box::new(|_| {}),
            stop: Stop::default(),
        }
    }
}

#[cfg(feature = "projects")]
impl fmt::Debug for BuildOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildOptions")
            .field("scratch", &self.scratch)
            .field("tools", &self.tools)
            .finish_non_exhaustive()
    }
}

/// Returns what is missing on this machine for tasks in `language`; `None` if they can be built.
///
/// A project may bring its own tools: [`Project::missing`] looks there too.
#[cfg(feature = "projects")]
pub fn missing(language: Language) -> Option<Missing> {
    match language {
        Language::Rust => rust::Compiler::find(rust::Choice::Auto).err(),
        Language::C => c::Compiler::find(None).err(),
        Language::Go => go::find(None).err(),
        Language::Python => python::Tool::find(None, None).err(),
        Language::JavaScript => js::Tool::find(None, None).err(),
    }
}
