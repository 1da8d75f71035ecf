//! How this repository's Rust guests are compiled. What compilers there are, and how they are set up, is known to
//! `rwasm-toolchains`; here is what is special to this workspace.

use crate::shell::{self, note};
use anyhow::Result;
use rwasm_toolchains::rust::{self, Compiler, TARGET};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

/// Which compiler the user wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The first that is there, else the first that can be set up.
    #[default]
    Auto,
    /// The one that is in use, with rustup's target.
    Rustup,
    /// Debian's packages.
    Debian,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "rustup" => Ok(Self::Rustup),
            "debian" => Ok(Self::Debian),
            _ => Err("expected `auto`, `rustup` or `debian`".to_owned()),
        }
    }
}

/// A compiler that is ready to build guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain(Compiler);

impl Toolchain {
    /// Finds the toolchain of this choice, or sets it up.
    pub(crate) fn ready(choice: Choice) -> Result<Self> {
        let choice = match choice {
            Choice::Auto => rust::Choice::Auto,
            Choice::Rustup => rust::Choice::Rustup,
            Choice::Debian => rust::Choice::Debian,
        };
        let compiler = rust::ready(choice, &|line| note(format_args!("guests: {line}")))?;
        Ok(Self(compiler))
    }

    /// How it is called, in a sentence.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Compiler::Own => "the compiler in use",
            Compiler::Debian => "Debian's compiler (the first time takes a minute or two)",
        }
    }

    /// A `cargo build` of the guests, in release form.
    pub(crate) fn cargo_build(self) -> Command {
        let mut cargo = self
            .0
            .cargo(&shell::guest_root(), Some(&self.debian_home()));
        cargo.args(["build", "--release", "--locked", "--target", TARGET]);
        cargo.arg("--target-dir").arg(self.target_dir());
        cargo.args(self.0.std_arguments());
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
        match self.0 {
            Compiler::Own => dir,
            Compiler::Debian => dir.join("debian"),
        }
    }

    /// Debian's cargo keeps its downloads to itself: its version is not the user's.
    fn debian_home(self) -> PathBuf {
        self.target_dir().join("cargo-home")
    }

    /// Cargo's own list, parted as cargo wants it so that paths may contain spaces. Programs and reactors need
    /// different start-up objects, but the flags must be the same: see `guest-tasks/link.rs`.
    fn compiler_flags(self) -> OsString {
        let cargo_home = match self.0 {
            Compiler::Own => cargo_home(),
            Compiler::Debian => Some(self.debian_home()),
        };
        // A module's hash should not depend on where it was built.
        let mut flags: Vec<OsString> = vec![remapped(&shell::guest_root(), "guest-tasks")];
        flags.extend(cargo_home.map(|home| remapped(&home, "cargo")));
        flags.extend(self.0.link_flags());
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
