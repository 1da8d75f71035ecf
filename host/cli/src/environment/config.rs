//! `rwasm.toml`: what a project sets for its runs, behind the command line and the environment.

use crate::exit::CliError;
use rwasm_cluster::plain::leaves_line;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const NAME: &str = "rwasm.toml";

/// The settings of the current directory's project file; none where there is no file.
#[derive(Debug, Default)]
pub(crate) struct ProjectFile {
    path: PathBuf,
    /// By the argument's id (`max_failures`), as text.
    settings: BTreeMap<String, String>,
}

impl ProjectFile {
    /// Reads the file, if there is one.
    pub(crate) fn find() -> Result<Self, CliError> {
        let path = Path::new(NAME).to_owned();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
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
        for (key, value) in table {
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                other => {
                    return Err(CliError::Config {
                        path,
                        message: format!(
                            "`{key}` is of type {}; use a string, an integer or true/false",
                            other.type_str()
                        ),
                    });
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
        Ok(Self { path, settings })
    }

    /// Refuses settings that are none.
    pub(crate) fn check(&self, known: &[String]) -> Result<(), CliError> {
        match self.settings.keys().find(|key| !known.contains(key)) {
            None => Ok(()),
            Some(unknown) => Err(CliError::Config {
                path: self.path.clone(),
                message: format!(
                    "unknown setting `{}`; use one of: {}",
                    unknown.replace('_', "-"),
                    known.join(", ").replace('_', "-")
                ),
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
