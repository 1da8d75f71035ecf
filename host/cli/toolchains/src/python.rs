//! Python: compiled to a component by componentize-py, which includes an interpreter.

use crate::componentizer::Componentizer;
use crate::error::{BuildError, Missing};
use crate::unchanged::Inputs;
use crate::wit::World;
use crate::{BuildOptions, Language, Project, tool};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that is installed and tested.
pub(crate) const VERSION: &str = "0.25.0";

/// The module with the functions.
const APP: &str = "app";

/// componentize-py, however it is started.
pub(crate) struct Tool {
    words: Vec<OsString>,
    version: String,
    /// Its virtual environment, if known.
    environment: Option<PathBuf>,
}

/// The virtual environment for installed tools.
pub(crate) fn environment(tools: &Path) -> PathBuf {
    tools.join("python")
}

impl Tool {
    /// Looks in the project's virtual environment, in `PATH`, in `tools` and in the modules of `python3`.
    pub(crate) fn find(project: Option<&Path>, tools: Option<&Path>) -> Result<Self, Missing> {
        let in_environment = |environment: PathBuf| {
            let program = environment.join("bin/componentize-py").into_os_string();
            (vec![program], Some(environment))
        };
        let mut candidates = Vec::new();
        for name in [".venv", "venv"] {
            candidates.extend(project.map(|dir| in_environment(tool::absolute(&dir.join(name)))));
        }
        candidates.push((vec!["componentize-py".into()], None));
        candidates.extend(tools.map(|tools| in_environment(tool::absolute(&environment(tools)))));
        candidates.push((
            ["python3", "-m", "componentize_py"]
                .map(OsString::from)
                .into(),
            None,
        ));
        let found = candidates.into_iter().find_map(|(words, environment)| {
            let version = tool::answer(Command::new(&words[0]).args(&words[1..]).arg("--version"))?;
            Some(Self {
                version: version.rsplit(' ').next().unwrap_or_default().to_owned(),
                words,
                environment,
            })
        });
        found.ok_or_else(|| missing(project))
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}

/// Returns how to install it for a project, which is named as the user names it.
pub(crate) fn missing(project: Option<&Path>) -> Missing {
    let dir = tool::elsewhere(project).unwrap_or(Path::new(""));
    let environment = tool::shell_word(&dir.join(".venv"));
    let pip = tool::shell_word(&dir.join(".venv/bin/pip"));
    Missing {
        what: "componentize-py, which compiles Python to components, is not installed".to_owned(),
        install: vec![
            format!("python3 -m venv {environment} && {pip} install componentize-py=={VERSION}"),
            format!("pipx install componentize-py=={VERSION}"),
        ],
    }
}

/// Builds the project, which the user has `named` this way.
pub(crate) fn build(
    project: &Project,
    named: &Path,
    options: &BuildOptions,
) -> Result<PathBuf, BuildError> {
    let Project { dir, name, .. } = project;
    if !dir.join(APP).with_extension("py").is_file() {
        return Err(BuildError::Project {
            path: dir.clone(),
            reason: "has no app.py, the module with the functions".to_owned(),
        });
    }
    let world = World::of(dir, Language::Python)?;
    let tool = Tool::find(Some(named), options.tools.as_deref())?;
    let componentizer = Componentizer {
        name: "componentize-py",
        version: tool.version(),
        tested: VERSION,
    };
    componentizer.expect_fit(&world, options)?;
    let workplace = tool::workplace(&options.scratch, "python", dir)?;
    let output = workplace.join(name).with_added_extension("wasm");
    let mut command = Command::new(&tool.words[0]);
    command.args(&tool.words[1..]);
    let wit = world.complete(&workplace)?;
    command.arg("--wit-path").arg(&wit);
    command.arg("--world").arg(world.name());
    command
        .args(["componentize", APP, "--python-path"])
        .arg(dir);
    command.arg("--output").arg(&output).current_dir(dir);
    if let Some(environment) = &tool.environment {
        // The task may import the packages of the environment.
        command.env("VIRTUAL_ENV", environment);
    }
    // Without an environment it is not known where packages are.
    let inputs = tool.environment.as_deref().map(|environment| Inputs {
        dir,
        packages: vec![environment],
        made: vec![wit],
        words: vec![
            componentizer.name.to_owned(),
            tool.version.clone(),
            world.name().to_owned(),
        ],
    });
    componentizer.run(&mut command, inputs.as_ref(), &output, project, options)?;
    Ok(output)
}
