//! `new`: a task project, written from a template.

use crate::args::NewArguments;
use crate::commands::build::build_dir;
use crate::commands::template::{ProjectName, Template, TemplateError};
use crate::exit::CliError;
use crate::output::messages::warn;
use crate::output::stdout::print;
use crate::text::shell_word;
use rwasm_cluster::plain;
use rwasm_cluster::plain::visible;
use rwasm_toolchains::{BuildOptions, Missing, Project};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a project has of others, which is named as a whole.
const VENDOR: &str = "vendor";

/// Writes the project, and says what to do with it.
pub(crate) fn new(arguments: &NewArguments) -> Result<(), CliError> {
    let dir = &arguments.path;
    let name = name(dir)?;
    let language = arguments.language;
    let template = Template::of(language.name()).ok_or_else(|| CliError::Project {
        message: format!("this build of rwasm-cluster has no template for {language}"),
        hint: Some("build rwasm-cluster from a checkout of its repository".to_owned()),
    })?;
    let paths = template.write(dir, &name).map_err(|error| match error {
        TemplateError::Unwritable { path, source } => CliError::Output {
            what: format!("`{}`", plain::path(&path)),
            source,
        },
        other => CliError::Gone {
            message: other.to_string(),
            hint: "name a new or empty directory; nothing is overwritten".to_owned(),
        },
    })?;
    if !arguments.loudness.quiet {
        let missing = missing(dir);
        let install = missing.as_ref().and_then(|missing| missing.install.first());
        let guide = guide(
            dir,
            &name,
            language.name(),
            &paths,
            install.map(String::as_str),
        );
        print(&visible(&guide))?;
        if let Some(missing) = missing {
            warn(&missing.to_string());
        }
    }
    Ok(())
}

/// What the project is to be built with, if that is not there.
fn missing(dir: &Path) -> Option<Missing> {
    let tools = build_dir().and_then(|dir| BuildOptions::new(dir).tools);
    Project::find(dir).ok()?.missing(tools.as_deref())
}

/// The project's name is the last part of its path.
fn name(dir: &Path) -> Result<ProjectName, CliError> {
    let wrong = |message: String| CliError::Wrong {
        message,
        hint: "use a name such as word-count: rwasm-cluster new word-count".to_owned(),
    };
    let name = dir.file_name().ok_or_else(|| {
        wrong(format!(
            "`{}` does not name a new directory",
            plain::path(dir)
        ))
    })?;
    let name = name.to_string_lossy();
    name.parse()
        .map_err(|error: crate::commands::template::NameError| wrong(error.to_string()))
}

/// What there is now, and what to do next.
fn guide(
    dir: &Path,
    name: &ProjectName,
    language: &str,
    paths: &[PathBuf],
    install: Option<&str>,
) -> String {
    let shown = |path: &Path| shell_word(&path.display().to_string());
    let mut text = format!("created {}, a task project in {language}:\n", shown(dir));
    // Writing to a string cannot fail.
    for path in paths.iter().filter(|path| !path.starts_with(VENDOR)) {
        let _ = writeln!(text, "  {}", shown(&dir.join(path)));
    }
    let vendored = paths.iter().find(|path| path.starts_with(VENDOR));
    if let Some(crate_dir) = vendored.and_then(|path| path.iter().nth(1)) {
        let place = dir.join(VENDOR).join(crate_dir);
        let _ = writeln!(
            text,
            "  {}/  (a dependency, with its sources)",
            shown(&place)
        );
    }
    let input = paths.iter().find(|path| is_input(path));
    let input = input.map_or_else(|| PathBuf::from("book.txt"), |path| dir.join(path));
    let module = dir.join(format!("{}.wasm", name.as_str()));
    text += "next:\n";
    if let Some(install) = install {
        let _ = writeln!(text, "  {install}");
    }
    let _ = write!(
        text,
        "  rwasm-cluster build {dir}\n  rwasm-cluster test {dir}\n  rwasm-cluster run {} {}\n",
        shown(&module),
        shown(&input),
        dir = shown(dir),
    );
    text
}

/// Whether the file is a sample's input.
fn is_input(path: &Path) -> bool {
    let is_other = path.extension().is_some_and(|found| found == "expected")
        || path.file_name().is_some_and(|name| name == "calls.txt");
    path.starts_with("samples") && !is_other
}
