//! Builds a user's Rust project, without a build script or configuration of ours.
//!
//! Debian's compiler has no compiled standard library. One is built for all projects, once, and
//! kept as a system root; a shared target directory would not work, since modules of the same name
//! overwrite each other there.

use super::{Compiler, DEBIAN_LIBC, DEBIAN_RUSTC, TARGET};
use crate::error::BuildError;
use crate::{BuildOptions, Project, tool};
use serde_json::Value;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target of a package that becomes the module.
#[derive(Debug, PartialEq, Eq)]
struct CargoTarget {
    /// The package by cargo's id: a dependency may have the same name.
    package: String,
    /// Its name, as cargo has it.
    name: String,
    is_library: bool,
}

pub(crate) fn build(project: &Project, options: &BuildOptions) -> Result<PathBuf, BuildError> {
    let Project { dir, name, .. } = project;
    let compiler = Compiler::find_for(dir)?;
    let metadata = metadata(compiler, dir, options)?;
    let wanted = wanted(&metadata, dir)?;
    let mut cargo = compiler.cargo(dir, None);
    cargo.args(["rustc", "--release", "--target", TARGET]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    cargo.args(["--package", &wanted.package]);
    if wanted.is_library {
        cargo.arg("--lib");
    } else {
        cargo.args(["--bin", &wanted.name]);
    }
    let mut target = PathBuf::from(metadata["target_directory"].as_str().unwrap_or("target"));
    if !is_writable(&target) {
        target = tool::workplace(&options.scratch, "rust", dir)?;
    }
    if compiler == Compiler::Debian {
        // Two compilers in one directory would each take the other's output for stale.
        target.push("debian");
    }
    cargo.arg("--target-dir").arg(&target);
    if compiler == Compiler::Debian {
        let root = system_root(options)?;
        let mut sysroot = OsString::from("--sysroot=");
        sysroot.push(&root);
        cargo.env(
            "CARGO_ENCODED_RUSTFLAGS",
            flags(compiler.link_flags().into_iter().chain([sysroot])),
        );
        cargo.env_remove("RUSTFLAGS").env_remove("GUEST_CRT_DIR");
        let object = if wanted.is_library {
            "crt1-reactor.o"
        } else {
            "crt1-command.o"
        };
        cargo.args(["--", &format!("-Clink-arg={DEBIAN_LIBC}/{object}")]);
    }
    (options.tell)(&match compiler {
        Compiler::Own => format!("compiling {name} with cargo"),
        Compiler::Debian => format!("compiling {name} with Debian's cargo"),
    });
    let messages = run(&mut cargo, options)?;
    module(&messages, &wanted).ok_or_else(|| BuildError::Project {
        path: dir.join("Cargo.toml"),
        reason: format!("cargo built no module from {}", wanted.name),
    })
}

/// Whether cargo can write its output to `dir`, which need not exist.
fn is_writable(dir: &Path) -> bool {
    use rustix::fs::{Access, access};
    let there = dir.ancestors().find(|place| place.exists());
    there.is_some_and(|place| {
        place.is_dir() && access(place, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    })
}

/// Returns our flags, and those of the user that would otherwise be lost.
fn flags(ours: impl Iterator<Item = OsString>) -> OsString {
    let mut flags: Vec<OsString> = ours.collect();
    if let Some(encoded) = env::var_os("CARGO_ENCODED_RUSTFLAGS") {
        flags.push(encoded);
    } else if let Ok(more) = env::var("RUSTFLAGS") {
        flags.extend(more.split_whitespace().map(OsString::from));
    }
    flags.retain(|flag| !flag.is_empty());
    flags.join("\x1f".as_ref())
}

/// Returns cargo's metadata of the project.
fn metadata(compiler: Compiler, dir: &Path, options: &BuildOptions) -> Result<Value, BuildError> {
    let mut cargo = compiler.cargo(dir, None);
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
    let answer = run(&mut cargo, options)?;
    serde_json::from_str(&answer).map_err(|error| BuildError::Project {
        path: dir.join("Cargo.toml"),
        reason: format!("cannot parse the output of `cargo metadata`: {error}"),
    })
}

/// Runs cargo, which reports errors on stderr; returns its stdout.
fn run(cargo: &mut Command, options: &BuildOptions) -> Result<String, BuildError> {
    cargo.stdin(Stdio::null()).stdout(Stdio::piped());
    let output = options.stop.output(cargo.stderr(Stdio::inherit()));
    let output = output.map_err(|source| BuildError::Io {
        what: "start cargo".to_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(BuildError::Failed {
        program: "cargo".to_owned(),
        status: output.status,
        output: String::new(),
    })
}

/// Returns the target of the package in `dir` that is the task: its `cdylib`, otherwise its
/// program.
fn wanted(metadata: &Value, dir: &Path) -> Result<CargoTarget, BuildError> {
    let manifest = dir.join("Cargo.toml");
    let wrong = |reason: String| BuildError::Project {
        path: manifest.clone(),
        reason,
    };
    let same = |path: &str| {
        Path::new(path) == manifest
            || manifest.canonicalize().is_ok_and(|manifest| {
                Path::new(path)
                    .canonicalize()
                    .is_ok_and(|path| path == manifest)
            })
    };
    let packages = metadata["packages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let package = packages
        .iter()
        .find(|package| package["manifest_path"].as_str().is_some_and(same))
        .ok_or_else(|| wrong("is not a package".to_owned()))?;
    let package_name = package["name"].as_str().unwrap_or_default();
    let targets = package["targets"].as_array().map_or(&[][..], Vec::as_slice);
    let of_kind = |kind: &str| -> Vec<&str> {
        let is = |target: &&Value| {
            target["kind"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|this| this == kind))
        };
        targets
            .iter()
            .filter(is)
            .filter_map(|target| target["name"].as_str())
            .collect()
    };
    let wanted = |name: &str, is_library| CargoTarget {
        package: package["id"].as_str().unwrap_or(package_name).to_owned(),
        name: name.to_owned(),
        is_library,
    };
    if let [library, ..] = of_kind("cdylib")[..] {
        return Ok(wanted(library, true));
    }
    let programs = of_kind("bin");
    let default = package["default_run"].as_str().unwrap_or(package_name);
    match programs[..] {
        [] => Err(wrong(
            "builds no module: add `crate-type = [\"cdylib\"]` under [lib], or a src/main.rs"
                .to_owned(),
        )),
        [program] => Ok(wanted(program, false)),
        _ if programs.contains(&default) => Ok(wanted(default, false)),
        _ => Err(wrong(format!(
            "has several programs ({}): set `default-run` under [package] to the task",
            programs.join(", ")
        ))),
    }
}

/// Finds the module in cargo's messages about its output.
fn module(messages: &str, wanted: &CargoTarget) -> Option<PathBuf> {
    let is_module = |file: &&str| {
        Path::new(file)
            .extension()
            .is_some_and(|extension| extension == "wasm")
    };
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message["reason"] == "compiler-artifact"
                && message["target"]["name"] == wanted.name.as_str()
        })
        .filter_map(|message| {
            let files = message["filenames"].as_array()?;
            let file = files.iter().filter_map(Value::as_str).find(is_module)?;
            Some(PathBuf::from(file))
        })
        .next_back()
}

/// Returns a system root with the standard library that Debian's compiler builds from its sources,
/// and builds it if necessary.
fn system_root(options: &BuildOptions) -> Result<PathBuf, BuildError> {
    let version = tool::answer(Command::new(DEBIAN_RUSTC).arg("-vV")).unwrap_or_default();
    let version = version
        .lines()
        .find_map(|line| line.strip_prefix("release: "))
        .unwrap_or("unknown");
    let place = tool::absolute(&options.scratch)
        .join("rust-std")
        .join(version);
    let root = place.join("root");
    if root.is_dir() {
        return Ok(root);
    }
    (options.tell)("compiling Rust's standard library (once; it takes a minute)");
    // Two that do this at once must not interfere: cargo locks the target directory, and the last
    // step renames a private directory.
    let source = place.join("source");
    tool::make(&source.join("src"))?;
    tool::write(
        &source.join("Cargo.toml"),
        b"[package]\nname = \"std-for-tasks\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[profile.release]\npanic = \"abort\"\n",
    )?;
    tool::write(&source.join("src/lib.rs"), b"")?;
    let mut cargo = Compiler::Debian.cargo(&source, None);
    cargo.args(["build", "--release", "--target", TARGET, "--target-dir"]);
    cargo.arg(place.join("target"));
    cargo.args(Compiler::Debian.std_arguments());
    // Linking with optimization across crates needs the intermediate form beside the code.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Cembed-bitcode=yes");
    run(&mut cargo, options)?;
    let io = |what: String| move |source| BuildError::Io { what, source };
    let aside = place.join(format!("root-{}", std::process::id()));
    let libraries = aside.join("lib/rustlib").join(TARGET).join("lib");
    tool::make(&libraries)?;
    let made = place.join("target").join(TARGET).join("release/deps");
    let listed = fs::read_dir(&made).map_err(io(format!("list {}", made.display())))?;
    for entry in listed {
        let entry = entry.map_err(io(format!("list {}", made.display())))?;
        let name = entry.file_name();
        let is_library = entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "rlib");
        if is_library && !name.to_string_lossy().starts_with("libstd_for_tasks") {
            fs::copy(entry.path(), libraries.join(name))
                .map_err(io(format!("copy {}", entry.path().display())))?;
        }
    }
    match fs::rename(&aside, &root) {
        // Another process was faster.
        Err(_) if root.is_dir() => drop(fs::remove_dir_all(&aside)),
        renamed => renamed.map_err(io(format!("create {}", root.display())))?,
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What is wanted of a package with these targets.
    fn of(targets: &Value, default: Option<&str>) -> Result<CargoTarget, String> {
        let dir = Path::new("/some/task");
        let metadata = json!({"packages": [
            {"name": "other", "id": "path+file:///some/other#1.0.0", "manifest_path": "/some/other/Cargo.toml", "targets": []},
            {"name": "task", "id": "path+file:///some/task#1.0.0", "manifest_path": "/some/task/Cargo.toml", "targets": targets, "default_run": default},
        ]});
        wanted(&metadata, dir).map_err(|error| error.to_string())
    }

    fn made(name: &str, is_library: bool) -> CargoTarget {
        CargoTarget {
            package: "path+file:///some/task#1.0.0".to_owned(),
            name: name.to_owned(),
            is_library,
        }
    }

    #[test]
    fn functions_come_before_programs() {
        let library = json!({"name": "task_lib", "kind": ["cdylib", "rlib"]});
        let example = json!({"name": "shown", "kind": ["example"]});
        let program = |name: &str| json!({"name": name, "kind": ["bin"]});
        assert_eq!(
            of(&json!([example, program("task"), library]), None),
            Ok(made("task_lib", true))
        );
        assert_eq!(
            of(&json!([example, program("one")]), None),
            Ok(made("one", false))
        );
        let several = json!([program("one"), program("task")]);
        assert_eq!(of(&several, None), Ok(made("task", false)));
        assert_eq!(of(&several, Some("one")), Ok(made("one", false)));
    }

    #[test]
    fn a_package_that_makes_no_module_is_told_how_it_would() {
        let library = json!({"name": "task", "kind": ["lib"]});
        let error = of(&json!([library]), None).expect_err("it makes none");
        assert!(error.contains("add `crate-type = [\"cdylib\"]` under [lib]"));
        let program = |name: &str| json!({"name": name, "kind": ["bin"]});
        let error = of(&json!([program("one"), program("two")]), None).expect_err("which one?");
        assert!(error.contains("has several programs (one, two): set `default-run`"));
    }

    #[test]
    fn the_module_is_the_last_of_its_name_that_cargo_made() {
        let wanted = made("task", true);
        let artifact = |name: &str, files: &[&str]| {
            json!({"reason": "compiler-artifact", "target": {"name": name}, "filenames": files})
                .to_string()
        };
        let messages = [
            artifact("task", &["/t/libtask.rlib"]),
            "no JSON".to_owned(),
            artifact("task", &["/t/libtask.rlib", "/t/task.wasm"]),
            artifact("other", &["/t/other.wasm"]),
        ];
        assert_eq!(
            module(&messages.join("\n"), &wanted),
            Some(PathBuf::from("/t/task.wasm"))
        );
        assert_eq!(module("", &wanted), None);
    }
}
