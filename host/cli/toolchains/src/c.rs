//! C and C++: clang with wasi-libc, or zig, which includes both.
//!
//! A program with a `main` becomes a command; sources without one become a reactor, whose exports
//! are its functions. If there is WIT, the bindings that sources include as `NAME.h` are generated
//! here and compiled with them.

use crate::error::{BuildError, Missing};
use crate::wit::{Promised, World};
use crate::{BuildOptions, Project, python, tool};
use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The names of Debian's packages.
pub(crate) const DEBIAN_PACKAGES: [&str; 4] = [
    "clang-19",
    "libclang-rt-19-dev-wasm32",
    "wasi-libc",
    "lld-19",
];
/// The additional packages for C++.
const DEBIAN_PACKAGES_CPP: [&str; 2] = ["libc++-19-dev-wasm32", "libc++abi-19-dev-wasm32"];

/// The names of clang, the version of Debian's packages first.
const CLANGS: [&str; 5] = ["clang-19", "clang", "clang-22", "clang-21", "clang-20"];

/// Directories that may have wasi-libc in `include` and `lib`.
const SYSROOTS: [&str; 3] = [
    "/usr",
    "/usr/share/wasi-sysroot",
    "/opt/wasi-sdk/share/wasi-sysroot",
];

/// The names of the target triple; the older one first, since a newer clang knows both.
const TRIPLES: [&str; 2] = ["wasm32-wasi", "wasm32-wasip1"];

/// The stack of a task. wasm-ld's default of 64 KiB is too small for ordinary C.
const STACK: &str = "1048576";

/// The names that clang gives `main`, depending on its parameters.
const MAINS: [&str; 4] = ["main", "__main_argc_argv", "__main_void", "__original_main"];

/// What zig is called.
const ZIG: &str = "zig";

/// A C and C++ compiler that has everything it needs for WebAssembly.
pub(crate) struct Compiler {
    name: String,
    /// The program and its first arguments, for C.
    c: Vec<OsString>,
    /// The same for C++.
    cpp: Vec<OsString>,
}

impl Compiler {
    /// Looks in `WASI_SDK_PATH`, then for clang with a wasi-libc, then for zig.
    pub(crate) fn find(tools: Option<&Path>) -> Result<Self, Missing> {
        let sdk = env::var_os("WASI_SDK_PATH").map(PathBuf::from);
        let sdk = sdk.filter(|sdk| !sdk.as_os_str().is_empty());
        sdk.and_then(|sdk| {
            Self::clang(
                &sdk.join("bin/clang"),
                Some(&sdk.join("share/wasi-sysroot")),
            )
        })
        .or_else(|| {
            CLANGS
                .iter()
                .find_map(|clang| Self::clang(Path::new(clang), None))
        })
        .or_else(|| Self::clang(Path::new("/opt/wasi-sdk/bin/clang"), None))
        .or_else(|| Self::zig(&["zig".into()]))
        .or_else(|| Self::zig(&["python3", "-m", "ziglang"].map(OsString::from)))
        .or_else(|| {
            let python = python::environment(tools?).join("bin/python3");
            Self::zig(&[python.into(), "-m".into(), "ziglang".into()])
        })
        .ok_or_else(missing)
    }

    /// Returns this clang, if it has a linker, its own run-time library and a wasi-libc.
    fn clang(program: &Path, sysroot: Option<&Path>) -> Option<Self> {
        let sysroots: Vec<&Path> = match sysroot {
            Some(sysroot) => vec![sysroot],
            None => SYSROOTS.iter().map(Path::new).collect(),
        };
        let (sysroot, triple) = sysroots.into_iter().find_map(|sysroot| {
            let has_libc =
                |triple: &&str| sysroot.join("lib").join(triple).join("libc.a").is_file();
            let triple = TRIPLES.into_iter().find(has_libc)?;
            Some((sysroot, triple))
        })?;
        let mut first = vec![OsString::from(format!("--target={triple}"))];
        let mut flag = OsString::from("--sysroot=");
        flag.push(sysroot);
        first.push(flag);
        let names = |question: &str| {
            let place = tool::answer(Command::new(program).args(&first).arg(question))?;
            Path::new(&place).is_file().then_some(())
        };
        names("--print-libgcc-file-name")?;
        names("--print-prog-name=wasm-ld")?;
        let words = |program: OsString| [vec![program], first.clone()].concat();
        let name = program.file_name()?.to_string_lossy().into_owned();
        Some(Self {
            c: words(program.into()),
            cpp: words(
                program
                    .with_file_name(name.replacen("clang", "clang++", 1))
                    .into(),
            ),
            name,
        })
    }

