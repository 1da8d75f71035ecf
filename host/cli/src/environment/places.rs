//! Where this program keeps what belongs to its user: settings, and what must outlive a command.

use crate::exit::CliError;
use std::path::PathBuf;

/// Names the directory of settings.
#[cfg(feature = "nats")]
const CONFIG: &str = "RWASM_CONFIG_DIR";

/// Names the directory of what is kept.
const STATE: &str = "RWASM_STATE_DIR";

/// Where settings are: `RWASM_CONFIG_DIR`, else in the user's.
#[cfg(feature = "nats")]
pub(crate) fn config_dir() -> Result<PathBuf, CliError> {
    place(CONFIG, "settings", || {
        dirs::config_dir().map(|dir| dir.join("rwasm-cluster"))
    })
}

/// Where what is kept is: `RWASM_STATE_DIR`, else in the user's.
pub(crate) fn state_dir() -> Result<PathBuf, CliError> {
    place(STATE, "state", || {
        let home = || dirs::home_dir().map(|home| home.join(".local").join("state"));
        let dir = dirs::state_dir().or_else(home)?;
        Some(dir.join("rwasm-cluster"))
    })
}

fn place(
    variable: &str,
    what: &str,
    usual: impl FnOnce() -> Option<PathBuf>,
) -> Result<PathBuf, CliError> {
    match std::env::var_os(variable).filter(|path| !path.is_empty()) {
        Some(path) => Ok(std::path::absolute(&path).unwrap_or_else(|_| path.into())),
        None => usual().ok_or_else(|| CliError::Wrong {
            message: format!("no directory for {what}: the user has no home directory"),
            hint: format!("set {variable} to a directory"),
        }),
    }
}
