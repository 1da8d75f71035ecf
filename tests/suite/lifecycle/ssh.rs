//! Engines on other machines, by a stand-in for ssh.

use super::{Home, kill};
use crate::support::{guest, until};
use serde_json::Value as Json;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Does what ssh would, on this machine: the port that it is to forward is that of the server.
const SSH: &str = r#"
while [ $# -gt 2 ]; do
    if [ "$1" = -R ]; then spec=$2; shift; fi
    shift
done
far=${spec#127.0.0.1:}; far=${far%%:*}; near=${spec##*:}
case $1 in
    refused) echo 'Permission denied (publickey).' >&2; exit 255 ;;
    a) yes 'a line that is of no use' | head -c 20000000 >&2 ;;
esac
exec sh -c "exec $(printf %s "$2" | sed "s/127.0.0.1:$far/127.0.0.1:$near/")"
"#;

#[test]
fn engines_on_other_machines_are_started_over_ssh() {
    let home = Home::new();
    let ssh = home.script("ssh", SSH);
    let bin = Path::new(env!("CARGO_BIN_EXE_rwasm-cluster"))
        .parent()
        .expect("a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs = vec![bin.to_owned()];
    dirs.extend(std::env::split_paths(&path));
    let path = std::env::join_paths(dirs).expect("a path");
    let cli = |arguments: &str| home.cli(arguments).env("PATH", &path);
    let start = |hosts: &str| cli("start -n 1 --ssh").arg(&ssh).arg("--hosts").arg(hosts);

    let refused = start("refused:2").fails(13);
    refused.expect_stderr_has(&["ssh to refused exited", "Permission denied"]);
    // What held the connection ends a moment after it.
    until("all that was started has ended", || {
        home.processes().is_empty()
    });

    let started = start("a:2,me@b:1").end().expect_code(0);
    started.expect_stderr_has(&["2 engines joined from a", "1 engine joined from me@b"]);
    let status = home.status("");
    assert_eq!(status["engines"], 4);
    let processes = status["processes"].as_array().expect("a list");
    let labels = processes
        .iter()
        .filter_map(|process| process["labels"]["ssh"].as_str());
    let mut labels: Vec<&str> = labels.collect();
    labels.sort_unstable();
    assert_eq!(labels, ["a", "me@b"]);
    // However much is said, the logs are bounded.
    let log = home.state("default").with_file_name("ssh-a.log");
    for part in [log.with_extension("log.old"), log] {
        let size = fs::metadata(&part).expect("it is there").len();
        assert!(size < 17 << 20, "{size} bytes in {}", part.display());
    }
    // No key is where others on the machine can see it.
    for process in home.processes() {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains("\0SU"));
    }
    let numbers = guest("numbers");
    let all = cli("call")
        .arg(&numbers)
        .typed("add 1 2 --targets all --cluster");
    let sums = all.output();
    assert_eq!(sums.lines().count(), 4, "{sums}");
    assert!(sums.lines().all(|line| line.ends_with("\t3")), "{sums}");

    // Where what holds them dies, they go.
    let state: Json =
        serde_json::from_slice(&fs::read(home.state("default")).expect("it is there"))
            .expect("it is JSON");
    let groups = state["engines"].as_array().expect("a list");
    let a = groups
        .iter()
        .find(|group| group["host"] == "a")
        .expect("the engines of a");
    kill(a["process"]["pid"].as_i64().expect("a process"));
    until("they have left", || home.status("")["engines"] == 2);
    // And come back with the next start.
    start("a:2,me@b:1")
        .end()
        .expect_code(0)
        .expect_stderr_has(&["2 engines joined from a"]);
    assert_eq!(home.status("")["engines"], 4);
    home.cli("stop")
        .within(Duration::from_mins(2))
        .end()
        .expect_code(0);
    assert_eq!(home.processes(), Vec::<i64>::new());
}
