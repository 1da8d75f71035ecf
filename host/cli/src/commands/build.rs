//! `build`: project → compiled module → what the cluster wants → file.

use crate::args::BuildArguments;
use crate::environment::signals::Signals;
use crate::exit::{CliError, with_source};
use crate::output::messages;
use crate::output::results::Output;
use crate::output::stdout::{self, print};
use crate::text::{bytes, shell_word};
use rwasm_cluster::plain;
use rwasm_cluster::plain::{in_line, visible};
use rwasm_cluster::{ByteSize, Form, Import, JobSpec, Limits, Module};
use rwasm_toolchains::{BuildError, BuildOptions, Language, Project, ProjectError};
use std::path::{Path, PathBuf};

/// The extension of a module.
const WASM: &str = "wasm";

/// Where the results of a build are written when they go to no file.
const STDOUT: &str = "-";

/// Names another place for what compilers leave behind.
const BUILD_DIR: &str = "RWASM_BUILD_DIR";

/// What a task may ask of its host.
const HOST: &str = "rwasm:task/host";

/// The signatures of functions are no longer in a report, which is read at a glance.
const WIDEST: usize = 160;

/// Builds what was named, and prints where the module is.
pub(crate) fn build(arguments: &BuildArguments, signals: &Signals) -> Result<(), CliError> {
    let loud = !arguments.loudness.quiet;
    let source = Source::find(&arguments.path)?;
    let compiled = source.compiled(loud, signals)?;
    let (module, before) = finished(&compiled, arguments.component)?;
    if loud && module.form() != Form::Command && module.functions().is_empty() {
        messages::warn(&no_function(&source, &module));
    }
    let place = arguments
        .output
        .clone()
        .unwrap_or_else(|| source.module_path());
    write(&place, &module, signals)?;
    if loud {
        messages::print(&visible(&report(&module, before, &place)));
    }
    if place == Path::new(STDOUT) {
        return Ok(());
    }
    print(&format!("{}\n", stdout::path(&place)))
}

/// Builds a project as `build` does without options. Gives the place of the module.
pub(crate) fn project(
    project: &Project,
    loud: bool,
    signals: &Signals,
) -> Result<PathBuf, CliError> {
    let source = Source::Project(project.clone());
    let (module, _) = finished(&source.compiled(loud, signals)?, false)?;
    let place = source.module_path();
    write(&place, &module, signals)?;
    Ok(place)
}

/// What a module is made of.
pub(crate) enum Source {
    /// A project, to be compiled.
    Project(Project),
    /// A file that is a module already.
    Module(PathBuf),
}

impl Source {
    /// What the path names.
    pub(crate) fn find(path: &Path) -> Result<Self, CliError> {
        let is_module = path
            .extension()
            .is_some_and(|found| found == WASM || found == "wat");
        if is_module && !path.is_dir() {
            return Ok(Self::Module(path.to_owned()));
        }
        Project::find(path)
            .map(Self::Project)
            .map_err(|error| no_project(&error))
    }

    /// Where the module is to be.
    pub(crate) fn module_path(&self) -> PathBuf {
        match self {
            Self::Project(project) => {
                let file = format!("{}.{WASM}", project.name);
                if project.dir == Path::new(".") {
                    file.into()
                } else {
                    project.dir.join(file)
                }
            }
            Self::Module(path) => path.with_extension(WASM),
        }
    }

    fn compiled(&self, loud: bool, signals: &Signals) -> Result<PathBuf, CliError> {
        match self {
            Self::Project(project) => {
                let mut options = BuildOptions::new(scratch()?);
                if loud {
                    options.tell =
                        Box::new(|line| messages::print(&format!("{}\n", visible(line))));
                }
                let stop = options.stop.clone();
                signals.watch(move || stop.stop());
                let built = project.build(&options);
                if let Some(ending) = signals.ending() {
                    return Err(CliError::Signal(ending));
                }
                built.map_err(|error| not_built(&error, loud))
            }
            Self::Module(path) => Ok(path.clone()),
        }
    }
}

/// The module as the cluster wants it, and how large it was.
fn finished(compiled: &Path, as_component: bool) -> Result<(Module, u64), CliError> {
    // What compilers make has debug sections of any size; what is left must be within the limit.
    let mut limits = Limits::default();
    limits.module = ByteSize::new(u64::MAX);
    let compiled = Module::from_file_within(compiled, &limits).map_err(CliError::Load)?;
    let before = compiled.size();
    let module = if as_component {
        refuse_untyped_host(&compiled)?;
        compiled.to_component().map_err(CliError::Load)?
    } else {
        compiled
    };
    let module = module.without_debug_sections().map_err(CliError::Load)?;
    Ok((module, before))
}

