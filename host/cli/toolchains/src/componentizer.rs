//! componentize-js and componentize-py: what is the same in calling them.

use crate::error::BuildError;
use crate::wit::World;
use crate::{BuildOptions, Project, tool};
use std::process::Command;

/// The tool that was found, and the version that this program is tested with.
pub(crate) struct Componentizer<'a> {
    pub(crate) name: &'static str,
    pub(crate) version: &'a str,
    pub(crate) tested: &'static str,
}

impl Componentizer<'_> {
    /// Reports what is about to compile the project.
    ///
    /// # Errors
    ///
    /// Returns an error if the tested version cannot pass a type of the world. Of other versions that
    /// is not known.
    pub(crate) fn announce(
        &self,
        project: &Project,
        world: &World,
        options: &BuildOptions,
    ) -> Result<(), BuildError> {
        let Self {
            name,
            version,
            tested,
        } = self;
        if version == tested {
            world.refuse_what_cannot_pass(&format!("{name} {version}"))?;
        } else {
            (options.tell)(&format!(
                "using {name} {version}; {tested} is the version tested with this program"
            ));
        }
        (options.tell)(&format!(
            "compiling {} with {name} {version} (about ten seconds)",
            project.name
        ));
        Ok(())
    }

    /// Runs it to its end.
    pub(crate) fn run(
        &self,
        command: &mut Command,
        options: &BuildOptions,
    ) -> Result<(), BuildError> {
        // Its messages say what is wrong; a backtrace into the tool helps no one.
        command.env_remove("RUST_BACKTRACE");
        command.env_remove("RUST_LIB_BACKTRACE");
        tool::run(command, self.name, options)
    }
}
