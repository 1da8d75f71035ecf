//! A key that the server accepted and does not accept any more, since its configuration was changed meanwhile.

use super::{NAMED, Site, keys, tool};
use crate::faults::engine::EngineProcess;
use crate::support::{file, guest, only_here, until, wait};
use std::fs::{self, File};
use std::process::Stdio;

/// A cluster with another key of this role, which can be locked out: the server's configuration needs one of each.
fn site_with(role: &str) -> Site {
    let dir = keys(&[]);
    let make = tool("keys").args(["--role", role, "--name", "bob"]);
    make.in_dir(&dir).output();
    Site::of(dir, &NAMED).set_up()
}

#[test]
fn a_client_ends_when_its_key_is_locked_out() {
    if only_here("it has a server of its own") {
        return;
    }
    let site = site_with("client");
    let stderr = site.dir.path().join("stderr");
    let run = tool("run").arg(guest("wordcount")).arg("--cluster");
    let text = file(&site.dir, "text", "some words\n");
    let run = run.arg(site.url("127.0.0.1")).arg(text);
    let child = site
        .with_key(run, "client-bob")
        .into_command()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&stderr).expect("a file can be made"))
        .spawn()
        .expect("the program starts");
    let said = || fs::read_to_string(&stderr).expect("it is there");
    until("it waits for engines", || {
        said().contains("tasks wait until one joins")
    });
    site.lock_out("client-bob");
    let status = wait(child).expect("it ends in time");
    assert_eq!(status.code(), Some(13), "{}", said());
    let wanted = "rejects the client key: its configuration does not allow it";
    assert_eq!(said().matches("error: ").count(), 1, "{}", said());
    assert!(said().contains(wanted), "{}", said());
}

#[test]
fn engines_are_not_ready_while_their_key_is_locked_out() {
    if only_here("it has a server of its own") {
        return;
    }
    let site = site_with("engine");
    let key = site.file("engine-bob.key");
    let options = format!("-n 1 --key {}", key.display());
    let engines = EngineProcess::join(&site.url("127.0.0.1"), &options);
    assert_eq!(engines.page("/readyz").0, 200);
    let list = site.lock_out("engine-bob");
    until("they are not ready", || engines.page("/readyz").0 == 503);
    // It goes on without the server: several attempts to connect are rejected, and it says so once.
    let rejections = || site.server.log().matches("authentication error").count();
    until("more attempts are rejected", || rejections() > 5);
    let said = engines.stderr();
    let wanted = "rejects the engine key: its configuration does not allow it";
    assert_eq!(said.matches(wanted).count(), 1, "{said}");
    assert_eq!(said.matches("WARN").count(), 1, "{said}");
    site.read_again(&list);
    until("they are ready again", || engines.page("/readyz").0 == 200);
    site.run("client").output();
}
