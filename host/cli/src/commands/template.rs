//! Templates of task projects, and a project made of one.
//!
//! The templates are files of this repository, under `host/cli/templates`, built into the program. Nothing is ever
//! overwritten, and a project that is not complete is not there: it is written aside and renamed. How projects are
//! compiled is not the concern of this module.

use rwasm_cluster::aside::AsideDir;
use rwasm_cluster::plain;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

// `FILES`: language, path in the project, content.
include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// What is copied as it is: other people's sources, which have braces of their own.
const AS_IT_IS: &str = "vendor";

/// Where a file's name ends so in the template, the project's ends before: what would be taken for a part of this
/// repository otherwise, such as a manifest.
const MARK: &str = ".template";

/// No name is longer: it becomes the name of files, which have some letters more.
const LONGEST: usize = 64;

/// The name of a task project: of its directory, its module, its package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProjectName(String);

/// Why a text is not a valid name of a project.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid project name: {reason}", name.escape_debug())]
pub(crate) struct NameError {
    /// The text.
    pub(crate) name: String,
    /// What is wrong with it.
    pub(crate) reason: String,
}

/// Words that compilers or WIT have for themselves, and crates that come with them.
const RESERVED: &str = "abstract alloc as async await become bool borrow box break char const constructor continue core \
    crate do dyn else enum error-context export extern f32 f64 false final flags fn for from func future \
    gen if impl import in include interface let list loop macro map match mod move mut option override \
    own package priv proc-macro pub record ref resource result return rwasm-task rwasm-task-macros s16 \
    s32 s64 s8 self static std stream string struct super test trait true try tuple type typeof u16 u32 \
    u64 u8 unsafe use variant virtual where while with world yield";

impl ProjectName {
    /// As it is written, in words with dashes between them.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As languages write it that have no dashes in names.
    #[must_use]
    pub(crate) fn crate_name(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl FromStr for ProjectName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let wrong = |reason: String| {
            Err(NameError {
                name: name.to_owned(),
                reason: format!(
                    "{reason}; use lower-case words separated by single dashes, like word-count"
                ),
            })
        };
        if name.is_empty() {
            return wrong("it is empty".to_owned());
        }
        let odd = |letter: &char| {
            !(letter.is_ascii_lowercase() || letter.is_ascii_digit() || *letter == '-')
        };
        if let Some(letter) = name.chars().find(odd) {
            return wrong(format!("it contains {letter:?}"));
        }
        if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
            return wrong("it does not start with a letter".to_owned());
        }
        if name.ends_with('-') || name.contains("--") {
            return wrong("it has a dash that does not separate two words".to_owned());
        }
        if name.len() > LONGEST {
            return wrong(format!("it has more than {LONGEST} characters"));
        }
        if RESERVED.split_whitespace().any(|word| word == name) {
            return Err(NameError {
                name: name.to_owned(),
                reason:
                    "it is a reserved word of a compiler or of WIT; try two words, like word-count"
                        .to_owned(),
            });
        }
        Ok(Self(name.to_owned()))
    }
}

/// The files of a project in one language.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    language: &'static str,
}

/// Why there is no project.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TemplateError {
    /// Something is where the project is to be.
    #[error("`{}` already exists: {found}", plain::path(.path))]
    Occupied {
        /// Where the project was to be.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// It cannot be written.
    #[error("cannot write `{}`", plain::path(.path))]
    Unwritable {
        /// What was to be written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Template {
    /// The template for a language, by its name on the command line; none where this build has none.
    #[must_use]
    pub(crate) fn of(language: &str) -> Option<Self> {
        let known = FILES.iter().find(|(known, ..)| *known == language);
        known.map(|(language, ..)| Self { language })
    }

    /// Writes the project, of that name, to a directory that is not there or empty. Gives the paths of its files in
    /// it, in the order of their names.
    ///
    /// # Errors
    /// When something is there, or it cannot be written; nothing is left of it then.
    pub(crate) fn write(
        &self,
        dir: &Path,
        name: &ProjectName,
    ) -> Result<Vec<PathBuf>, TemplateError> {
        let unwritable = |path: &Path| {
            let path = path.to_owned();
            move |source| TemplateError::Unwritable { path, source }
        };
        let is_there = is_empty_directory(dir)?;
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(unwritable(parent))?;
        let aside = AsideDir::within(parent).map_err(unwritable(parent))?;
        // A directory within it, with the permissions that directories have.
        let made = aside.path().join("project");
        let paths = self.write_to(&made, name)?;
        if is_there {
            move_into(&made, dir).map_err(unwritable(dir))?;
        } else {
            // A directory that has come in between is replaced if it is empty, and nothing else is.
            fs::rename(&made, dir).map_err(unwritable(dir))?;
        }
        Ok(paths)
    }

    fn write_to(&self, dir: &Path, name: &ProjectName) -> Result<Vec<PathBuf>, TemplateError> {
        let mut paths = Vec::new();
        for (_, path, content) in FILES.iter().filter(|(known, ..)| *known == self.language) {
            let is_copied = Path::new(path).starts_with(AS_IT_IS);
            let path = if is_copied {
                (*path).to_owned()
            } else {
                let path = filled(path, name);
                path.strip_suffix(MARK).map(str::to_owned).unwrap_or(path)
            };
            let place = dir.join(&path);
            let content = match std::str::from_utf8(content) {
                Ok(text) if !is_copied => filled(text, name).into_bytes(),
                _ => content.to_vec(),
            };
            fs::create_dir_all(place.parent().unwrap_or(dir))
                .and_then(|()| fs::write(&place, content))
                .map_err(|source| TemplateError::Unwritable {
                    path: place.clone(),
                    source,
                })?;
            paths.push(path.into());
        }
        paths.sort();
        Ok(paths)
    }
}

/// The text with the name in its places.
fn filled(text: &str, name: &ProjectName) -> String {
    text.replace("{{name}}", name.as_str())
        .replace("{{crate_name}}", &name.crate_name())
}

/// Whether a directory is there, which is then empty; anything else that is there is an error.
fn is_empty_directory(path: &Path) -> Result<bool, TemplateError> {
    let occupied = |found: String| TemplateError::Occupied {
        path: path.to_owned(),
        found,
    };
    let unreadable = |source| TemplateError::Unwritable {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unreadable(error)),
        Ok(_) => {}
    }
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(occupied("a file".to_owned())),
        Err(_) => return Err(occupied("a dangling link".to_owned())),
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    match names.as_slice() {
        [] => Ok(true),
        [only] => Err(occupied(format!("a directory that contains `{only}`"))),
        [first, rest @ ..] => Err(occupied(format!(
            "a directory that contains `{first}` and {} more",
            rest.len()
        ))),
    }
}

