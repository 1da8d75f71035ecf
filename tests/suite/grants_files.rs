//! `--dir`: what a guest can do with directories it was granted, and what is refused before anything runs. The hostile
//! guests of the same are in `hostile`.

use crate::support::{Cli, command_component, file, folder, granted, is_over_nats, program, run};
use rwasm_cluster::{
    Access, Chunking, Cluster, FailureCode, Grants, Input, JobError, JobSpec, Module,
};
use std::fs;
use std::io::Write;
use std::num::NonZeroU64;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The guest `files`, by preview 1 and as a component by preview 2.
fn both(check: impl Fn(Cli)) {
    check(run("files"));
    let dir = folder();
    let component = file(&dir, "files.wasm", command_component("files"));
    check(program().arg("run").arg(component));
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("it is there")
}

#[test]
fn files_are_read_written_and_listed() {
    both(|call| {
        let dir = folder();
        file(&dir, "given", "given\n");
        call.in_dir(dir.path())
            .typed("--dir .::/data -- write /data/new one then append /data/new ,two")
            .typed("then read /data/given then read /data/new then list /data")
            .end()
            .expect_code(0)
            .expect_stdout("given\none,twogiven\nnew\n")
            .expect_stderr_is_empty();
        assert_eq!(text(dir.path().join("new")), "one,two");
    });
}

#[test]
fn several_directories_have_rights_of_their_own() {
    both(|call| {
        let dir = folder();
        for name in ["from", "to"] {
            fs::create_dir(dir.path().join(name)).expect("it can be made");
        }
        fs::write(dir.path().join("from/text"), "text").expect("it can be written");
        call.in_dir(dir.path())
            .typed("--dir from::in:ro --dir to::/out -- read in/text then write /out/text new")
            .typed("then write in/text changed")
            .fails(11)
            .expect_stderr_has(&["(exit-code)", "not permitted"]);
        assert_eq!(text(dir.path().join("from/text")), "text");
        assert_eq!(text(dir.path().join("to/text")), "new");
    });
}

/// To a guest, these are the same place: what it found there would be one of them, and its rights those of that one.
#[test]
fn no_directory_hides_another() {
    let dir = folder();
    for name in ["a", "b"] {
        fs::create_dir(dir.path().join(name)).expect("it can be made");
    }
    for (first, second) in [("/", "."), ("/d", "d"), ("/d/", "/d"), ("./d", "/e/../d")] {
        for access in ["", ":ro"] {
            let one = format!("a::{first}:ro");
            let other = format!("b::{second}{access}");
            run("files")
                .in_dir(dir.path())
                .args(["--dir", &one, "--dir", &other, "--", "list", "/d"])
                .fails(2)
                .expect_stderr_has(&[first, second, "in the guest: rename one of them"])
                .expect_empty_stdout();
        }
    }
}

#[test]
fn a_directory_is_granted_as_it_is_written_or_not_at_all() {
    let dir = folder();
    fs::create_dir(dir.path().join("w")).expect("it can be made");
    for (grant, reason) in [
        ("w::/d:RO", "`:RO` is not known, the only one is `:ro`"),
        ("w::/d:r", "`:r` is not known"),
        ("w::/d:readonly", "`:readonly` is not known"),
        ("w:/d", "two colons, like w::/d"),
        ("w:d", "two colons, like w::d"),
        ("w:/d:ro", "two colons, like w::/d:ro"),
    ] {
        run("files")
            .in_dir(dir.path())
            .args(["--dir", grant, "--", "write", "/d/new", "text"])
            .fails(2)
            .expect_stderr_has(&[reason]);
    }
    assert!(
        fs::read_dir(dir.path().join("w"))
            .expect("it is there")
            .next()
            .is_none()
    );
}

#[test]
fn nothing_is_there_without_a_grant() {
    both(|call| {
        let dir = folder();
        let given = file(&dir, "given", "given");
        let call = call.in_dir(dir.path()).typed("-- read").arg(&given);
        call.fails(11).expect_stderr_has(&["(exit-code)"]);
    });
}

#[test]
fn all_tasks_of_a_job_have_the_same_directory() {
    let dir = folder();
    run("files")
        .in_dir(dir.path())
        .typed("-j 2 --chunk lines:1 --dir .::/data -- append /data/all x")
        .stdin("1\n2\n3\n4\n5\n6\n7\n8\n")
        .end()
        .expect_code(0);
    assert_eq!(text(dir.path().join("all")), "xxxxxxxx");
}

#[test]
fn a_limit_that_is_reached_is_named_and_can_be_raised() {
    both(|call| {
        let dir = folder();
        call.in_dir(dir.path())
            .typed("--dir .::/data --limit written=5 -- write /data/text 123456")
            .fails(11)
            .expect_stderr_has(&["(output-limit)", "limit of 5B", "--limit written=SIZE"]);
        assert_eq!(text(dir.path().join("text")), "");
    });
    both(|call| {
        let dir = folder();
        call.in_dir(dir.path())
            .typed("--dir .::/data --limit files=1 -- write /data/a a then write /data/a b then write /data/b b")
            .fails(11)
            .expect_stderr_has(&["(output-limit)", "--limit files=N"]);
        assert_eq!(text(dir.path().join("a")), "b");
    });
    both(|call| {
        let dir = folder();
        call.in_dir(dir.path())
            .typed("--dir .::/data --limit written=6 --limit files=1 -- write /data/text 123456")
            .end()
            .expect_code(0);
    });
}

