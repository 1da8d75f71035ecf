//! componentize-js and componentize-py: what is the same in calling them.

use crate::error::BuildError;
use crate::unchanged::{self, Inputs};
use crate::wit::World;
use crate::{BuildOptions, Project, tool};
use std::path::Path;
use std::process::Command;

/// The tool that was found, and the version that this program is tested with.
pub(crate) struct Componentizer<'a> {
    pub(crate) name: &'static str,
    pub(crate) version: &'a str,
    pub(crate) tested: &'static str,
}

impl Componentizer<'_> {
    /// Reports a version that is not the tested one.
    ///
    /// # Errors
    ///
    /// Returns an error if the tested version cannot pass a type of the world. Of other versions that
    /// is not known.
    pub(crate) fn expect_fit(
        &self,
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
        Ok(())
    }

    /// Runs it to its end, unless the module at `output` was made of the same. What it makes of the same inputs differs from
    /// run to run, and would be compiled for the cluster again.
    ///
    /// Inputs are none where it cannot be told what they are.
    pub(crate) fn run(
        &self,
        command: &mut Command,
        inputs: Option<&Inputs<'_>>,
        output: &Path,
        project: &Project,
        options: &BuildOptions,
    ) -> Result<(), BuildError> {
        let fingerprint = || inputs.and_then(Inputs::fingerprint);
        let before = fingerprint();
        if let Some(before) = &before
            && unchanged::is_current(output, before)
        {
            (options.tell)(&format!(
                "{} has not changed since it was compiled",
                project.name
            ));
            return Ok(());
        }
        unchanged::forget(output);
        (options.tell)(&format!(
            "compiling {} with {} {} (about ten seconds)",
            project.name, self.name, self.version
        ));
        // Its messages say what is wrong; a backtrace into the tool helps no one.
        command.env_remove("RUST_BACKTRACE");
        command.env_remove("RUST_LIB_BACKTRACE");
        tool::run(command, self.name, options)?;
        // Somebody may have changed it meanwhile.
        if let Some(before) = before.filter(|before| fingerprint().as_ref() == Some(before)) {
            unchanged::note(output, &before);
        }
        Ok(())
    }
}