/// Moves what is in one directory into another, which is empty; what was moved is taken back where that fails.
fn move_into(from: &Path, to: &Path) -> io::Result<()> {
    let mut moved = Vec::new();
    let all = fs::read_dir(from)?.try_for_each(|entry| {
        let entry = entry?;
        let place = to.join(entry.file_name());
        fs::rename(entry.path(), &place)?;
        moved.push((place, entry.path()));
        Ok(())
    });
    if all.is_err() {
        for (place, from) in moved {
            // What cannot be taken back is left: there is nothing better to do.
            let _ = fs::rename(place, from);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reason(name: &str) -> String {
        name.parse::<ProjectName>().unwrap_err().to_string()
    }

    #[test]
    fn names_are_words_with_dashes() {
        for name in ["wc", "word-count", "a1", "x-2", "word-count-of-a-book"] {
            let parsed: ProjectName = name.parse().unwrap();
            assert_eq!(parsed.as_str(), name);
        }
        assert_eq!(
            "word-count".parse::<ProjectName>().unwrap().crate_name(),
            "word_count"
        );
        for (name, part) in [
            ("", "it is empty"),
            ("Words", "contains 'W'"),
            ("word_count", "contains '_'"),
            ("naïve", "contains 'ï'"),
            ("a b\n", "contains ' '"),
            ("2nd", "does not start with a letter"),
            ("-a", "does not start with a letter"),
            ("a-", "does not separate two words"),
            ("a--b", "does not separate two words"),
            ("match", "a reserved word"),
            ("world", "a reserved word"),
            ("std", "a reserved word"),
        ] {
            let reason = reason(name);
            assert!(reason.contains(part), "{reason}");
            assert!(reason.contains("like word-count"), "{reason}");
        }
        assert!(reason(&"a".repeat(65)).contains("more than 64"));
    }

    #[test]
    fn every_file_of_a_template_is_filled() {
        let name: ProjectName = "my-task".parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        for language in ["rust", "c", "go", "python", "js"] {
            let Some(template) = Template::of(language) else {
                continue;
            };
            let project = dir.path().join(language);
            let paths = template.write(&project, &name).unwrap();
            assert!(paths.contains(&"README.md".into()), "{paths:?}");
            for path in paths.iter().filter(|path| !path.starts_with(AS_IT_IS)) {
                let text = fs::read_to_string(project.join(path)).unwrap();
                for left in ["{{name", "{{crate_name"] {
                    assert!(!text.contains(left), "{} has {left}", path.display());
                }
                assert!(!path.to_string_lossy().contains(['{', '}']));
            }
        }
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert!(left.len() <= 5, "{left:?}");
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let Some(template) = Template::of("rust") else {
            return;
        };
        let name: ProjectName = "wc".parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let error = |path: &Path| template.write(path, &name).unwrap_err().to_string();

        let file = dir.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert!(error(&file).ends_with("already exists: a file"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");

        let full = dir.path().join("full");
        fs::create_dir(&full).unwrap();
        fs::write(full.join("notes"), "mine").unwrap();
        assert!(error(&full).ends_with("a directory that contains `notes`"));
        fs::write(full.join("more"), "mine").unwrap();
        assert!(error(&full).ends_with("a directory that contains `more` and 1 more"));
        assert_eq!(fs::read_dir(&full).unwrap().count(), 2);

        let link = dir.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(error(&link).ends_with("a dangling link"));

        let empty = dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        template.write(&empty, &name).unwrap();
        assert!(empty.join("Cargo.toml").is_file());
        let deep = dir.path().join("a/b/wc");
        template.write(&deep, &name).unwrap();
        assert!(deep.join("Cargo.toml").is_file());
        for entry in fs::read_dir(dir.path()).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.to_string_lossy().starts_with(".rwasm"), "{name:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

        #[test]
        fn a_name_is_a_name_in_wit_and_of_a_file(text in "[a-z0-9-]{0,12}|\\PC{0,8}") {
            if let Ok(name) = text.parse::<ProjectName>() {
                let wit = format!("package a:{0}; world {0} {{}}", name.as_str());
                prop_assert!(wit_parser::UnresolvedPackageGroup::parse("a.wit", &wit).is_ok());
                prop_assert!(!name.as_str().contains(['/', '.']));
            }
        }
    }
}
