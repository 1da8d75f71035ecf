//! The WIT of a project: the only world of the package in `wit/`.

use crate::error::WitError;
use std::path::{Path, PathBuf};
use wit_parser::{Resolve, WorldId};

/// A project's world.
pub(crate) struct World {
    /// The directory of the WIT.
    pub(crate) dir: PathBuf,
    pub(crate) resolve: Resolve,
    pub(crate) id: WorldId,
}

impl World {
    /// The world of the project in `dir`; `None` where there is no WIT.
    pub(crate) fn find(dir: &Path) -> Result<Option<Self>, WitError> {
        let dir = dir.join("wit");
        let has_wit = std::fs::read_dir(&dir).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.path().extension().is_some_and(|wit| wit == "wit"))
        });
        if !has_wit {
            return Ok(None);
        }
        let mut resolve = Resolve::default();
        let package = match resolve.push_path(&dir) {
            Ok((package, _)) => package,
            Err(error) => {
                let reason = resolve.render_error(&error);
                return Err(WitError::Bad { dir, reason });
            }
        };
        let worlds = &resolve.packages[package].worlds;
        let &[id] = worlds.values().copied().collect::<Vec<_>>().as_slice() else {
            let names: Vec<_> = worlds.keys().map(String::as_str).collect();
            let found = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            return Err(WitError::Worlds { dir, found });
        };
        Ok(Some(Self { dir, resolve, id }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.resolve.worlds[self.id].name
    }
}
