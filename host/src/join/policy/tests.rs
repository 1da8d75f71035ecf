//! What a policy allows, and what is a policy.

use super::*;
use rwasm_sandbox::outcome::{Failure, Usage};

fn head() -> TasksHead {
    TasksHead {
        module: String::new(),
        size: 0,
        name: String::new(),
        function: None,
        reduces: false,
        limits: Limits::default(),
        dirs: Vec::new(),
        env: Vec::new(),
        net: Vec::new(),
        clock: "coarse".to_owned(),
        seed: None,
        deterministic: false,
        arguments: Vec::new(),
        ok_exit: Vec::new(),
        reuse: "none".to_owned(),
        owner: None,
        engine: None,
        engines: 1,
        queued: 0,
        deadline: None,
        deliveries: 3,
        listens: false,
        pushed: Vec::new(),
        body: None,
    }
}

#[test]
fn nothing_is_granted_by_default() {
    let policy = EnginePolicy::default();
    assert!(
        policy
            .grants(&head())
            .expect("it asks for nothing")
            .0
            .is_empty()
    );
    let asks = |change: fn(&mut TasksHead)| {
        let mut head = head();
        change(&mut head);
        policy.grants(&head).unwrap_err()
    };
    assert!(asks(|head| head.dirs.push("/tmp::/tmp:ro".to_owned())).contains("`/tmp`"));
    assert!(asks(|head| head.net.push("localhost:80".to_owned())).contains("`localhost:80`"));
    assert!(asks(|head| head.env.push(("A".to_owned(), "b".to_owned()))).contains("`A`"));
    assert!(asks(|head| head.clock = "precise".to_owned()).contains("precise clock"));
}

#[test]
fn a_job_gets_what_both_allow() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().canonicalize().expect("its path");
    std::fs::create_dir_all(root.join("data/sub")).expect("a directory");
    std::fs::create_dir_all(root.join("work")).expect("a directory");
    let text = format!(
        "dirs = [\"{0}/data:ro\", \"{0}/work\"]\nnet = [\"localhost:*\"]\nenv = [\"A\"]\n\
         [limits]\nmemory = \"64MiB\"\ntime = \"1s\"\n",
        root.display()
    );
    let policy = EnginePolicy::parse(&text).expect("a policy");
    let mut head = head();
    head.dirs
        .push(format!("{}/data/sub::/d:ro", root.display()));
    head.dirs.push(format!("{}/work::/w", root.display()));
    head.net.push("localhost:80".to_owned());
    head.env.push(("A".to_owned(), "b".to_owned()));
    let (grants, opened) = policy.grants(&head).expect("all is allowed");
    assert_eq!(opened.len(), 2);
    let access: Vec<Access> = grants.dirs.iter().map(|dir| dir.access).collect();
    assert_eq!(access, [Access::ReadOnly, Access::ReadWrite]);
    let limits = policy.limits(&head);
    assert_eq!(limits.memory, ByteSize::mib(64));
    assert_eq!(limits.time, Duration::from_secs(1));
    head.dirs = vec![format!("{}/data/sub::/d", root.display())];
    let refused = policy.grants(&head).unwrap_err();
    assert!(refused.contains("allows only reading"), "{refused}");
    for outside in ["data/../..", "nowhere"] {
        head.dirs = vec![format!("{}/{outside}::/x", root.display())];
        assert!(policy.grants(&head).is_err(), "{outside}");
    }
}

#[test]
fn a_deterministic_job_without_fuel_gets_no_more_than_is_allowed() {
    let policy = EnginePolicy::parse("[limits]\nfuel = 1000").expect("a policy");
    let mut head = head();
    for (deterministic, asked, given) in [
        (true, None, Some(1000)),
        (true, Some(u64::MAX), Some(1000)),
        (true, Some(10), Some(10)),
        (false, Some(u64::MAX), Some(1000)),
        // It is not counted, and ends by time.
        (false, None, None),
    ] {
        head.deterministic = deterministic;
        head.limits.fuel = asked;
        assert_eq!(
            policy.limits(&head).fuel,
            given,
            "{deterministic} {asked:?}"
        );
    }
    (head.deterministic, head.limits.fuel) = (true, None);
    let default = EnginePolicy::default().limits(&head);
    assert_eq!(default.fuel, Some(DETERMINISTIC_FUEL));
}

#[test]
fn a_deterministic_job_without_fuel_is_told_of_the_policy() {
    let policy = EnginePolicy::parse("[limits]\nfuel = 1000").expect("a policy");
    let mut head = head();
    head.deterministic = true;
    let failure = Failure::new(FailureCode::FuelExhausted, "it is used up (raise --fuel)");
    let mut outcomes = [Outcome {
        result: Err(failure),
        usage: Usage::none(None, 1, std::time::SystemTime::now()),
    }];
    policy.explain(&head, &mut outcomes);
    let failure = outcomes[0].result.as_ref().expect_err("it failed");
    assert!(failure.message.contains("`fuel` in its `[limits]`"));
    assert!(!failure.message.contains("--fuel"));
}