    /// Returns the option for the stack's size and place: below everything else, where an overflow traps and overwrites
    /// nothing. zig puts it there without an option, and knows none for it.
    fn stack(&self) -> String {
        let first = if self.name == ZIG {
            ""
        } else {
            ",--stack-first"
        };
        format!("-Wl,-z,stack-size={STACK}{first}")
    }

    fn zig(words: &[OsString]) -> Option<Self> {
        tool::answer(Command::new(&words[0]).args(&words[1..]).arg("version"))?;
        let with = |driver: &str| {
            let more = [driver, "-target", "wasm32-wasi"].map(OsString::from);
            [words, &more].concat()
        };
        Some(Self {
            name: ZIG.to_owned(),
            c: with("cc"),
            cpp: with("c++"),
        })
    }

    /// Returns the driver for one language, with only the arguments that it requires.
    fn driver(&self, is_cpp: bool) -> Command {
        let words = if is_cpp { &self.cpp } else { &self.c };
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// Whether it can compile C++, whose library is a separate package.
    fn has_cpp(&self, workplace: &Path) -> Result<bool, BuildError> {
        let probe = workplace.join("probe.cpp");
        tool::write(&probe, b"#include <string>\n")?;
        let mut command = self.driver(true);
        command.arg("-fsyntax-only").arg(probe);
        Ok(tool::answer(&mut command).is_some())
    }
}

pub(crate) fn missing() -> Missing {
    Missing {
        what: "a C compiler for WebAssembly (clang with wasi-libc, or zig) is not installed"
            .to_owned(),
        install: vec![
            format!(
                "apt-get install --no-install-recommends {}",
                DEBIAN_PACKAGES.join(" ")
            ),
            "pip install ziglang".to_owned(),
        ],
    }
}

fn missing_cpp(compiler: &Compiler) -> Missing {
    Missing {
        what: format!(
            "the C++ library for WebAssembly, which {} needs, is not installed",
            compiler.name
        ),
        install: vec![
            format!(
                "apt-get install --no-install-recommends {}",
                DEBIAN_PACKAGES_CPP.join(" ")
            ),
            "pip install ziglang".to_owned(),
        ],
    }
}

/// Returns the sources of a project, in order: those in its directory, and all in `src`.
pub(crate) fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut sources = BTreeSet::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(here) = dirs.pop() {
        for entry in fs::read_dir(&here).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                if here != *dir || entry.file_name() == "src" {
                    dirs.push(path);
                }
            } else if is_c(&path) || is_cpp(&path) {
                sources.insert(path);
            }
        }
    }
    sources.into_iter().collect()
}

fn is_c(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "c")
}

fn is_cpp(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| matches!(extension, "cc" | "cpp" | "cxx"))
}

pub(crate) fn build(project: &Project, options: &BuildOptions) -> Result<PathBuf, BuildError> {
    let Project { dir, name, .. } = project;
    let world = World::find(dir)?;
    let compiler = Compiler::find(options.tools.as_deref())?;
    let workplace = tool::workplace(&options.scratch, "c", dir)?;
    let mut sources = sources(dir);
    let uses_cpp = sources.iter().any(|source| is_cpp(source));
    if uses_cpp && !compiler.has_cpp(&workplace)? {
        return Err(missing_cpp(&compiler).into());
    }
    (options.tell)(&format!("compiling {name} with {}", compiler.name));
    let bindings = workplace.join("bindings");
    let mut objects = Vec::new();
    let promised = world.as_ref().map(World::promised).unwrap_or_default();
    if let Some(world) = world {
        let made = make_bindings(world, &bindings)?;
        sources.extend(made.iter().filter(|file| is_c(file)).cloned());
        objects.extend(
            made.into_iter()
                .filter(|file| file.extension().is_some_and(|extension| extension == "o")),
        );
    }
    let mut has_main = false;
    for (number, source) in sources.iter().enumerate() {
        let object = workplace.join(format!("{number}.o"));
        let mut command = compiler.driver(is_cpp(source));
        command.args(["-O2", "-Wall", "-c"]);
        if is_cpp(source) {
            // The library is built without them.
            command.arg("-fno-exceptions");
        }
        for include in [dir, &dir.join("src"), &dir.join("include"), &bindings] {
            if include.is_dir() {
                command.arg("-I").arg(include);
            }
        }
        command.args(words_of(if is_cpp(source) { "CXXFLAGS" } else { "CFLAGS" }));
        // As the user would name it: compilers repeat it in their messages.
        command.arg(source.strip_prefix(dir).unwrap_or(source));
        command.arg("-o").arg(&object).current_dir(dir);
        tool::run(&mut command, &compiler.name, options)?;
        has_main |= defines_main(&object)?;
        objects.push(object);
    }
    let output = workplace.join(name).with_added_extension("wasm");
    let mut link = compiler.driver(uses_cpp);
    if !has_main {
        link.arg("-mexec-model=reactor");
    }
    link.arg(compiler.stack());
    link.args(&objects).args(words_of("LDFLAGS"));
    link.arg("-o").arg(&output).current_dir(dir);
    tool::run(&mut link, &compiler.name, options).map_err(|error| match error {
        BuildError::Failed {
            program,
            status,
            mut output,
        } => {
            for hint in undefined(&output, &promised, dir) {
                (options.tell)(&hint);
                output.push_str(&hint);
                output.push('\n');
            }
            BuildError::Failed {
                program,
                status,
                output,
            }
        }
        error => error,
    })?;
    Ok(output)
}