/// A module that calls the host without WIT does not declare the types that a component needs.
fn refuse_untyped_host(module: &Module) -> Result<(), CliError> {
    let asks = |import: &Import| import.module.starts_with(HOST);
    if module.is_component() || module.has_wit() || !module.imports().iter().any(asks) {
        return Ok(());
    }
    Err(CliError::Project {
        message: format!(
            "cannot turn `{}` into a component: it imports {HOST} without WIT that declares the types",
            module.name()
        ),
        hint: Some(
            "run it as it is, or add `include rwasm:task/task@0.2.0;` to the world of the project's WIT"
                .to_owned(),
        ),
    })
}

/// Why a module has nothing to call, as far as that can be told.
fn no_function(source: &Source, module: &Module) -> String {
    let mut text = "the module has no callable function".to_owned();
    if let Some(first) = module.uncallable().first() {
        text += &format!(": {first}");
        return text;
    }
    let language = match source {
        Source::Project(project) => project.language,
        Source::Module(_) => return text,
    };
    text += match language {
        Language::Rust => "; mark one with `#[rwasm_task::export]`",
        Language::C => "; export one from the world in wit/, or declare a C function in a header",
        Language::Go => "; export one with `//go:wasmexport NAME`",
        Language::Python | Language::JavaScript => "; export one from the world in wit/",
    };
    text
}

fn write(place: &Path, module: &Module, signals: &Signals) -> Result<(), CliError> {
    // One that came while the module was read stopped nothing.
    if let Some(ending) = signals.ending() {
        return Err(CliError::Signal(ending));
    }
    let mut output = Output::open(Some(place))?;
    output.bytes(module.bytes())?;
    output.complete()
}

/// What was made, for people.
fn report(module: &Module, before: u64, place: &Path) -> String {
    let after = module.size();
    let mut text = format!(
        "{:<10} {}\n",
        "module",
        in_line(&place.display().to_string())
    );
    let kind = if module.is_component() {
        "component"
    } else {
        "core module"
    };
    text += &format!("{:<10} {}, {kind}\n", "form", module.form());
    text += &format!("{:<10} {}", "size", bytes(after));
    if before != after {
        text += &format!(", compiled {}", bytes(before));
    }
    text.push('\n');
    let mut name = "functions";
    for function in module.functions() {
        let mut line = in_line(&function.to_string());
        if let Some((end, _)) = line.char_indices().nth(WIDEST) {
            line.replace_range(end.., "…");
        }
        text += &format!("{name:<10} {line}\n");
        name = "";
    }
    if place != Path::new(STDOUT) {
        text += &format!("{:<10} {}\n", "run it", in_line(&command(module, place)));
    }
    text
}

/// How it is run on an input, or where it takes none, looked at.
fn command(module: &Module, place: &Path) -> String {
    let place = shell_word(&place.display().to_string());
    let is_mapped = module.form() == Form::Command || JobSpec::default().merge_for(module).is_ok();
    if is_mapped {
        format!("rwasm-cluster run {place} input.txt")
    } else {
        format!("rwasm-cluster inspect {place}")
    }
}

/// Where compilers leave what they need again: `RWASM_BUILD_DIR`, else in the user's cache directory.
pub(crate) fn build_dir() -> Option<PathBuf> {
    let named = std::env::var_os(BUILD_DIR).filter(|dir| !dir.is_empty());
    let cached = || dirs::cache_dir().map(|dir| dir.join("rwasm-cluster").join("build"));
    named.map(PathBuf::from).or_else(cached)
}

/// The same, which is there afterwards.
fn scratch() -> Result<PathBuf, CliError> {
    let dir = build_dir().ok_or_else(|| CliError::Gone {
        message: "no directory for build files: the user has no cache directory".to_owned(),
        hint: format!("set {BUILD_DIR} to a directory"),
    })?;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    // What is in it becomes a part of modules: nobody else may write there.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&dir).map_err(|source| CliError::Output {
        what: format!("`{}`", plain::path(&dir)),
        source,
    })?;
    Ok(dir)
}

fn no_project(error: &ProjectError) -> CliError {
    let hint = match error {
        ProjectError::NotFound { .. } => Some(
            "create a project with `rwasm-cluster new NAME`, or name a module: `rwasm-cluster build FILE.wasm`"
                .to_owned(),
        ),
        _ => None,
    };
    CliError::Project {
        message: visible(&error.to_string()),
        hint,
    }
}

fn not_built(error: &BuildError, told: bool) -> CliError {
    match error {
        BuildError::Missing(missing) => CliError::Project {
            message: missing.what.clone(),
            hint: Some(format!(
                "install it with `{}`",
                missing.install.join("`, or with `")
            )),
        },
        // Where nothing was told, what the compiler said is the reason.
        BuildError::Failed { output, .. } if !told && !output.trim().is_empty() => {
            CliError::Project {
                message: format!("{error}:\n{}", output.trim_end()),
                hint: None,
            }
        }
        error => CliError::Project {
            message: with_source(error),
            hint: None,
        },
    }
}
