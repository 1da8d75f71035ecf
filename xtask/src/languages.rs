//! Guests in other languages than Rust: projects of the kind that `rwasm-cluster build` takes, directly under
//! `guest-tasks/`.
//!
//! Their tools are installed where they are missing; a language whose tools cannot be installed is reported, skipped, and
//! listed in `target/guests/skipped.txt` for the tests to see. What is built is not built again while its inputs
//! are the same: an interpreter takes ten seconds to be made a component of.

use crate::guests::{self, Guest, deliver, entries};
use crate::shell::{self, note};
use anyhow::{Context, Result};
use rwasm_toolchains::{BuildOptions, InstallOptions, Language, Project, install};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// What a project's build does not depend on, though it may lie in it.
const NOT_INPUTS: [&str; 5] = ["node_modules", ".venv", "venv", "__pycache__", "target"];

/// What became of the guests of one language.
#[derive(Default)]
struct Done {
    guests: Vec<Guest>,
    /// Why there are none, where the language was skipped.
    skipped: Option<String>,
}

/// Builds the guests of all languages but Rust.
pub(crate) fn build() -> Result<Vec<Guest>> {
    let mut projects = Vec::new();
    for dir in entries(&shell::guest_root())? {
        if dir.is_dir() && !dir.join("Cargo.toml").exists() && !dir.ends_with("target") {
            // Not each directory is a project: there are headers, too.
            projects.extend(Project::find(&dir).ok());
        }
    }
    projects.sort_by(|a, b| a.name.cmp(&b.name));
    let results = all_at_once(&projects);
    let mut guests = Vec::new();
    let mut skipped = String::new();
    for (language, done) in results {
        let done = done.with_context(|| format!("guests in {language}"))?;
        guests.extend(done.guests);
        if let Some(why) = done.skipped {
            note(format_args!(
                "guests: those in {language} are skipped: {why}"
            ));
            skipped.push_str(&format!("{language}\t{}\n", why.replace('\n', " ")));
        }
    }
    let record = guests::path("skipped")?.with_extension("txt");
    fs::create_dir_all(record.parent().unwrap_or(Path::new(".")))
        .and_then(|()| fs::write(&record, skipped))
        .with_context(|| format!("cannot write {}", shell::shown(&record)))?;
    Ok(guests)
}

/// What became of each language, each in a thread of its own: they mostly wait for other programs.
fn all_at_once(projects: &[Project]) -> Vec<(Language, Result<Done>)> {
    let languages = Language::ALL
        .into_iter()
        .filter(|language| *language != Language::Rust);
    thread::scope(|scope| {
        let mut running = Vec::new();
        for language in languages {
            let mine: Vec<&Project> = projects
                .iter()
                .filter(|project| project.language == language)
                .collect();
            running.push((language, scope.spawn(move || of_language(language, &mine))));
        }
        let ended = running
            .into_iter()
            .map(|(language, thread)| match thread.join() {
                Ok(done) => (language, done),
                Err(panic) => std::panic::resume_unwind(panic),
            });
        ended.collect()
    })
}

fn of_language(language: Language, projects: &[&Project]) -> Result<Done> {
    let tools = shell::target()?.join("tools");
    let mut done = Done::default();
    for project in projects {
        let place = guests::path(&project.name)?;
        let inputs = inputs(project)?;
        let record = tools.join("inputs").join(&project.name);
        if fs::read_to_string(&record).is_ok_and(|known| known == inputs) && place.is_file() {
            done.guests.push(deliver(&place, &place)?);
            continue;
        }
        if done.skipped.is_none() && project.missing(Some(&tools)).is_some() {
            let options = InstallOptions {
                tools: tools.clone(),
                tell: Box::new(|line| note(format_args!("guests: {line}"))),
            };
            done.skipped = install(language, &options)
                .err()
                .map(|error| error.to_string());
        }
        if done.skipped.is_some() {
            // One of other inputs must not be taken for it.
            let _ = fs::remove_file(&place);
            continue;
        }
        let options = BuildOptions {
            tools: Some(tools.clone()),
            tell: Box::new(|line| note(format_args!("guests: {line}"))),
            ..BuildOptions::new(tools.join("scratch"))
        };
        let built = project
            .build(&options)
            .with_context(|| format!("guest {}", project.name))?;
        done.guests.push(deliver(&built, &place)?);
        let dir = record.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)
            .and_then(|()| fs::write(&record, inputs))
            .with_context(|| format!("cannot write {}", shell::shown(&record)))?;
    }
    Ok(done)
}

/// A hash of all that a guest is made of: its files, and how they are compiled.
fn inputs(project: &Project) -> Result<String> {
    let mut files = Vec::new();
    for dir in [&project.dir, &shell::root().join("host/cli/toolchains")] {
        collect(dir, &mut files)?;
    }
    files.push(shell::root().join("Cargo.lock"));
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let content =
            fs::read(&file).with_context(|| format!("cannot read {}", shell::shown(&file)))?;
        let name = file.strip_prefix(shell::root()).unwrap_or(&file);
        hash.update(name.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(Sha256::digest(&content));
    }
    Ok(format!("{:x}", hash.finalize()))
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if NOT_INPUTS.contains(&name.as_ref()) || name.ends_with(".wasm") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
