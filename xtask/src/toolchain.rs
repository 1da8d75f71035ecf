//! How guests are compiled for `wasm32-wasip1`. No other file knows.
//!
//! The compiler at hand is taken if it has the target's standard library; then Debian's packages, if they are
//! installed; then rustup is asked to add the target; then Debian's packages are installed. Whatever changes the
//! machine is announced.

use crate::shell::{self, note};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::env;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The target's name, as rustc says it today; it used to be wasm32-wasi.
pub(crate) const TARGET: &str = "wasm32-wasip1";

/// How long rustup may take to add the target: it is a download of about 20 MB, and some networks swallow it
/// silently.
const RUSTUP_PATIENCE: Duration = Duration::from_mins(1);

/// A compiler with WebAssembly targets and its standard library's sources, a linker, and the C library under that.
const DEBIAN_PACKAGES: [&str; 5] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "lld-19",
    "wasi-libc",
];
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";
const DEBIAN_LIBC: &str = "/usr/lib/wasm32-wasi";
/// Its programs, and none of rustup's, which stand under the same names elsewhere.
const DEBIAN_PATH: &str = "/usr/bin:/bin";

/// Which compiler the user wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// The first that is there, else the first that can be set up.
    #[default]
    Auto,
    /// The one that is in use, with rustup's target.
    Rustup,
    /// Debian's packages.
    Debian,
}

/// A compiler that is ready to build guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The one in use, which has the target.
    Own,
    /// Debian's, which compiles the standard library too.
    Debian,
}

impl Toolchain {
    /// Finds the toolchain of this choice, or sets it up.
    pub(crate) fn ready(choice: Choice) -> Result<Self> {
        let (own, debian) = (choice != Choice::Debian, choice != Choice::Rustup);
        if own && has_target() {
            return Ok(Self::Own);
        }
        if debian && has_debian_packages() {
            return Ok(Self::Debian);
        }
        if own && add_with_rustup() && has_target() {
            return Ok(Self::Own);
        }
        if debian {
            install_debian_packages()?;
            return Ok(Self::Debian);
        }
        bail!(
            "rustup cannot add the target: try `rustup target add {TARGET}`, or `--toolchain debian`"
        )
    }

    /// A `cargo build` of the guests, in release form.
    pub(crate) fn cargo_build(self) -> Command {
        let mut cargo = match self {
            Self::Own => shell::cargo(&shell::guest_root()),
            Self::Debian => debian_cargo(),
        };
        cargo.args(["build", "--release", "--locked", "--target", TARGET]);
        cargo.arg("--target-dir").arg(self.target_dir());
        if self == Self::Debian {
            cargo.args(["-Z", "build-std=std,panic_abort"]);
        }
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.compiler_flags());
        cargo
    }

    /// Where the modules are once they are built.
    pub(crate) fn output_dir(self) -> PathBuf {
        self.target_dir().join(TARGET).join("release")
    }

    /// Two compilers in one directory would each take the other's work for stale.
    fn target_dir(self) -> PathBuf {
        let dir = shell::guest_root().join("target");
        match self {
            Self::Own => dir,
            Self::Debian => dir.join("debian"),
        }
    }

    /// Cargo's own list, parted as cargo wants it so that paths may contain spaces. Programs and reactors need
    /// different start-up objects, but the flags must be the same: see `guest-tasks/link.rs`.
    fn compiler_flags(self) -> OsString {
        let cargo_home = match self {
            Self::Own => cargo_home(),
            Self::Debian => Some(debian_cargo_home()),
        };
        // A module's hash should not depend on where it was built.
        let mut flags: Vec<OsString> = vec![remapped(&shell::guest_root(), "guest-tasks")];
        flags.extend(cargo_home.map(|home| remapped(&home, "cargo")));
        if self == Self::Debian {
            flags.extend(
                ["-Clink-self-contained=no", "-Clinker-flavor=wasm-ld"].map(OsString::from),
            );
            flags.push(format!("-Lnative={DEBIAN_LIBC}").into());
        }
        flags.join("\x1f".as_ref())
    }
}

fn remapped(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

fn cargo_home() -> Option<PathBuf> {
    let home = || env::home_dir().map(|home| home.join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home)
}

/// Debian's cargo keeps its downloads to itself: its version is not the user's.
fn debian_cargo_home() -> PathBuf {
    Toolchain::Debian.target_dir().join("cargo-home")
}

fn debian_cargo() -> Command {
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo.current_dir(shell::guest_root());
    for (name, _) in env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            ["CARGO", "RUST", "LD_LIBRARY_PATH"]
                .iter()
                .any(|start| name.starts_with(start))
        });
        if ours {
            cargo.env_remove(name);
        }
    }
    cargo
        .env("PATH", DEBIAN_PATH)
        .env("CARGO_HOME", debian_cargo_home());
    cargo
        .env("CARGO_TARGET_WASM32_WASIP1_LINKER", DEBIAN_LINKER)
        .env("GUEST_CRT_DIR", DEBIAN_LIBC);
    // Compiling the standard library is not stable, but this compiler's own sources are what it was made for.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo
}

/// Whether the compiler in use has a standard library for the target.
fn has_target() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    shell::answer(command.args(["--print", "target-libdir", "--target", TARGET]))
        .is_some_and(|dir| Path::new(dir.trim()).is_dir())
}

fn has_debian_packages() -> bool {
    let mut command = Command::new("dpkg-query");
    shell::answer(
        command
            .args(["--show", "--showformat=${db:Status-Status}\n"])
            .args(DEBIAN_PACKAGES),
    )
    .is_some_and(|states| states.lines().all(|state| state == "installed"))
}

/// Asks rustup for the target, quietly and not for ever; `false` where that did not work out.
fn add_with_rustup() -> bool {
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let Ok(mut rustup) = command.spawn() else {
        return false;
    };
    note(format_args!(
        "guests: adding the target {TARGET} with rustup"
    ));
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
        note("guests: rustup could not add it");
    }
    added
}

fn install_debian_packages() -> Result<()> {
    let by_hand = format!(
        "guests are compiled for {TARGET}: run `rustup target add {TARGET}`, or on Debian `apt-get install {}`",
        DEBIAN_PACKAGES.join(" ")
    );
    let Some(user) = shell::answer(Command::new("id").arg("-u")) else {
        bail!(by_hand)
    };
    if shell::answer(Command::new("apt-get").arg("--version")).is_none() {
        bail!(by_hand);
    }
    let apt = |arguments: &[&str]| {
        let mut command = if user.trim() == "0" {
            Command::new("apt-get")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.arg("apt-get");
            sudo
        };
        // Results go to stdout, and this is none.
        command.arg("-q").args(arguments).stdout(std::io::stderr());
        note(
            format_args!("guests: {command:?}")
                .to_string()
                .replace('"', ""),
        );
        shell::run(&mut command)
    };
    note("guests: installing Debian's packages for WebAssembly");
    apt(&["update"]).with_context(|| by_hand.clone())?;
    // Nothing that is installed is to go for it.
    let install = ["install", "--yes", "--no-install-recommends", "--no-remove"];
    apt(&[&install[..], &DEBIAN_PACKAGES].concat()).context(by_hand)
}
