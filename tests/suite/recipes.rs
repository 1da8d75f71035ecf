//! What `deploy/` writes down is true: its options are there, and whoever stops engines waits for their drain.

use crate::support::{folder, program, workspace};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Options of other programs that the recipes call.
const OTHERS: [&str; 26] = [
    "--bin",
    "--cpus-per-task",
    "--export",
    "--from",
    "--from-file",
    "--install",
    "--job-name",
    "--kill-on-bad-exit",
    "--locked",
    "--mem-per-cpu",
    "--nodes",
    "--now",
    "--ntasks-per-node",
    "--offline",
    "--open-mode",
    "--package",
    "--release",
    "--replicas",
    "--repo",
    "--requeue",
    "--rm",
    "--signal",
    "--strict",
    "--time",
    "--version",
    "--wait",
];

fn recipes() -> Vec<PathBuf> {
    let mut files = vec![];
    let mut dirs = vec![workspace().join("deploy")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(files.len() > 8, "deploy/ has {files:?}");
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a recipe is text")
}

fn help(command: &str) -> String {
    program().typed(command).arg("--help").output()
}

/// The options in a text, each as it is written.
fn options(text: &str) -> impl Iterator<Item = &str> {
    let ends = |letter: char| letter.is_whitespace() || "`'\"(),;=[]#:".contains(letter);
    text.split(ends).filter(|word| {
        word.strip_prefix("--").is_some_and(|name| {
            name.starts_with(|letter: char| letter.is_ascii_lowercase())
                && name
                    .chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter == '-')
        })
    })
}

#[test]
fn options_that_the_recipes_name_are_there() {
    let join = help("engine join");
    let help: String = ["keys", "server-config", "init"]
        .map(help)
        .into_iter()
        .chain([join.clone()])
        .collect();
    for path in recipes() {
        let text = read(&path);
        // What only starts engines names options of `engine join` alone.
        let is_launcher = text.contains("--drain-timeout") && !path.ends_with("README.md");
        let wanted = if is_launcher { &join } else { &help };
        for option in options(&text).filter(|option| !OTHERS.contains(option)) {
            let found = options(wanted).any(|there| there == option);
            assert!(
                found,
                "{} names {option}, which is not there",
                path.display()
            );
        }
    }
}

#[test]
fn whoever_stops_engines_waits_for_their_drain() {
    // Where the time stands that is given to them.
    let recipes = [
        ("systemd/rwasm-engine@.service", "TimeoutStopSec="),
        ("slurm/engines.sbatch", "#SBATCH --signal=TERM@"),
        ("kubernetes/engines.yaml", "terminationGracePeriodSeconds: "),
        ("nomad/engines.nomad.hcl", " kill_timeout = \""),
    ];
    for (name, before) in recipes {
        let text = read(&workspace().join("deploy").join(name));
        let given = seconds_after(&text, before);
        // As a command line has it, and as an element of a list.
        let flat = text.replace(['"', ',', '\n'], " ").replace(" - ", " ");
        let words: Vec<&str> = flat.split_whitespace().collect();
        // Comments name the option as well, without a time behind it.
        let drains = words.windows(2).filter(|pair| pair[0] == "--drain-timeout");
        let drain = drains
            .filter_map(|pair| pair[1].strip_suffix('s')?.parse().ok())
            .map(Duration::from_secs)
            .next()
            .unwrap_or_else(|| panic!("{name} has a drain in seconds"));
        assert!(
            given >= drain + Duration::from_secs(30),
            "{name} gives {given:?} for a drain of {drain:?}"
        );
    }
}

fn seconds_after(text: &str, before: &str) -> Duration {
    let (_, after) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("there is a line {before}"));
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    Duration::from_secs(digits.parse().expect("a number of seconds"))
}

#[test]
fn accounts_stand_at_the_end_of_a_servers_configuration() {
    let dir = folder();
    program().arg("keys").in_dir(&dir).output();
    let config = program().arg("server-config").in_dir(&dir).output();
    // deploy/README.md uses the part from this line on for NATS's chart, docs/src/explanation/scale.md for a leaf node.
    let (_, accounts) = config
        .split_once("\naccounts {\n")
        .expect("a line `accounts {`");
    assert!(accounts.contains("\nsystem_account: SYS"), "{config}");
    assert!(accounts.contains("RWASM {"), "{config}");
    for other in ["listen:", "store_dir", "tls {"] {
        assert!(!accounts.contains(other), "{config}");
    }
}

#[test]
fn keda_reads_the_queues_that_a_cluster_has() {
    let text = read(&workspace().join("deploy/kubernetes/keda.yaml"));
    for queue in ["main-hi", "main-mid", "main-lo"] {
        assert!(text.contains(&format!("consumer: {queue}\n")), "{queue}");
    }
    assert_eq!(text.matches("stream: RWC_TASKS\n").count(), 3);
    assert_eq!(text.matches("account: RWASM\n").count(), 3);
}
