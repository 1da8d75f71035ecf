//! `rwasm.toml`: what a project sets for its runs, behind the command line and the environment.

use crate::exit::CliError;
use rwasm_cluster::plain::leaves_line;
use rwasm_cluster::small_file;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const NAME: &str = "rwasm.toml";

/// Reads a file that may be anything: opening a pipe waits for whoever writes it.
fn read(path: &Path) -> std::io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    small_file::read(path)
}

/// The settings of the current directory's project file; none where there is no file.
#[derive(Debug, Default)]
pub(crate) struct ProjectFile {
    path: PathBuf,
    /// By the argument's id (`max_failures`), as text.
    settings: BTreeMap<String, String>,
    /// What is wrong with values that are neither text, a number nor a switch, by the argument's id.
    mistyped: BTreeMap<String, String>,
}

impl ProjectFile {
    /// Reads the file, if there is one.
    pub(crate) fn find() -> Result<Self, CliError> {
        let path = Path::new(NAME).to_owned();
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(CliError::Config {
                    path,
                    message: format!("cannot read the file: {error}"),
                });
            }
        };
        let table: toml::Table =
            text.parse()
                .map_err(|error: toml::de::Error| CliError::Config {
                    path: path.clone(),
                    message: error.to_string(),
                })?;
        let mut settings = BTreeMap::new();
        let mut mistyped = BTreeMap::new();
        for (key, value) in table {
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                other => {
                    let wrong = format!(
                        "`{key}` is of type {}; use a string, an integer or true/false",
                        other.type_str()
                    );
                    mistyped.insert(key.replace('-', "_"), wrong);
                    continue;
                }
            };
            // Errors and help repeat the value, on a terminal that may obey it.
            if value.chars().any(leaves_line) {
                return Err(CliError::Config {
                    path,
                    message: format!("`{key}` contains control characters"),
                });
            }
            settings.insert(key.replace('-', "_"), value);
        }
        Ok(Self {
            path,
            settings,
            mistyped,
        })
    }

    /// Refuses settings that are none, and those of which `refusal` says why they cannot be set here.
    pub(crate) fn check(
        &self,
        known: &[String],
        refusal: impl Fn(&str, &str) -> Option<String>,
    ) -> Result<(), CliError> {
        // One that cannot be set needs no other type.
        let mistyped = self.mistyped.first_key_value();
        let mistyped =
            mistyped.map(|(key, wrong)| refusal(key, "").unwrap_or_else(|| wrong.clone()));
        let wrong = || {
            self.settings.iter().find_map(|(key, value)| {
                refusal(key, value)
                    .or_else(|| (!known.contains(key)).then(|| unknown_setting(key, known)))
            })
        };
        match mistyped.or_else(wrong) {
            None => Ok(()),
            Some(message) => Err(CliError::Config {
                path: self.path.clone(),
                message,
            }),
        }
    }

    pub(crate) fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// What to say of a setting that is none: the one that may be meant, and all of them.
fn unknown_setting(key: &str, known: &[String]) -> String {
    /// Up to a third of a name may be wrong, but never all of it.
    const SIMILAR: f64 = 0.66;
    let key = key.replace('_', "-");
    let mut names: Vec<String> = known.iter().map(|name| name.replace('_', "-")).collect();
    names.sort_unstable();
    let similarity = |name: &str| strsim::normalized_levenshtein(name, &key);
    let near = names
        .iter()
        .filter(|name| similarity(name) >= SIMILAR)
        .max_by(|one, other| similarity(one).total_cmp(&similarity(other)));
    let near = near.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"));
    format!(
        "unknown setting `{key}`{near}; use one of: {}",
        names.join(", ")
    )
}
