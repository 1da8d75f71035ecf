//! Rust: cargo with the target `wasm32-wasip1`.
//!
//! The compiler in use is chosen if it has the target's standard library; otherwise Debian's
//! packages, if they are installed. [`ready`] goes further: it asks rustup to add the target, and
//! then installs Debian's packages. Every change to the machine is reported.

#[cfg(feature = "projects")]
mod project;

#[cfg(feature = "projects")]
pub(crate) use project::build;

use crate::error::{InstallError, Missing};
use crate::{install, tool};
use std::env;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The target's name in current versions of rustc; formerly wasm32-wasi.
pub const TARGET: &str = "wasm32-wasip1";

/// How long rustup may take to add the target: it downloads about 20 MB, and some networks drop
/// packets silently.
const RUSTUP_PATIENCE: Duration = Duration::from_mins(1);

/// The command on rustup's own page, up to the arguments.
const RUSTUP: &str = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh";

/// A compiler with WebAssembly targets and its standard library's sources, a linker, and the C
/// library that it needs.
const DEBIAN_PACKAGES: [&str; 5] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "lld-19",
    "wasi-libc",
];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
#[cfg(feature = "projects")]
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";
const DEBIAN_LIBC: &str = "/usr/lib/wasm32-wasi";
/// The directories of its programs, without rustup's programs of the same names.
const DEBIAN_PATH: &str = "/usr/bin:/bin";

/// The compiler that the user wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The first that is installed, otherwise the first that can be set up.
    #[default]
    Auto,
    /// The one in use, with rustup's target.
    Rustup,
    /// Debian's packages.
    Debian,
}

/// A compiler that is ready to make WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// The one in use, which has the target.
    Own,
    /// Debian's, which compiles the standard library too.
    Debian,
}

impl Compiler {
    /// Returns the first compiler of this choice that is installed.
    ///
    /// # Errors
    ///
    /// Returns an error if none is.
    pub fn find(choice: Choice) -> Result<Self, Missing> {
        Self::find_in(choice, None)
    }

    /// Does the same for the project in `dir`, which may name a rustup toolchain.
    #[cfg(feature = "projects")]
    pub(crate) fn find_for(dir: &Path) -> Result<Self, Missing> {
        Self::find_in(Choice::Auto, Some(dir))
    }

    fn find_in(choice: Choice, dir: Option<&Path>) -> Result<Self, Missing> {
        if choice != Choice::Debian && has_target(dir) {
            return Ok(Self::Own);
        }
        if choice != Choice::Rustup && has_debian_packages() {
            return Ok(Self::Debian);
        }
        Err(missing())
    }

    /// Returns its cargo, in `dir`; Debian's downloads into `debian_home`, or where the user's
    /// cargo does.
    pub fn cargo(self, dir: &Path, debian_home: Option<&Path>) -> Command {
        let mut cargo = match self {
            Self::Own => Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
            Self::Debian => debian_cargo(debian_home),
        };
        cargo.current_dir(dir);
        // These belong to a cargo that runs us, and would make this one rebuild needlessly.
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(|name| {
                name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
            }) {
                cargo.env_remove(name);
            }
        }
        cargo
    }

    /// Returns arguments of cargo in addition to the target: Debian's compiles the standard library
    /// too.
    pub const fn std_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Own => &[],
            Self::Debian => &["-Z", "build-std=std,panic_abort"],
        }
    }

    /// Returns flags for rustc with which it links.
    pub fn link_flags(self) -> Vec<OsString> {
        match self {
            Self::Own => Vec::new(),
            Self::Debian => vec![
                "-Clink-self-contained=no".into(),
                "-Clinker-flavor=wasm-ld".into(),
                format!("-Lnative={DEBIAN_LIBC}").into(),
            ],
        }
    }
}

