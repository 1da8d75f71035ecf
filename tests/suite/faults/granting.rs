//! What an engine's own policy allows, denies and says of it; and engines that are let go from afar.

use super::{EngineProcess, assets, server};
use crate::support::{file, folder, program, run};
use rwasm_cluster::nats::AssetSettings;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

#[test]
fn what_is_granted_is_logged_and_all_else_is_denied() {
    let server = server(&AssetSettings::default());
    let url = server.url();
    let dir = folder();
    let dir_path = dir.path().canonicalize().expect("it is there");
    let shown = dir_path.display();
    let policy = format!("dirs = ['{shown}:ro', '{shown}/later:ro']\nenv = [\"STAGE\"]\n");
    let policy = file(&dir, "policy.toml", policy);
    let options = format!("-n 1 --policy {}", policy.display());
    let engine = EngineProcess::join(url, &options);
    let ask = |grants: &str| {
        let cli = run("upper").env("RWASM_CLUSTER", url).typed(grants);
        cli.arg("-").stdin("some words\n")
    };
    ask(&format!("--dir {shown}::/data:ro --env STAGE=secret-value"))
        .end()
        .expect_code(0)
        .expect_stdout("SOME WORDS\n");
    let stderr = engine.stderr();
    let granted: Vec<&str> = stderr
        .lines()
        .filter(|line| line.contains("granted"))
        .collect();
    let dir_grant = format!("--dir {shown}::/data:ro");
    for part in [&*dir_grant, "--env STAGE"] {
        let line = granted.iter().find(|line| line.contains(part));
        let line = line.unwrap_or_else(|| panic!("no line says {part}: {stderr}"));
        let has_hash = line
            .split(|one: char| !one.is_ascii_hexdigit())
            .any(|word| word.len() == 64);
        assert!(has_hash && line.contains("job="), "{line}");
    }
    assert!(!stderr.contains("secret-value"), "{stderr}");
    let missing = format!("`{shown}/later` in `dirs` of the policy does not exist");
    assert!(stderr.contains(&missing), "{stderr}");
    for (grants, part) in [
        ("--dir /etc::/etc:ro", "/etc"),
        (&format!("--dir {shown}::/data"), "allows only reading"),
        ("--env HOME=x", "HOME"),
        ("--net localhost:80", "localhost:80"),
        ("--clock precise", "precise"),
    ] {
        ask(grants)
            .fails(11)
            .expect_stderr_has(&["policy-denied", part, "the engine's policy"]);
    }
    // Each is opened, and compared with all others.
    let many: Vec<String> = (0..65)
        .map(|number| format!("--dir {shown}::/{number}:ro"))
        .collect();
    ask(&many.join(" ")).fails(11).expect_stderr_has(&[
        "policy-denied",
        "asks for 65 directories, but an engine grants at most 64",
    ]);
}

#[test]
fn a_directory_of_the_policy_is_the_one_that_was_there_and_links_stay_in_it() {
    let server = server(&AssetSettings::default());
    let url = server.url();
    let dir = folder();
    let base = dir.path().canonicalize().expect("it is there");
    let at = |name: &str| base.join(name);
    for (folder, text) in [("work/sub", "inside"), ("outside/sub", "outside")] {
        fs::create_dir_all(at(folder)).expect("it can be made");
        fs::write(at(folder).join("text"), text).expect("it can be written");
    }
    symlink("sub", at("work/in")).expect("a link can be made");
    symlink("../outside/sub", at("work/out")).expect("a link can be made");
    let policy = format!("dirs = ['{}']\n", at("work").display());
    let policy = file(&dir, "policy.toml", policy);
    let options = format!("-n 1 --policy {}", policy.display());
    let _engine = EngineProcess::join(url, &options);
    let read = |name: &str| {
        let grant = format!("--dir {}::/data:ro", at(name).display());
        let cli = run("files").env("RWASM_CLUSTER", url).typed(&grant);
        cli.typed("-- read /data/text").stdin("")
    };
    for name in ["work/sub", "work/in"] {
        read(name).end().expect_code(0).expect_stdout("inside");
    }
    let named = format!("leads out of `{}`", at("work").display());
    read("work/out")
        .fails(11)
        .expect_stderr_has(&["policy-denied", &named]);
    fs::rename(at("work"), at("moved")).expect("it can be moved");
    symlink("outside", at("work")).expect("a link can be made");
    read("work/sub").fails(11).expect_stderr_has(&[
        "policy-denied",
        "no longer the directory",
        "restart the engine",
    ]);
}

#[test]
fn a_limit_that_the_policy_lowered_is_called_so() {
    let server = server(&AssetSettings::default());
    let url = server.url();
    let dir = folder();
    let policy = file(
        &dir,
        "policy.toml",
        "[limits]\ntime = \"300ms\"\nmemory = \"32MiB\"\n",
    );
    let options = format!("-n 1 --policy {}", policy.display());
    let _engine = EngineProcess::join(url, &options);
    for (guest, options, part) in [
        ("spin", "--timeout 20s", "`time`"),
        ("hoard", "--memory 1GiB", "`memory`"),
    ] {
        let cli = run(guest).env("RWASM_CLUSTER", url).typed(options);
        let failed = cli.stdin("").fails(11);
        let failed = failed.expect_stderr_has(&["more than the engine's policy allows", part]);
        assert!(!failed.stderr.contains("raise it"), "{}", failed.stderr);
    }
    // What it does not lower is the caller's own.
    let cli = run("spin")
        .env("RWASM_CLUSTER", url)
        .typed("--timeout 100ms");
    cli.stdin("")
        .fails(11)
        .expect_stderr_has(&["raise it with --timeout"]);
}

#[test]
fn without_a_policy_nothing_is_granted() {
    let server = server(&AssetSettings::default());
    let url = server.url();
    let _engine = EngineProcess::join(url, "-n 1");
    let ask = |grants: &str| {
        let cli = run("upper").env("RWASM_CLUSTER", url).typed(grants);
        cli.arg("-").stdin("some words\n")
    };
    ask("").end().expect_code(0).expect_stdout("SOME WORDS\n");
    ask("--env STAGE=x")
        .fails(11)
        .expect_stderr_has(&["policy-denied", "STAGE"]);
}

#[test]
fn an_engine_is_let_go_from_afar() {
    let server = server(&assets(Duration::from_secs(10)));
    let url = server.url();
    let two = EngineProcess::join(url, "-n 2");
    let one = EngineProcess::join(url, "-n 1");
    let drain = |ids: &str| {
        program()
            .typed("engine drain")
            .typed(ids)
            .env("RWASM_CLUSTER", url)
    };
    drain("0").end().expect_code(0).expect_empty_stdout();
    drain("0")
        .fails(2)
        .expect_stderr_has(&["no engine 0", "1, 2"]);
    // The last engine of a process takes it along.
    drain("1").end().expect_code(0);
    let (status, stderr) = two.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    let counted = run("upper")
        .env("RWASM_CLUSTER", url)
        .arg("-")
        .stdin("on\n");
    counted.end().expect_code(0).expect_stdout("ON\n");
    drop(one);
}
