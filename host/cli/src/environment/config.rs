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
                            "`{key}` is of type {}; use a string, a number or true/false",
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

    /// Refuses settings that are none, and those of which `refusal` says why they cannot be set here.
    pub(crate) fn check(
        &self,
        known: &[String],
        refusal: impl Fn(&str, &str) -> Option<String>,
    ) -> Result<(), CliError> {
        let wrong = self.settings.iter().find_map(|(key, value)| {
            refusal(key, value).or_else(|| {
                (!known.contains(key)).then(|| {
                    format!(
                        "unknown setting `{}`; use one of: {}",
                        key.replace('_', "-"),
                        known.join(", ").replace('_', "-")
                    )
                })
            })
        });
        match wrong {
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

    /// The file, if a value that `message` complains of may be from it.
    pub(crate) fn path_if_used(&self, message: &str) -> Option<PathBuf> {
        self.settings
            .values()
            .any(|value| message.contains(&format!("'{value}'")))
            .then(|| self.path.clone())
    }
}
