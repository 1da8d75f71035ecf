//! How a task project in each language is found, and compiled to WebAssembly.
//!
//! A project is known by the files its language has anyway. Its compiler is looked for, and where it is missing the
//! error names the commands that install it; only [`install`] changes the machine, and it says what it does. What
//! comes out is a module as its compiler made it. This crate knows nothing of clusters, nor of what runs modules.

mod c;
mod error;
mod install;
mod js;
mod project;
mod python;
pub mod rust;
mod stop;
mod tool;
mod wit;

pub use error::{BuildError, InstallError, Missing, ProjectError, WitError};
pub use install::{InstallOptions, install};
pub use project::Project;
pub use stop::Stop;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A language that tasks are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// `Cargo.toml`, compiled by cargo.
    Rust,
    /// C and C++: sources and no manifest, compiled by clang or zig.
    C,
    /// `pyproject.toml` and `app.py`, made a component by componentize-py.
    Python,
    /// `package.json`, made a component by componentize-js.
    JavaScript,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rust, Self::C, Self::Python, Self::JavaScript];

    /// As the command line has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
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

/// A language that no task can be written in here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown language {0:?}: use rust, c, python or js")]
pub struct UnknownLanguage(pub String);

/// How a project is built.
pub struct BuildOptions {
    /// A directory for what compilers leave behind, of this user alone; builds share it.
    pub scratch: PathBuf,
    /// Where [`install`] puts the tools of Python and JavaScript: `tools` in `scratch`, unless said otherwise. Looked
    /// into after the project's own and `PATH`.
    pub tools: Option<PathBuf>,
    /// Is given a line for each thing that is done, and what the compilers say.
    pub tell: Box<dyn Fn(&str)>,
    /// Ends the build from elsewhere.
    pub stop: Stop,
}

impl BuildOptions {
    /// Options that tell nobody.
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

impl fmt::Debug for BuildOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildOptions")
            .field("scratch", &self.scratch)
            .field("tools", &self.tools)
            .finish_non_exhaustive()
    }
}

/// What is missing on this machine for tasks in `language`; `None` where they can be built.
///
/// A project may bring its tools itself: [`Project::missing`] looks there too.
pub fn missing(language: Language) -> Option<Missing> {
    match language {
        Language::Rust => rust::Compiler::find(rust::Choice::Auto).err(),
        Language::C => c::Compiler::find(None).err(),
        Language::Python => python::Tool::find(None, None).err(),
        Language::JavaScript => js::Tool::find(None, None).err(),
    }
}
