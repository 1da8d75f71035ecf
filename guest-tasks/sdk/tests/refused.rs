//! What cannot be a task is refused by the compiler, where it stands and in words that say what can be done about it.
//!
//! Each file in `refused` is compiled, and its errors are those of the file beside it: line, column and message. What the
//! compiler adds to them changes with its version. `UPDATE_EXPECT=1` writes down what they are.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

#[test]
fn what_cannot_cross_is_refused() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = here.join("tests/refused");
    let names: BTreeSet<String> = fs::read_dir(&cases)
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == "rs"))
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert!(names.len() > 3);
    let found = errors(here, &cases, &names);
    for name in names {
        let start = format!("{name}.rs:");
        let lines = found.iter().filter_map(|line| line.strip_prefix(&start));
        let found: Vec<&str> = lines.collect();
        let found = found.join("\n") + "\n";
        let path = cases.join(format!("{name}.errors"));
        if env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, &found).expect("the errors can be written");
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(expected.len() > 1, "{name}: it is refused");
        assert_eq!(found, expected, "{name}");
    }
}

/// What the compiler says of all the cases: `FILE:LINE:COLUMN: MESSAGE`, in the order of places.
fn errors(here: &Path, cases: &Path, names: &BTreeSet<String>) -> Vec<String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("refused");
    fs::create_dir_all(&dir).expect("a directory");
    let bins = names.iter().map(|name| {
        let path = cases.join(name).with_extension("rs");
        format!(
            "[[bin]]\nname = \"{name}\"\npath = \"{}\"\n",
            path.display()
        )
    });
    let head = format!(
        "[package]\nname = \"refused\"\nedition = \"2024\"\n[workspace]\n[dependencies]\nrwasm-task = {{ path = \"{}\" }}\n",
        here.display()
    );
    let manifest: Vec<String> = [head].into_iter().chain(bins).collect();
    fs::write(dir.join("Cargo.toml"), manifest.concat()).expect("it can be written");
    // The versions that are here already.
    fs::copy(here.join("../Cargo.lock"), dir.join("Cargo.lock")).expect("it can be copied");
    let output = Command::new(env!("CARGO"))
        .current_dir(&dir)
        .args([
            "check",
            "--offline",
            "--bins",
            "--keep-going",
            "--message-format=short",
        ])
        .env("CARGO_TERM_COLOR", "never")
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains("error: failed to"), "{text}");
    let lines: BTreeSet<(String, u32, u32, String)> = text
        .lines()
        .filter_map(|line| {
            let (place, message) = line.split_once(": error")?;
            let message = message.split_once(": ")?.1;
            let mut place = place.rsplit('/').next()?.splitn(3, ':');
            let file = place.next()?.to_owned();
            let line = place.next()?.parse().ok()?;
            Some((file, line, place.next()?.parse().ok()?, message.to_owned()))
        })
        .collect();
    let lines = lines.into_iter();
    lines
        .map(|(file, line, column, message)| format!("{file}:{line}:{column}: {message}"))
        .collect()
}
