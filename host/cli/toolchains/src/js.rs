//! JavaScript: compiled to a component by componentize-js, which includes a JavaScript engine.

use crate::componentizer::Componentizer;
use crate::error::{BuildError, Missing, ProjectError};
use crate::project::read;
use crate::unchanged::Inputs;
use crate::wit::World;
use crate::{BuildOptions, Language, Project, tool};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that is installed and tested.
pub(crate) const VERSION: &str = "0.23.0";

/// The package, in a directory of modules.
pub(crate) const PACKAGE: &str = "@bytecodealliance/componentize-js";

/// The program that runs componentize-js.
const DRIVER: &str = include_str!("componentize.mjs");

/// componentize-js, and what starts it.
pub(crate) struct Tool {
    package: PathBuf,
    version: String,
}

/// Where npm installs tools.
pub(crate) fn prefix(tools: &Path) -> PathBuf {
    tools.join("js")
}

impl Tool {
    /// Looks for node in `PATH`, and for the package where node would from the project, then in
    /// `tools`.
    pub(crate) fn find(project: Option<&Path>, tools: Option<&Path>) -> Result<Self, Missing> {
        if tool::answer(Command::new("node").arg("--version")).is_none() {
            return Err(Missing {
                what: "node, which runs componentize-js, is not installed".to_owned(),
                install: ["apt-get install nodejs npm", "brew install node"]
                    .map(|node| format!("{node} && {}", npm_install(project)))
                    .to_vec(),
            });
        }
        let dir = project.map(tool::absolute);
        let tools = tools.map(|tools| tool::absolute(&prefix(tools)));
        let above = dir.iter().flat_map(|dir| dir.ancestors());
        let places = above.chain(tools.as_deref());
        for place in places {
            let package = place.join("node_modules").join(PACKAGE);
            if let Some(version) = version(&package) {
                return Ok(Self { package, version });
            }
        }
        Err(missing(project))
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}

fn version(package: &Path) -> Option<String> {
    let manifest = read(&package.join("package.json")).ok()?;
    let manifest: Value = serde_json::from_str(&manifest).ok()?;
    Some(manifest.get("version")?.as_str()?.to_owned())
}

/// Returns the npm command for what the project needs; the project is named as the user names it.
fn npm_install(project: Option<&Path>) -> String {
    match tool::elsewhere(project) {
        Some(dir) => format!("npm install --prefix {}", tool::shell_word(dir)),
        None => "npm install".to_owned(),
    }
}

pub(crate) fn missing(project: Option<&Path>) -> Missing {
    let install = npm_install(project);
    Missing {
        what: "componentize-js, which compiles JavaScript to components, is not installed"
            .to_owned(),
        install: vec![
            install.clone(),
            format!("{install} --save-dev {PACKAGE}@{VERSION}"),
        ],
    }
}

/// Returns the name in a `package.json`, without its scope.
pub(crate) fn name(path: &Path) -> Result<String, ProjectError> {
    let manifest = manifest(path)?;
    let name = manifest.get("name").and_then(Value::as_str);
    let name = name.ok_or_else(|| ProjectError::Manifest {
        path: path.to_owned(),
        reason: "has no `name`".to_owned(),
    })?;
    Ok(name.rsplit('/').next().unwrap_or(name).to_owned())
}

fn manifest(path: &Path) -> Result<Value, ProjectError> {
    serde_json::from_str(&read(path)?).map_err(|error| ProjectError::Manifest {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// Whether a module of the project may import others from outside of it.
fn imports_from_above(dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return true;
    };
    let is_source = |path: &Path| {
        let extension = path.extension().and_then(std::ffi::OsStr::to_str);
        extension.is_some_and(|found| ["js", "mjs", "cjs"].contains(&found))
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut sources = paths.filter(|path| is_source(path));
    sources.any(|path| std::fs::read_to_string(path).map_or(true, |text| text.contains("../")))
}

/// Builds the project, which the user has `named` this way.
pub(crate) fn build(
    project: &Project,
    named: &Path,
    options: &BuildOptions,
) -> Result<PathBuf, BuildError> {
    let Project { dir, name, .. } = project;
    let path = dir.join("package.json");
    let wrong = |path: &Path, reason: String| BuildError::Project {
        path: path.to_owned(),
        reason,
    };
    let manifest = manifest(&path).map_err(|error| wrong(dir, error.to_string()))?;
    let main = manifest.get("main").and_then(Value::as_str);
    let main = dir.join(main.unwrap_or("index.js"));
    if !main.is_file() {
        return Err(wrong(
            &main,
            "does not exist: `main` in package.json names the module with the functions".to_owned(),
        ));
    }
    let world = World::of(dir, Language::JavaScript)?;
    let tool = Tool::find(Some(named), options.tools.as_deref())?;
    let componentizer = Componentizer {
        name: "componentize-js",
        version: tool.version(),
        tested: VERSION,
    };
    componentizer.expect_fit(&world, options)?;
    let workplace = tool::workplace(&options.scratch, "js", dir)?;
    let output = workplace.join(name).with_added_extension("wasm");
    let driver = workplace.join("componentize.mjs");
    tool::write(&driver, DRIVER.as_bytes())?;
    let mut command = Command::new("node");
    command.arg(&driver).arg(&tool.package).arg(&main);
    let wit = world.complete(&workplace)?;
    command.arg(&wit);
    command.arg(world.name()).arg(&output).current_dir(dir);
    // The modules that it may import from there.
    let packages = tool
        .package
        .ancestors()
        .nth(2)
        .filter(|found| !found.starts_with(dir));
    let inputs = Inputs {
        dir,
        packages: packages.into_iter().collect(),
        made: vec![wit, driver],
        words: vec![
            componentizer.name.to_owned(),
            tool.version.clone(),
            world.name().to_owned(),
        ],
    };
    let inputs = Some(inputs).filter(|_| !imports_from_above(dir));
    componentizer.run(&mut command, inputs.as_ref(), &output, project, options)?;
    Ok(output)
}
