//! `--output`: a file that appears when it is complete, and what is there and no file.

use crate::support::{file, folder, program, run, until, wait};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};

const TEXT: &str = "pear plum pear\n";
const COUNTS: &str = "pear\t2\nplum\t1\n";

#[test]
fn a_device_is_written_to_and_not_replaced() {
    run("wordcount")
        .typed("--output /dev/null")
        .stdin(TEXT)
        .end()
        .expect_code(0);
    let meta = fs::metadata("/dev/null").expect("there is such a device");
    assert!(!meta.is_file(), "the device was replaced by a file");
}

#[cfg(unix)]
#[test]
fn a_link_stays_one_and_its_file_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let real = file(&dir, "real.tsv", "old");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).expect("set");
    let link = dir.path().join("link.tsv");
    std::os::unix::fs::symlink(&real, &link).expect("linked");
    run("wordcount")
        .arg("-o")
        .arg(&link)
        .stdin(TEXT)
        .end()
        .expect_code(0)
        .expect_empty_stdout();
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    assert_eq!(fs::read_to_string(&real).expect("read"), COUNTS);
    let mode = fs::metadata(&real).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_failed_job_leaves_the_old_file_and_nothing_beside_it() {
    let dir = folder();
    let old = file(&dir, "out.txt", "old");
    run("panics").arg("-o").arg(&old).stdin(TEXT).fails(11);
    assert_eq!(fs::read_to_string(&old).expect("read"), "old");
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
}

/// A job that counts its lines, to a file; it goes on as long as its input does.
fn counting(out: &Path) -> Child {
    let command = run("faulty").typed("--chunk lines:1 -o").arg(out).arg("-");
    let mut child = command
        .into_command()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let stdin = child.stdin.as_mut().expect("stdin is piped");
    stdin.write_all(b"a\nb\n").expect("the program reads");
    child
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it can be listed");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.expect("it can be listed").file_name();
        name.to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

/// The files of jobs that are not complete.
fn parts(dir: &Path) -> Vec<String> {
    let mut names = names(dir);
    names.retain(|name| name.starts_with(".rwasm-"));
    names
}

#[test]
fn what_a_killed_run_left_is_swept_by_the_next_and_what_a_live_one_writes_is_not() {
    let dir = folder();
    let out = dir.path().join("counts");
    let killed = counting(&out);
    until("the file is begun", || parts(dir.path()).len() == 1);
    let left = parts(dir.path());
    kill_process(Pid::from_child(&killed), Signal::KILL).expect("a child can be signalled");
    wait(killed).expect("it ends");
    assert_eq!(parts(dir.path()), left);

    let mut live = counting(&dir.path().join("live"));
    until("what was left is swept", || {
        let parts = parts(dir.path());
        parts.len() == 1 && parts != left
    });
    let of_live = parts(dir.path());
    run("faulty")
        .typed("-o")
        .arg(&out)
        .stdin("a\nb\nc\n")
        .end()
        .expect_code(0);
    assert_eq!(parts(dir.path()), of_live);
    drop(live.stdin.take());
    assert_eq!(wait(live).expect("it ends").code(), Some(0));
    assert_eq!(names(dir.path()), ["counts", "live"]);
    let text = |name: &str| fs::read_to_string(dir.path().join(name)).expect("it is there");
    assert_eq!(text("counts"), "3\n");
    assert_eq!(text("live"), "2\n");
}

#[test]
fn keys_and_projects_sweep_what_killed_ones_left() {
    let dir = folder();
    let keys = dir.path().join("keys");
    fs::create_dir(&keys).expect("it can be made");
    fs::write(keys.join(".rwasm-abcDEF012345.part"), "half a key").expect("it can be written");
    program()
        .typed("keys --role client --dir")
        .arg(&keys)
        .end()
        .expect_code(0);
    assert_eq!(names(&keys), ["client.key", "public.toml"]);

    let left = dir.path().join(".rwasm-000000000000.part");
    fs::create_dir_all(left.join("project/src")).expect("it can be made");
    program()
        .in_dir(dir.path())
        .typed("new task")
        .end()
        .expect_code(0);
    assert_eq!(names(dir.path()), ["keys", "task"]);
}

#[test]
fn nothing_that_the_job_reads_is_replaced() {
    let dir = folder();
    let input = file(&dir, "input.txt", "words\n");
    let module = crate::support::guest("upper");
    for option in ["--output", "--report"] {
        for written in [&input, &module] {
            let before = fs::read(written).expect("it is there");
            let run = program().arg("run").arg(&module).arg(&input);
            run.arg(option)
                .arg(written)
                .fails(2)
                .expect_stderr_has(&[&format!("{option} would replace"), "which the job reads"]);
            assert_eq!(fs::read(written).expect("it is there"), before);
        }
    }
    let numbers = crate::support::guest("numbers");
    let lines = file(&dir, "lines.txt", "1\n");
    let map = program()
        .arg("map")
        .arg(&numbers)
        .arg("add-one")
        .arg(&lines);
    map.arg("-o").arg(&lines).fails(2);
    let call = program().arg("call").arg(&numbers).args(["fib", "3", "-o"]);
    call.arg(&numbers).fails(2);
}
