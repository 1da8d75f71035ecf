//! `cargo xtask demo`: the word count on a cluster of 4 engines, checked against a serial count made here.

use crate::shell::{self, note, seconds};
use crate::toolchain::Choice;
use crate::{count, guests, text};
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const ENGINES: &str = "4";

/// How much text is made where none is named.
const TEXT_BYTES: u64 = 64 * 1024 * 1024;

/// How many of the most frequent words are shown.
const SHOWN: usize = 10;

/// Counts the words of `files` both ways; fails where the two differ.
pub(crate) fn run(files: Vec<PathBuf>, choice: Choice) -> Result<()> {
    for file in &files {
        ensure!(file.is_file(), "{} is not a file", file.display());
    }
    if !shell::target()?.join("quick/rwasm-cluster").exists() {
        note(
            "demo: compiles the word count and the program, wasmtime and all: the first time about 4 minutes on 2 cores, \
             afterwards seconds; then counts words",
        );
    }
    guests::build_one(choice, "wordcount")?;
    let host = build_host()?;
    let dir = shell::target()?.join("demo");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", shell::shown(&dir)))?;
    let files = if files.is_empty() {
        vec![make_text(&dir)?]
    } else {
        files
    };
    let (cluster, serial) = (dir.join("cluster.tsv"), dir.join("serial.tsv"));

    let on_cluster = count_on_cluster(&host, &files, &cluster)?;
    show_top(&cluster)?;
    note("demo: counting the same serially");
    let serially = count_serially(&files, &serial)?;
    compare(&fs::read(&cluster)?, &fs::read(&serial)?)?;

    shell::print(format_args!(
        "\nequal: {} and {}",
        shell::shown(&cluster),
        shell::shown(&serial)
    ))?;
    shell::print(format_args!(
        "{ENGINES} engines {} (the whole process), serially {}: {:.1} times as fast",
        seconds(on_cluster),
        seconds(serially),
        serially.as_secs_f64() / on_cluster.as_secs_f64()
    ))?;
    // The program that was built here is quick to compile, and has no clusters.
    note("next: cargo install --locked --path host/cli");
    Ok(())
}

fn build_host() -> Result<PathBuf> {
    note("demo: building the program, without clusters over NATS, which the demo does not need");
    let mut cargo = shell::cargo(shell::root());
    shell::run(cargo.args([
        "build",
        "--locked",
        "--profile",
        "quick",
        "-p",
        "rwasm-cli",
        "--bin",
        "rwasm-cluster",
        "--no-default-features",
    ]))?;
    Ok(shell::target()?.join("quick/rwasm-cluster"))
}

fn make_text(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("text.txt");
    note(format_args!(
        "demo: writing {} of {} MiB",
        shell::shown(&path),
        TEXT_BYTES >> 20
    ));
    File::create(&path)
        .and_then(|file| text::write(&mut BufWriter::new(file), TEXT_BYTES))
        .with_context(|| format!("cannot write {}", shell::shown(&path)))?;
    Ok(path)
}

fn count_on_cluster(host: &Path, files: &[PathBuf], counts: &Path) -> Result<Duration> {
    let guest = guests::path("wordcount")?;
    let mut command = Command::new(host);
    command
        .arg("run")
        .arg(&guest)
        .args(["--engines", ENGINES, "--stats"])
        .args(files);
    let shown: Vec<_> = files.iter().map(|file| shell::shown(file)).collect();
    note(format_args!(
        "demo: rwasm-cluster run {} --engines {ENGINES} --stats {}\n",
        shell::shown(&guest),
        shown.join(" ")
    ));
    command.stdout(File::create(counts)?);
    let start = Instant::now();
    shell::run(&mut command)?;
    Ok(start.elapsed())
}

fn show_top(counts: &Path) -> Result<()> {
    let counts = fs::read_to_string(counts)?;
    shell::print(format_args!(
        "\nthe {SHOWN} most frequent of {} words:",
        counts.lines().count()
    ))?;
    for line in counts.lines().take(SHOWN) {
        let (word, count) = line.split_once('\t').unwrap_or((line, ""));
        shell::print(format_args!("{count:>10}  {word}"))?;
    }
    Ok(())
}

fn count_serially(files: &[PathBuf], counts: &Path) -> Result<Duration> {
    let start = Instant::now();
    let counted = count::count(files)?;
    count::write(&counted, &mut BufWriter::new(File::create(counts)?))?;
    Ok(start.elapsed())
}

/// Fails with the first line in which the two differ.
fn compare(cluster: &[u8], serial: &[u8]) -> Result<()> {
    if cluster == serial {
        return Ok(());
    }
    let lines = |counts| -> Vec<String> {
        String::from_utf8_lossy(counts)
            .split_inclusive('\n')
            .map(str::to_owned)
            .collect()
    };
    let (cluster, serial) = (lines(cluster), lines(serial));
    let longer = cluster.len().max(serial.len());
    let differing = (0..longer)
        .find(|&line| cluster.get(line) != serial.get(line))
        .unwrap_or_default();
    let at = |lines: &[String]| {
        lines
            .get(differing)
            .map_or("nothing".to_owned(), |line| format!("{line:?}"))
    };
    bail!(
        "the counts differ, first in line {}: the cluster has {}, the serial count {}",
        differing + 1,
        at(&cluster),
        at(&serial)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert!(compare(b"a\t1\n", b"a\t1\n").is_ok());
        let error = compare(b"a\t1\nb\t1\n", b"a\t1\nc\t1\n")
            .expect_err("they differ")
            .to_string();
        assert!(
            error.contains(r#"line 2: the cluster has "b\t1\n", the serial count "c\t1\n""#),
            "{error}"
        );
        let error = compare(b"a\t1\n", b"a\t1\nc\t1\n")
            .expect_err("they differ")
            .to_string();
        assert!(error.contains("line 2: the cluster has nothing"), "{error}");
    }
}