#[test]
fn what_cannot_be_granted_is_refused_before_anything_runs() {
    let dir = folder();
    file(&dir, "text", "text");
    // What is there is known where the engines are.
    let on_the_machine = if is_over_nats() {
        (11, "does not exist")
    } else {
        (14, "cannot grant")
    };
    for (options, code, parts) in [
        (
            "--dir missing::/data",
            on_the_machine.0,
            ["missing", on_the_machine.1],
        ),
        (
            "--dir text::/data",
            on_the_machine.0,
            ["text", "cannot grant"],
        ),
        ("--dir .::/data --dir ..::/data", 2, ["/data", "rename one"]),
        ("--dir ::/data", 2, ["::/data", "HOST::GUEST"]),
    ] {
        run("files")
            .in_dir(dir.path())
            .typed(options)
            .typed("-- write /data/new text")
            .fails(code)
            .expect_stderr_has(&parts);
    }
    assert!(!dir.path().join("new").exists());
}

#[test]
fn a_job_is_recorded_without_values_and_granted_anew_when_it_is_retried() {
    let dir = folder();
    let history = dir.path().join("history.db");
    fs::create_dir(dir.path().join("data")).expect("it can be made");
    let data = granted(dir.path(), "data::/data:ro");
    let granted = &format!("--env KEY=very-secret --dir {data}");
    // Of a file, which is there when the job is retried.
    run("files")
        .arg(file(&dir, "input", "input"))
        .in_dir(dir.path())
        .env("RWASM_HISTORY_FILE", &history)
        .typed(granted)
        .typed("--history -- read /data/text")
        .fails(11);
    run("files")
        .in_dir(dir.path())
        .typed(granted)
        .typed("--report report.json -- list /data")
        .end()
        .expect_code(0);
    let report = text(dir.path().join("report.json"));
    assert!(
        report.contains("--env KEY") && report.contains(&format!("--dir {data}")),
        "{report}"
    );
    for entry in fs::read_dir(dir.path()).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        let bytes = if path.is_file() {
            fs::read(&path).expect("it can be read")
        } else {
            Vec::new()
        };
        assert!(
            !bytes.windows(11).any(|found| found == b"very-secret"),
            "{}",
            path.display()
        );
    }

    fs::write(dir.path().join("data/text"), "text").expect("it can be written");
    let retry = || {
        program()
            .in_dir(dir.path())
            .env("RWASM_HISTORY_FILE", &history)
            .typed("job retry 1")
    };
    for options in [
        "",
        "--env KEY=very-secret",
        "--env KEY=very-secret --dir data::/data",
    ] {
        let ended = retry().typed(options).fails(2);
        ended.expect_stderr_has(&[&format!("`--dir {data}`"), "repeat the options"]);
    }
    retry()
        .typed(granted)
        .end()
        .expect_code(0)
        .expect_stdout("text");
}

/// What a task may write can hold a directory that another grant is for. A link in its place leads nowhere.
#[test]
fn a_directory_that_was_put_in_place_of_the_granted_one_is_not_given() {
    let dir = folder();
    let at = |path: &str| dir.path().join(path);
    for path in ["data/inner", "outside"] {
        fs::create_dir_all(at(path)).expect("it can be made");
    }
    fs::write(at("outside/secret"), "secret").expect("it can be written");
    let cluster = Cluster::builder().engines(1).start().expect("it starts");
    for bytes in [
        fs::read(crate::support::guest("files")).expect("it can be read"),
        command_component("files"),
    ] {
        let module = Module::from_bytes("files", bytes).expect("it is a module");
        let mut spec = JobSpec::default();
        spec.arguments = ["read", "/inner/secret"].map(str::to_owned).to_vec();
        spec.chunking = Some(Chunking::Lines(NonZeroU64::MIN));
        spec.task.grants = Some(Grants::none().dir(at("data/inner"), "/inner", Access::ReadOnly));
        // It begins when its input does.
        let (reader, mut writer) = std::io::pipe().expect("a pipe can be made");
        let job = cluster.run(&module, vec![Input::reader("pipe", reader)], &spec);
        let job = job.expect("it begins");
        fs::rename(at("data/inner"), at("data/moved")).expect("it can be moved");
        symlink("../outside", at("data/inner")).expect("a link can be made");
        writer.write_all(b"line\n").expect("it can be written");
        drop(writer);
        let error = job.wait().expect_err("it fails");
        let JobError::TaskFailed { failure, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(failure.code, FailureCode::PolicyDenied, "{failure}");
        assert!(
            failure.message.contains("no longer the directory"),
            "{failure}"
        );
        fs::remove_file(at("data/inner")).expect("it is there");
        fs::rename(at("data/moved"), at("data/inner")).expect("it can be moved");
    }
}

#[test]
fn a_directory_of_thousands_is_listed_within_the_time_limit() {
    let dir = folder();
    let mut names = String::new();
    for number in 10_000..13_000 {
        let name = format!("{number}-{}", "x".repeat(100));
        file(&dir, &name, "");
        names += &name;
        names.push('\n');
    }
    both(|call| {
        call.in_dir(dir.path())
            .typed("--dir .::/data:ro -- list /data")
            .end()
            .expect_code(0)
            .expect_stdout(&names);
    });
}
