//! What a command asks of the cluster of a profile: which one it means, and what is said of options that cannot be.

use super::{Home, ids};
use crate::support::{call, file, until};
use std::time::Duration;

#[test]
fn a_profile_that_is_named_means_its_cluster() {
    let home = Home::new();
    let fib = |options: &str| home.with(call("numbers")).typed("fib 10").typed(options);
    home.profile("set", "engines = 1\n");
    // One that has not been started is not another's affair.
    fib("--profile set").fails(13).expect_stderr_has(&[
        "the cluster `set` is not running on this machine",
        "`rwasm-cluster start --profile set`",
    ]);
    home.start("--profile set");
    home.start("-n 1");
    let done = |profile: &str| {
        let list = home.cli("engine list --format json").typed(profile);
        let list = list.end().expect_code(0).json();
        list[0]["done"].as_u64().expect("a number")
    };
    assert_eq!(fib("--profile set").output(), "55\n");
    assert_eq!(fib("").env("RWASM_PROFILE", "set").output(), "55\n");
    assert_eq!(fib("--cluster=running --profile set").output(), "55\n");
    let running = fib("").env("RWASM_CLUSTER", "running");
    assert_eq!(running.env("RWASM_PROFILE", "set").output(), "55\n");
    until("all of them ran there", || done("--profile set") == 4);
    assert_eq!(fib("--cluster=running").output(), "55\n");
    let running = fib("").env("RWASM_CLUSTER", "running");
    assert_eq!(running.output(), "55\n");
    assert_eq!(fib("--profile default").output(), "55\n");
    until("these ran on the other", || done("") == 3);
    // Here, where nothing is said, or that is said.
    assert_eq!(fib("").output(), "55\n");
    assert_eq!(fib("--profile set --cluster=local").output(), "55\n");

    home.cli("stop --profile set").end().expect_code(0);
    let gone = "the cluster `set` is not running on this machine";
    fib("--profile set").fails(13).expect_stderr_has(&[gone]);
    let local = fib("--profile set --cluster=local");
    assert_eq!(local.output(), "55\n");
    home.cli("stop").end().expect_code(0);
}

#[test]
fn engines_and_lanes_come_to_the_cluster_that_runs() {
    let home = Home::new();
    let join = |options: &str| {
        home.cli("engine join -n 1 --exit-when-idle 1s")
            .typed(options)
    };
    for options in ["", "--profile other"] {
        let none = join(options).fails(13);
        let none = none.expect_stderr_has(&["running on this machine", "by its URL"]);
        assert!(!none.stderr.contains("cache-dir"), "{}", none.stderr);
    }
    let url = home.start("-n 2 --keep 3h --store 80MiB");
    // Nothing is said of what nobody has asked for, nor changed.
    for options in ["", "--change"] {
        let init = home.cli("init --lane gpu").typed(options).end();
        let init = init.expect_code(0).expect_stderr_is_empty();
        let is_well = |line: &str| {
            let created = options.is_empty() && line.contains("consumer gpu-");
            line.starts_with(if created { "created " } else { "kept " })
        };
        assert!(init.text().lines().all(is_well), "{}", init.text());
    }
    let differs = home.cli("init").arg(&url).typed("--keep 4h").end();
    let differs = differs.expect_code(0).text();
    let lines: Vec<&str> = differs
        .lines()
        .filter(|line| line.starts_with("differs"))
        .collect();
    assert_eq!(
        lines,
        [
            "differs  stream RWC_TASKS (kept for 3h, not 4h)",
            "differs  stream RWC_RESULTS (kept for 3h, not 4h)",
            "differs  object store RWC_MODULES (kept for 6h, not 8h)",
            "differs  object store RWC_BLOBS (kept for 3h, not 4h)",
        ],
        "{differs}"
    );
    let joined = join("--lane gpu").end().expect_code(0);
    joined.expect_stderr_has(&["joined with engines 2"]);
    home.profile("far", &format!("url = '{url}'\n"));
    let joined = join("--profile far").end().expect_code(0);
    joined.expect_stderr_has(&["joined with engines 3"]);

    // Where one is not there, none goes.
    let drain = home.cli("engine drain 0 99 --cluster").fails(2);
    drain.expect_stderr_has(&["there is no engine 99", "engine list"]);
    assert_eq!(ids(&home.status("")), [0, 1]);
    home.cli("engine drain 0 0 --cluster").end().expect_code(0);
    until("it has gone", || ids(&home.status("")) == [1]);
    let again = home.cli("start -n 2").end().expect_code(0);
    again.expect_stderr_has(&["is already running, with 1 engine\n", "engine join"]);
    home.cli("stop").end().expect_code(0);
}

#[test]
fn files_are_looked_at_before_anything_is_started() {
    let home = Home::new();
    let start = |policy: &str| home.cli("start -n 1 --policy").arg(policy);
    start("/nowhere/policy.toml")
        .fails(14)
        .expect_stderr_has(&["cannot read the policy `/nowhere/policy.toml`"]);
    file(&home.0, "policy.toml", "no such key = 1\n");
    start("policy.toml")
        .fails(2)
        .expect_stderr_has(&["policy.toml` is not a valid policy"]);
    home.profile("strict", "policy = '/nowhere/policy.toml'\n");
    home.cli("start --profile strict")
        .fails(14)
        .expect_stderr_has(&["cannot read the policy"]);
    assert!(!home.path().join("state").exists());

    // Nothing answers there, which is not what is said.
    let join = |options: &str| {
        home.cli("engine join nats://127.0.0.1:1 -n 1")
            .typed(options)
    };
    join("--ready-file /nowhere/ready")
        .fails(14)
        .expect_stderr_has(&["cannot write `/nowhere/ready`: No such file"]);
    join("--policy policy.toml").fails(2);

    let url = home.start("-n 1");
    let join = home.cli("engine join").arg(url);
    let join = join.typed("-n 1 --exit-when-idle 1s --cache-dir /proc/nowhere");
    let join = join.within(Duration::from_mins(2)).end().expect_code(0);
    join.expect_stderr_has(&["WARN", "the cache `/proc/nowhere` cannot be used"]);
    home.cli("stop").end().expect_code(0);
}
