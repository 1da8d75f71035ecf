//! A task project: how it is recognized, and its name.

use crate::error::{BuildError, Missing, ProjectError};
use crate::rust::Compiler;
use crate::{BuildOptions, Language, c, go, js, python, tool};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A directory with a task in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its directory.
    pub dir: PathBuf,
    /// Its language.
    pub language: Language,
    /// Its name, which is also that of the module.
    pub name: String,
}

/// The most names that are listed of what was found instead of a project.
const LISTED: usize = 8;

impl Project {
    /// Finds the project at `path`: a directory, or a file in it.
    ///
    /// Recognized by, in this order: `Cargo.toml`, `go.mod`, `pyproject.toml`, `package.json`, sources of C
    /// or C++ in it or in `src/`. The name is the manifest's; without a manifest it is the
    /// directory's.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no project, or if its manifest does not have a name.
    pub fn find(path: &Path) -> Result<Self, ProjectError> {
        let unreadable = |source| ProjectError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let dir = if fs::metadata(path).map_err(unreadable)?.is_dir() {
            path.to_owned()
        } else {
            match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                _ => PathBuf::from("."),
            }
        };
        let manifest = |name: &str| dir.join(name).is_file().then(|| dir.join(name));
        let (language, name) = if let Some(path) = manifest("Cargo.toml") {
            (Language::Rust, name_in_toml(&path, "package")?)
        } else if let Some(path) = manifest("go.mod") {
            (Language::Go, go::name(&path)?)
        } else if let Some(path) = manifest("pyproject.toml") {
            (Language::Python, name_in_toml(&path, "project")?)
        } else if let Some(path) = manifest("package.json") {
            (Language::JavaScript, js::name(&path)?)
        } else if !c::sources(&dir).is_empty() {
            (Language::C, name_of_dir(&dir).map_err(unreadable)?)
        } else {
            let found = listed(&dir).map_err(unreadable)?;
            return Err(ProjectError::NotFound { dir, found });
        };
        if !is_name(&name) {
            return Err(ProjectError::Name { dir, name });
        }
        Ok(Self {
            dir,
            language,
            name,
        })
    }

    /// Returns what is missing to build it, considering the project's own tools and those in
    /// `tools`.
    pub fn missing(&self, tools: Option<&Path>) -> Option<Missing> {
        let dir = Some(self.dir.as_path());
        match self.language {
            Language::Rust => Compiler::find_for(&self.dir).err(),
            Language::C => c::Compiler::find(tools).err(),
            Language::Go => go::find(tools).err(),
            Language::Python => python::Tool::find(dir, tools).err(),
            Language::JavaScript => js::Tool::find(dir, tools).err(),
        }
    }

    /// Compiles it; returns the path of the module, as the compiler made it.
    ///
    /// # Errors
    ///
    /// Returns an error if a tool is missing or fails, or if the project does not build a module.
    pub fn build(&self, options: &BuildOptions) -> Result<PathBuf, BuildError> {
        let project = Self {
            dir: tool::absolute(&self.dir),
            ..self.clone()
        };
        // Installation commands are typed in the user's directory, so they name the project as the
        // user does.
        let named = &self.dir;
        match self.language {
            Language::Rust => crate::rust::build(&project, options),
            Language::C => c::build(&project, options),
            Language::Go => go::build(&project, options),
            Language::Python => python::build(&project, named, options),
            Language::JavaScript => js::build(&project, named, options),
        }
    }
}

/// Returns the `name` in a table of a TOML file.
fn name_in_toml(path: &Path, table: &str) -> Result<String, ProjectError> {
    let wrong = |reason: String| ProjectError::Manifest {
        path: path.to_owned(),
        reason,
    };
    let text = read(path)?;
    let manifest: toml::Table = toml::from_str(&text).map_err(|error| {
        let message = error.message();
        let line = error
            .span()
            .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        wrong(match line {
            Some(line) => format!("line {line}: {message}"),
            None => message.to_owned(),
        })
    })?;
    if let Some(name) = manifest
        .get(table)
        .and_then(|table| table.get("name"))
        .and_then(toml::Value::as_str)
    {
        return Ok(name.to_owned());
    }
    let members = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("members"))
        .and_then(toml::Value::as_array);
    Err(wrong(match members {
        Some(members) if table == "package" => {
            let members: Vec<_> = members.iter().filter_map(toml::Value::as_str).collect();
            format!(
                "is a workspace, not a package: give the directory of a member ({})",
                members.join(", ")
            )
        }
        _ => format!("has no `name` in [{table}]"),
    }))
}

/// The most bytes of a manifest. Those of the largest workspaces have some hundred thousand.
const LARGEST_MANIFEST: u64 = 1 << 20;

/// Reads a manifest: a regular file of at most 1 MiB.
pub(crate) fn read(path: &Path) -> Result<String, ProjectError> {
    let read = || {
        // Opening a pipe waits for whoever writes it, and a device may have no end.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut text = String::new();
        let file = fs::File::open(path)?;
        file.take(LARGEST_MANIFEST + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LARGEST_MANIFEST {
            return Err(io::Error::other("expected at most 1MiB, found more"));
        }
        Ok(text)
    };
    read().map_err(|source| ProjectError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// Returns the name of a directory, with `-` for characters that a project's name cannot have.
fn name_of_dir(dir: &Path) -> std::io::Result<String> {
    let dir = dir.canonicalize()?;
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    Ok(name_like(&name))
}

fn name_like(name: &str) -> String {
    let is_known =
        |letter: char| is_name(letter.encode_utf8(&mut [0; 4])) || "-_.".contains(letter);
    let pieces = name.split(|letter| !is_known(letter));
    let pieces: Vec<_> = pieces.filter(|piece| !piece.is_empty()).collect();
    let name = pieces.join("-");
    let name = name.trim_start_matches(['-', '_', '.']);
    if name.is_empty() { "task" } else { name }.to_owned()
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.'))
}

/// Lists the names in a directory, to show why it is not a project.
fn listed(dir: &Path) -> std::io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    Ok(match (names.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_any_name_gives_a_name() {
        for (dir, name) in [
            ("word-count_2.c", "word-count_2.c"),
            ("my task", "my-task"),
            ("größe", "gr-e"),
            (".hidden", "hidden"),
            ("ü ", "task"),
            ("", "task"),
        ] {
            assert_eq!(name_like(dir), name);
            assert!(is_name(name));
        }
    }

    #[test]
    fn a_manifest_is_a_regular_file_and_small() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("package.json");
        for (size, is_read) in [(LARGEST_MANIFEST, true), (LARGEST_MANIFEST + 1, false)] {
            let file = fs::File::create(&path).expect("a file can be made");
            file.set_len(size).expect("a sparse file");
            assert_eq!(read(&path).is_ok(), is_read, "{size}");
        }
        let error = read(Path::new("/dev/zero")).expect_err("it has no end");
        assert!(error.to_string().ends_with("it is not a regular file"));
    }
}