#[test]
fn variables_are_allowed_by_name_or_by_how_they_begin() {
    let policy = EnginePolicy::parse("env = [\"ONE\", \"APP_*\"]").expect("a policy");
    let is_allowed = |name: &str| {
        let mut head = head();
        head.env.push((name.to_owned(), "value".to_owned()));
        policy.grants(&head).is_ok()
    };
    assert!(["ONE", "APP_", "APP_KEY"].into_iter().all(is_allowed));
    assert!(!["ONE_MORE", "APP", "", "*"].into_iter().any(is_allowed));
    let all = EnginePolicy::parse("env = [\"*\"]").expect("a policy");
    let mut head = head();
    head.env.push(("ANY".to_owned(), String::new()));
    assert!(all.grants(&head).is_ok());
}

#[cfg(unix)]
#[test]
fn a_link_leads_nowhere_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().canonicalize().expect("its path");
    std::fs::create_dir(root.join("data")).expect("a directory");
    std::os::unix::fs::symlink("/", root.join("data/out")).expect("a link");
    let policy = EnginePolicy::parse(&format!("dirs = [\"{}/data\"]", root.display()));
    let policy = policy.expect("a policy");
    let mut head = head();
    head.dirs.push(format!("{}/data/out::/x", root.display()));
    assert!(policy.grants(&head).is_err());
}

/// As a guest would that may write around a directory which another job asks for.
#[cfg(unix)]
#[test]
fn what_comes_in_the_place_of_a_directory_is_not_granted() {
    use crate::view::{Lookup, TaskSettings};
    use std::os::unix::fs::{MetadataExt, symlink};
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().canonicalize().expect("its path");
    for name in ["data/sub", "outside"] {
        std::fs::create_dir_all(root.join(name)).expect("a directory");
    }
    let policy = EnginePolicy::parse(&format!("dirs = [\"{}/data\"]", root.display()));
    let policy = policy.expect("a policy");
    let mut head = head();
    head.dirs.push(format!("{}/data/sub::/x", root.display()));
    let (grants, opened) = policy.grants(&head).expect("it is allowed");
    std::fs::rename(root.join("data/sub"), root.join("data/moved")).expect("it can be moved");
    symlink("../outside", root.join("data/sub")).expect("a link");
    let setting = TaskSettings::default().settle(
        &Limits::default(),
        &std::sync::Arc::new(grants),
        rwasm_sandbox::sandbox::CommandLine::default(),
        Lookup::Opened(opened),
        None,
    );
    let found = root.join("data/moved").metadata().expect("it is there");
    let setting = setting.expect("it is granted");
    assert_eq!(setting.dirs.identities(), [(found.dev(), found.ino())]);
    assert!(policy.grants(&head).is_err());
}

#[test]
fn writable_directories_may_lie_in_read_only_ones_and_beside_them() {
    for text in [
        "dirs = [\"/data:ro\", \"/data/work\"]",
        "dirs = [\"/data\", \"/database:ro\"]",
    ] {
        EnginePolicy::parse(text).expect(text);
    }
}

#[test]
fn every_limit_has_a_bound() {
    let mut head = head();
    let long = Duration::from_hours(1_000_000);
    let large = ByteSize::new(u64::MAX / 2);
    let limits = &mut head.limits;
    (limits.time, limits.wall, limits.compile_time) = (long, Some(long), long);
    limits.fuel = Some(u64::MAX);
    for size in [
        &mut limits.memory,
        &mut limits.stack,
        &mut limits.input,
        &mut limits.output,
        &mut limits.logs,
        &mut limits.random,
        &mut limits.written,
        &mut limits.module,
        &mut limits.compile_memory,
        &mut limits.compiled,
        &mut limits.inflated,
    ] {
        *size = large;
    }
    for count in [
        &mut limits.table_elements,
        &mut limits.handles,
        &mut limits.files,
    ] {
        *count = usize::MAX / 2;
    }
    let json = |limits: &Limits| match serde_json::to_value(limits) {
        Ok(serde_json::Value::Object(fields)) => fields,
        other => panic!("{other:?}"),
    };
    let here = json(&EnginePolicy::default().limits(&head));
    // One that is new, and neither asked for here nor bounded there, is the same on both sides.
    for (name, wanted) in json(&head.limits) {
        assert_ne!(here.get(&name), Some(&wanted), "{name}");
    }
}

#[test]
fn tables_take_no_more_than_memories_unless_the_file_says_so() {
    let mut head = head();
    head.limits.table_elements = usize::MAX;
    let elements = |text: &str| {
        let policy = EnginePolicy::parse(text).expect(text);
        policy.limits(&head).table_elements
    };
    assert_eq!(elements("[limits]\nmemory = \"64MiB\""), 8 << 20);
    assert_eq!(elements("[limits]\ntable_elements = 1000"), 1000);
}

#[test]
fn what_is_no_policy_is_refused() {
    for (text, part) in [
        ("dirs = [\"relative\"]", "dirs"),
        ("dirs = [\"/data\", \"/data/ref:ro\"]", "`/data/ref:ro`"),
        ("dirs = [\"/data:ro\", \"/data\"]", "`/data:ro`"),
        ("net = [\"x\"]", "net"),
        ("unknown = 1", "unknown"),
        ("[limits]\nmemory = \"much\"", "limits.memory"),
        ("[limits]\ntime = \"soon\"", "limits.time"),
    ] {
        let error = EnginePolicy::parse(text).expect_err("it is none");
        assert!(error.contains(part), "{text}: {error}");
    }
}
