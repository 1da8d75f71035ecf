//! The cluster that README starts, uses and stops.

use super::Home;
use crate::readme::{as_described, blocks, readme};
use std::fs;

#[test]
fn the_readme_runs_the_same_job_on_a_cluster() {
    let text = readme();
    let mut lines = blocks(&text, "sh").concat();
    let first = lines
        .iter()
        .position(|line| line.starts_with("rwasm-cluster start"))
        .expect("README starts a cluster");
    let lines: Vec<String> = lines.drain(first..first + 3).collect();
    let home = Home::new();
    let described = as_described("README.md", &text);
    for entry in fs::read_dir(described.path()).expect("it can be listed") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        fs::copy(&path, home.path().join(name)).expect("a file can be copied");
    }
    let typed = |line: &str| {
        let arguments = line.strip_prefix("rwasm-cluster ").expect("our program");
        home.cli(arguments).output()
    };
    let url = typed(&lines[0]);
    assert!(url.starts_with("nats://127.0.0.1:"), "{url}");
    let job = lines[1].strip_suffix(" --cluster").expect("on the cluster");
    let here = typed(job);
    assert!(here.starts_with("rain\t2\n"), "{here}");
    assert_eq!(typed(&lines[1]), here);
    assert_eq!(lines[2], "rwasm-cluster stop");
    typed(&lines[2]);
    assert!(home.processes().is_empty(), "the cluster is stopped");
}
