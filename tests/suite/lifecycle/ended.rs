//! Commands that are ended in the middle, and what they leave: nothing, or what the next one finds.

use super::{Home, engines, kill, pid, signal};
use crate::support::{until, wait};
use rustix::process::Signal;
use std::fs;

#[test]
fn a_start_that_is_told_to_end_waits_for_what_it_has_started() {
    let home = Home::new();
    // It hears of nothing, so that ending it takes longer than hearing of the signal.
    let server = home.stubborn("trap '' TERM");
    let begun = home.state("default").with_file_name("begun");
    let start = home.cli("start -n 1 --nats-server").arg(&server);
    let child = start.into_command().spawn().expect("it starts");
    until("the server runs", || begun.exists());
    signal(child.id().into(), Signal::TERM);
    assert_eq!(wait(child).and_then(|status| status.code()), Some(143));
    until("nothing is left", || home.processes().is_empty());
    assert!(!home.state("default").exists());
}

#[test]
fn what_no_command_has_written_down_is_found() {
    let home = Home::new();
    let state = home.state("default");
    let url = home.start("-n 1");
    let before = home.status("");
    let both = [pid(&before), engines(&before)];
    let found = |text: Option<&str>| {
        match text {
            Some(text) => fs::write(&state, text).expect("it is written"),
            None => fs::remove_file(&state).expect("it was there"),
        }
        let again = home.cli("start -n 1").end().expect_code(0);
        again.expect_stdout(format!("{url}\n")).expect_stderr_has(&[
            &format!(
                "unrecorded server on this store, at {url} (pid {})",
                pid(&before)
            ),
            "is already running, with 1 engine",
        ]);
        let after = home.status("");
        assert_eq!([pid(&after), engines(&after)], both);
        assert_eq!(home.processes().len(), 2);
    };
    found(None);
    found(Some("{"));
    // Engines alone are taken up by a new server, too.
    fs::remove_file(&state).expect("it was there");
    kill(pid(&before));
    until("the server has ended", || home.processes().len() == 1);
    assert_eq!(home.start("-n 1"), url);
    until("the engines are there again", || {
        let after = home.status("");
        after["engines"] == 1 && engines(&after) == engines(&before)
    });
    assert_eq!(home.processes().len(), 2);
    fs::write(&state, "{").expect("it is written");
    let stop = home.cli("stop").end().expect_code(0);
    stop.expect_stderr_has(&[
        "state.json",
        "found 2 running processes",
        "stopped the cluster",
    ]);
    assert_eq!(home.processes(), Vec::<i64>::new());
    assert!(!state.exists());
}

#[test]
fn a_server_that_was_begun_and_not_written_down_is_ended_by_the_next_start() {
    let home = Home::new();
    let server = home.stubborn("");
    let begun = home.state("default").with_file_name("begun");
    let start = home.cli("start -n 1 --nats-server").arg(&server);
    let mut child = start.into_command().spawn().expect("it starts");
    until("the server runs", || begun.exists());
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    fs::remove_file(home.state("default")).expect("it was there");
    let [left] = home.processes()[..] else {
        panic!("the server runs on alone");
    };
    home.start("-n 1");
    assert!(!home.processes().contains(&left));
    assert_eq!(home.processes().len(), 2);
    home.cli("stop").end().expect_code(0);
}