/// Returns Debian's cargo, without anything of rustup in its environment.
fn debian_cargo(home: Option<&Path>) -> Command {
    let mut cargo = Command::new(DEBIAN_CARGO);
    for (name, _) in env::vars_os() {
        let foreign = name.to_str().is_some_and(|name| match home {
            // All of it, if nothing of the user's is wanted.
            Some(_) => ["CARGO", "RUST"]
                .iter()
                .any(|start| name.starts_with(start)),
            None => {
                name == "CARGO"
                    || ["RUSTC", "RUSTUP_", "RUSTDOC", "RUST_RECURSION"]
                        .iter()
                        .any(|start| name.starts_with(start))
            }
        });
        if foreign || name == "LD_LIBRARY_PATH" {
            cargo.env_remove(name);
        }
    }
    let mut path = OsString::from(DEBIAN_PATH);
    match home {
        Some(home) => drop(cargo.env("CARGO_HOME", home)),
        // The user's build scripts may need programs of the user's.
        None => {
            if let Some(more) = env::var_os("PATH") {
                path.push(":");
                path.push(more);
            }
        }
    }
    cargo
        .env("PATH", path)
        .env("CARGO_TARGET_WASM32_WASIP1_LINKER", DEBIAN_LINKER)
        // Read by the build scripts of guests that have one.
        .env("GUEST_CRT_DIR", DEBIAN_LIBC);
    // Compiling the standard library is unstable, but these sources belong to this compiler.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo
}

/// Returns the compiler of this choice, and sets it up if it is not installed; `tell` receives a
/// line for each step.
///
/// # Errors
///
/// Returns an error if that is not possible.
pub fn ready(choice: Choice, tell: &dyn Fn(&str)) -> Result<Compiler, InstallError> {
    if let Ok(found) = Compiler::find(choice) {
        return Ok(found);
    }
    if choice != Choice::Debian && add_with_rustup(tell) && has_target(None) {
        return Ok(Compiler::Own);
    }
    if choice == Choice::Rustup {
        let mut by_hand = missing();
        by_hand.install.truncate(1);
        return Err(InstallError::ByHand(by_hand));
    }
    tell("installing Debian's packages for WebAssembly");
    install::apt(&DEBIAN_PACKAGES, &missing(), tell)?;
    Ok(Compiler::Debian)
}

fn missing() -> Missing {
    let has_rustup = tool::answer(Command::new("rustup").arg("--version")).is_some();
    let (with, rustup) = if has_rustup {
        ("", format!("rustup target add {TARGET}"))
    } else {
        (
            " (https://rustup.rs gets both)",
            format!("{RUSTUP} -s -- --target {TARGET}"),
        )
    };
    Missing {
        what: format!("a Rust compiler with the target {TARGET}{with} is not installed"),
        install: vec![
            rustup,
            format!(
                "apt-get install --no-install-recommends {}",
                DEBIAN_PACKAGES.join(" ")
            ),
        ],
    }
}

/// Whether the compiler in use has a standard library for the target.
fn has_target(dir: Option<&Path>) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    tool::answer(command.args(["--print", "target-libdir", "--target", TARGET]))
        .is_some_and(|dir| Path::new(&dir).is_dir())
}

fn has_debian_packages() -> bool {
    let mut command = Command::new("dpkg-query");
    tool::answer(
        command
            .args(["--show", "--showformat=${db:Status-Status}\n"])
            .args(DEBIAN_PACKAGES),
    )
    .is_some_and(|states| states.lines().all(|state| state == "installed"))
}

/// Asks rustup for the target, quietly and with a time limit; `false` if it failed.
fn add_with_rustup(tell: &dyn Fn(&str)) -> bool {
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let Ok(mut rustup) = command.spawn() else {
        return false;
    };
    tell(&format!("adding the target {TARGET} with rustup"));
    let Some(mut stderr) = rustup.stderr.take() else {
        return false;
    };
    // Its stderr ends when it does.
    let (ended, end) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        let _ = ended.send(());
    });
    if end.recv_timeout(RUSTUP_PATIENCE).is_err() {
        let _ = rustup.kill();
    }
    let _ = reader.join();
    let added = rustup.wait().is_ok_and(|status| status.success());
    if !added {
        tell("rustup could not add it");
    }
    added
}