/// Lists the functions of the WIT that the linker misses, with what to do about each.
fn undefined(said: &str, promised: &[Promised], dir: &Path) -> Vec<String> {
    let is_missing = |symbol: &str| {
        let mut after = said.split(symbol).skip(1);
        said.contains("undefined")
            && after
                .any(|rest| !rest.starts_with(|next: char| next == '_' || next.is_alphanumeric()))
    };
    let missing = promised.iter().filter(|one| is_missing(&one.symbol));
    let hint = |one: &Promised| {
        let place = Path::new(&one.place);
        format!(
            "{} declares `{}`: define {}, as {}.h declares it, or remove it from the WIT",
            place.strip_prefix(dir).unwrap_or(place).display(),
            one.function,
            one.symbol,
            one.header
        )
    };
    missing.map(hint).collect()
}

/// Splits a variable of the environment into words, as make would.
fn words_of(variable: &str) -> Vec<String> {
    let value = env::var(variable).unwrap_or_default();
    value.split_whitespace().map(str::to_owned).collect()
}

/// Generates the bindings of a world; returns the files.
fn make_bindings(mut world: World, place: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let wrong = |dir: &Path, error: &anyhow::Error| BuildError::Project {
        path: dir.to_owned(),
        reason: format!("cannot generate C for its world: {error:#}"),
    };
    // Bindings of a world that has since been renamed would be compiled too.
    tool::remove(place)?;
    tool::make(place)?;
    let mut files = wit_bindgen_core::Files::default();
    wit_bindgen_c::Opts::default()
        .build()
        .generate(&mut world.resolve, world.id, &mut files)
        .map_err(|error| wrong(&world.dir, &error))?;
    let mut written = Vec::new();
    for (name, content) in files.iter() {
        let path = place.join(name);
        tool::write(&path, content)?;
        written.push(path);
    }
    Ok(written)
}

/// Whether an object defines a `main`.
fn defines_main(object: &Path) -> Result<bool, BuildError> {
    use wasmparser::{KnownCustom, Linking, Parser, Payload, SymbolInfo};
    let bytes = fs::read(object).map_err(|source| BuildError::Io {
        what: format!("read {}", object.display()),
        source,
    })?;
    let names = || -> wasmparser::Result<bool> {
        for payload in Parser::new(0).parse_all(&bytes) {
            let Payload::CustomSection(section) = payload? else {
                continue;
            };
            let KnownCustom::Linking(linking) = section.as_known() else {
                continue;
            };
            for part in linking.subsections() {
                let Linking::SymbolTable(symbols) = part? else {
                    continue;
                };
                for symbol in symbols {
                    // An undefined symbol has no name of its own here, or is flagged.
                    if let SymbolInfo::Func {
                        flags,
                        name: Some(name),
                        ..
                    } = symbol?
                        && !flags.contains(wasmparser::SymbolFlags::UNDEFINED)
                        && MAINS.contains(&name)
                    {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    };
    names().map_err(|error| BuildError::Project {
        path: object.to_owned(),
        reason: format!("is not a WebAssembly object file: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_linkers_that_know_it_are_told_where_the_stack_is() {
        let named = |name: &str| Compiler {
            name: name.to_owned(),
            c: Vec::new(),
            cpp: Vec::new(),
        };
        assert!(named("clang-19").stack().ends_with(",--stack-first"));
        assert_eq!(named(ZIG).stack(), format!("-Wl,-z,stack-size={STACK}"));
    }
}
