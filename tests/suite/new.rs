//! `new`: a project of each language that builds, keeps its laws, and runs; and nothing that is there is touched.

use crate::build::{building, toolchain_is_missing};
use crate::support::{file, folder, program, workspace};
use std::fs;
use std::path::Path;

const LANGUAGES: [&str; 5] = ["rust", "c", "go", "python", "js"];

/// The whole way of a first hour: new, build, test, run.
fn from_template_to_result(language: &str) {
    let dir = folder();
    let guide = program()
        .in_dir(&dir)
        .args(["new", "wc", "--lang", language])
        .output();
    for line in [
        "  rwasm-cluster build wc",
        "  rwasm-cluster test wc",
        "  rwasm-cluster run wc/wc.wasm wc/samples/",
    ] {
        assert!(
            guide.lines().any(|shown| shown.starts_with(line)),
            "{guide}"
        );
    }
    let shown = guide.lines().filter_map(|line| line.strip_prefix("  wc/"));
    for path in shown.filter(|path| !path.ends_with(')')) {
        assert!(dir.path().join("wc").join(path).is_file(), "{path}");
    }
    if toolchain_is_missing(language) {
        return;
    }
    let built = building(&["build", "wc"]).in_dir(&dir).end().expect_code(0);
    assert_eq!(built.text(), "wc/wc.wasm\n");
    let built =
        built.expect_stderr_has(&["mapper: func(text: string)", "reducer: func(", "run it"]);
    assert!(!built.stderr.contains("warning"), "{}", built.stderr);
    // Compilers that take long are not asked again for what has not changed; others know that themselves.
    let is_slow = ["python", "js"].contains(&language);
    let module = || fs::read(dir.path().join("wc/wc.wasm")).expect("it was built");
    let made = module();
    let test: &[&str] = if is_slow {
        &["test", "wc"]
    } else {
        &["test", "wc", "--no-build"]
    };
    let tested = building(test).in_dir(&dir).end().expect_code(0);
    if is_slow {
        assert!(
            tested
                .stderr
                .contains("wc has not changed since it was compiled"),
            "{}",
            tested.stderr
        );
        assert!(made == module(), "another module would be compiled again");
    }
    let tested = tested.text();
    assert!(
        tested.contains(" 0 failed") && !tested.contains("FAILED"),
        "{tested}"
    );
    assert!(tested.contains("`reducer` is associative"), "{tested}");
    let samples = dir.path().join("wc/samples");
    let expected: Vec<_> = fs::read_dir(&samples)
        .expect("there are samples")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|found| found == "expected"))
        .collect();
    assert!(!expected.is_empty());
    for path in expected {
        program()
            .in_dir(&dir)
            .args(["run", "wc/wc.wasm"])
            .arg(path.with_extension("txt"))
            .end()
            .expect_code(0)
            .expect_stdout(fs::read(&path).expect("what it gives"));
    }
}

#[test]
fn a_rust_project_builds_and_runs() {
    from_template_to_result("rust");
}

#[test]
fn a_c_project_builds_and_runs() {
    from_template_to_result("c");
}

#[test]
fn a_go_project_builds_and_runs() {
    from_template_to_result("go");
}

#[test]
fn a_python_project_builds_and_runs() {
    from_template_to_result("python");
}

#[test]
fn a_javascript_project_builds_and_runs() {
    from_template_to_result("js");
}

#[test]
fn the_rust_template_is_short() {
    let path = workspace().join("host/cli/templates/rust/src/lib.rs");
    let text = fs::read_to_string(path).expect("there is a template");
    assert!(text.lines().count() <= 25, "{text}");
}

/// What is in a directory, with the contents of files.
fn listed(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut listed: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            (name, fs::read(&path).unwrap_or_default())
        })
        .collect();
    listed.sort();
    listed
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_of_what_fails() {
    let dir = folder();
    fs::create_dir(dir.path().join("full")).expect("a directory can be made");
    file(&dir, "full/notes.txt", "mine");
    file(&dir, "file", "mine");
    let before = listed(dir.path());
    for (name, said) in [
        (
            "full",
            "`full` already exists: a directory that contains `notes.txt`",
        ),
        ("file", "`file` already exists: a file"),
    ] {
        program()
            .in_dir(&dir)
            .args(["new", name])
            .fails(14)
            .expect_stderr_has(&[said, "hint: name a new or empty directory"]);
    }
    program()
        .in_dir(&dir)
        .args(["new", "file/wc"])
        .fails(14)
        .expect_stderr_has(&["error: "]);
    assert_eq!(listed(dir.path()), before);
    assert_eq!(listed(&dir.path().join("full")).len(), 1);
}

#[test]
fn an_empty_directory_and_a_long_way_will_do() {
    let dir = folder();
    fs::create_dir(dir.path().join("wc")).expect("a directory can be made");
    for path in ["wc", "some/where/word-count"] {
        program()
            .in_dir(&dir)
            .args(["new", path, "-q"])
            .end()
            .expect_code(0)
            .expect_stdout("");
        let manifest = fs::read_to_string(dir.path().join(path).join("Cargo.toml"));
        let name = path.rsplit('/').next().unwrap_or_default();
        let manifest = manifest.expect("there is a manifest");
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{manifest}"
        );
    }
    let names: Vec<_> = listed(dir.path())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["some", "wc"]);
}

#[test]
fn a_name_that_is_none_says_what_is_wrong_and_gives_an_example() {
    let dir = folder();
    for (name, said) in [
        ("Words", "it contains 'W'"),
        ("word_count", "it contains '_'"),
        ("2nd", "does not start with a letter"),
        ("match", "a reserved word"),
        ("..", "does not name a new directory"),
        ("a\u{1b}[2J", "it contains '\\u{1b}'"),
    ] {
        program()
            .in_dir(&dir)
            .args(["new", name])
            .fails(2)
            .expect_stderr_has(&[said, "rwasm-cluster new word-count"]);
    }
    program()
        .in_dir(&dir)
        .args(["new", "wc", "--lang", "cobol"])
        .fails(2)
        .expect_stderr_has(&LANGUAGES);
    assert!(listed(dir.path()).is_empty());
}
