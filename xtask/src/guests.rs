//! Building the guests, and where they are: `target/guests/NAME.wasm`, whatever compiled them.
//!
//! Which guests there are follows from the tree under `guest-tasks/`: every crate that is a `cdylib` or has a
//! `main.rs`, every file in a `src/bin/`, and every module written as text; with `--all` also the projects in other
//! languages, which `languages` builds.

use crate::languages;
use crate::shell::{self, note};
use crate::toolchain::{Choice, Toolchain};
use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process;

/// A guest that is built.
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) bytes: usize,
}

impl Guest {
    /// As a line for another program.
    pub(crate) fn line(&self) -> String {
        format!("{}\t{}\t{}", self.name, self.bytes, self.path.display())
    }

    /// What [`line`](Self::line) has written.
    #[cfg(not(feature = "languages"))]
    pub(crate) fn from_line(line: &str) -> Result<Self> {
        let mut fields = line.splitn(3, '\t');
        let mut field = || fields.next().context("a guest has three fields");
        Ok(Self {
            name: field()?.to_owned(),
            bytes: field()?.parse()?,
            path: field()?.into(),
        })
    }
}

/// Where the guest of this name is once it is built.
pub(crate) fn path(name: &str) -> Result<PathBuf> {
    Ok(shell::target()?
        .join("guests")
        .join(name)
        .with_extension("wasm"))
}

/// Builds one guest in Rust, and nothing that it does not need.
pub(crate) fn build_one(choice: Choice, name: &str) -> Result<Guest> {
    let toolchain = Toolchain::ready(choice)?;
    note(format_args!(
        "guests: building {name}, with {}",
        toolchain.name()
    ));
    shell::run(toolchain.cargo_build().args(["--package", name]))?;
    deliver_compiled(toolchain, name)
}

/// Builds the guests in Rust and as text, and with `all` those in other languages, in the order of their names.
pub(crate) fn build(choice: Choice, all: bool) -> Result<Vec<Guest>> {
    let toolchain = Toolchain::ready(choice)?;
    note(format_args!("guests: building, with {}", toolchain.name()));
    shell::run(&mut toolchain.cargo_build())?;
    let mut guests = Vec::new();
    for source in sources(&shell::guest_root())? {
        guests.push(match source {
            Source::Compiled(name) => deliver_compiled(toolchain, &name)?,
            Source::Text(wat) => {
                let name = wat
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                deliver(&wat, &path(&name)?.with_extension("wat"))?
            }
        });
    }
    if all {
        guests.extend(languages::build()?);
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(guests)
}

/// Takes a crate's module from where the compiler has put it.
fn deliver_compiled(toolchain: Toolchain, name: &str) -> Result<Guest> {
    // A library's file is named by the rules of the language.
    let names = [name.to_owned(), name.replace('-', "_")];
    let built = names.map(|name| toolchain.output_dir().join(name).with_extension("wasm"));
    let built = built
        .iter()
        .find(|built| built.exists())
        .unwrap_or(&built[0]);
    deliver(built, &path(name)?)
}

/// Prints name, size and place of each guest.
pub(crate) fn list(guests: &[Guest]) -> Result<()> {
    let width = guests
        .iter()
        .map(|guest| guest.name.len())
        .max()
        .unwrap_or_default();
    for Guest { name, path, bytes } in guests {
        shell::print(format_args!(
            "{name:width$}  {bytes:>7} B  {}",
            shell::shown(path)
        ))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// A guest that the compiler makes.
    Compiled(String),
    /// A module that is text already.
    Text(PathBuf),
}

/// The guests of the crates directly under `root`, and its `.wat` files.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in entries(root)? {
        if path.extension().is_some_and(|extension| extension == "wat") {
            sources.push(Source::Text(path));
            continue;
        }
        let Ok(manifest) = fs::read_to_string(path.join("Cargo.toml")) else {
            continue;
        };
        if manifest.contains("\"cdylib\"") || path.join("src/main.rs").exists() {
            sources.extend(
                path.file_name()
                    .map(|name| Source::Compiled(name.to_string_lossy().into_owned())),
            );
        }
        for bin in entries(&path.join("src/bin"))? {
            sources.extend(
                bin.file_stem()
                    .map(|name| Source::Compiled(name.to_string_lossy().into_owned())),
            );
        }
    }
    Ok(sources)
}

/// What is in a directory; nothing, if it does not exist.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.with_context(|| format!("cannot list {}", shell::shown(dir)))?,
    };
    listed.map(|entry| Ok(entry?.path())).collect()
}

/// Copies a built guest to its place, unless it is there already; whoever reads it meanwhile sees a whole one.
pub(crate) fn deliver(built: &Path, place: &Path) -> Result<Guest> {
    let name = place
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let wasm = fs::read(built)
        .with_context(|| format!("guest {name}: {} was not built", shell::shown(built)))?;
    if fs::read(place).ok().as_ref() != Some(&wasm) {
        let dir = place.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", shell::shown(dir)))?;
        let aside = place.with_extension(process::id().to_string());
        fs::write(&aside, &wasm)
            .and_then(|()| fs::rename(&aside, place))
            .with_context(|| format!("cannot write {}", shell::shown(place)))?;
    }
    Ok(Guest {
        name,
        path: place.to_owned(),
        bytes: wasm.len(),
    })
}
