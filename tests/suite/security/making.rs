//! `keys`, `server-config` and `init` themselves.

use super::{Site, config, keys, tool};
use crate::support::{folder, nats_server};
use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn keys_are_made_once_and_certificates_renewed() {
    let dir = keys(&[]);
    let again = tool("keys")
        .typed("--host a.example.org,10.0.0.1")
        .in_dir(&dir)
        .output();
    assert_eq!(
        again,
        "kept       keys/admin.key\nkept       keys/engine.key\nkept       keys/client.key\n\
         kept       keys/viewer.key\ncreated    keys/ca.key\ncreated    keys/ca.pem\n\
         created    keys/server.key\ncreated    keys/server.pem\n"
    );
    let renewed = tool("keys")
        .typed("--role viewer --host a.example.org --format json")
        .in_dir(&dir)
        .end()
        .expect_code(0)
        .json();
    let states: Vec<&str> = renewed
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|file| file["state"].as_str())
        .collect();
    assert_eq!(states, ["kept", "kept", "kept", "renewed", "renewed"]);
}

#[test]
fn what_cannot_be_made_is_said_with_its_exit_code() {
    let dir = folder();
    for (options, code, part) in [
        ("--role king", 2, "expected admin, engine, client or viewer"),
        ("--name a/b", 2, "`a/b` is not a valid key name"),
        ("--host tls://a", 2, "write only the host name, not a URL"),
        ("--host a:4222", 2, "leave out the port"),
        (
            "--host a --valid 100y",
            2,
            "a certificate cannot be valid for 100years",
        ),
        ("--dir /dev/null/keys", 14, "cannot write `/dev/null/keys`"),
    ] {
        let call = tool("keys").typed(options).in_dir(&dir);
        call.fails(code).expect_stderr_has(&[part]);
    }
    assert!(!dir.path().join("keys").exists());
    let dir = keys(&[]);
    for (options, code, part) in [
        (
            "--listen 0.0.0.0:4222",
            2,
            "`0.0.0.0:4222` is reachable from other machines",
        ),
        ("--listen 4222", 2, "`4222` is not a valid HOST:PORT"),
        (
            "--cluster-listen 127.0.0.1:6222 --route a:6222",
            2,
            "needs a name of its own",
        ),
        ("--dir nowhere", 14, "cannot read `nowhere/public.toml`"),
    ] {
        let call = tool("server-config").typed(options).in_dir(&dir);
        call.fails(code).expect_stderr_has(&[part]);
    }
    std::fs::write(dir.path().join("keys/public.toml"), "admin = 3").expect("written");
    tool("server-config")
        .in_dir(&dir)
        .fails(14)
        .expect_stderr_has(&[
            "public.toml` is not a valid list of public keys: `admin` is not a valid public key",
        ]);
}

#[test]
fn the_server_takes_every_configuration() {
    let plain = keys(&[]);
    let encrypted = keys(&["--host", "localhost"]);
    for (dir, options) in [
        (
            &plain,
            "--monitor 127.0.0.1:8222 --max-store 1GiB --max-payload 8MiB",
        ),
        (&plain, "--listen 0.0.0.0:4222 --allow-plain"),
        (
            &encrypted,
            "--listen 0.0.0.0:4222 --store-key STORE_KEY --store /var/lib/x",
        ),
        (
            &encrypted,
            "--name n1 --listen 0.0.0.0:4222 --cluster-listen 0.0.0.0:6222 --route a:6222,b:6222,[::1]:6222",
        ),
    ] {
        let file = dir.path().join("nats.conf");
        let written = tool("server-config")
            .typed(options)
            .arg("-o")
            .arg(&file)
            .in_dir(dir)
            .output();
        assert!(written.is_empty(), "{written}");
        let checked = Command::new(nats_server())
            .env("STORE_KEY", "\"4f secret\"")
            .arg("-t")
            .arg("-c")
            .arg(&file)
            .output()
            .expect("the server starts");
        assert!(
            checked.status.success(),
            "{options}: {}",
            String::from_utf8_lossy(&checked.stderr)
        );
    }
}

#[test]
fn setting_up_again_changes_only_what_it_is_told_to() {
    let site = Site::plain(&[]);
    let first = site.init("admin").typed("--max-bytes 50MiB").output();
    assert_eq!(first.lines().count(), 11, "{first}");
    assert!(
        first.lines().all(|line| line.starts_with("created ")),
        "{first}"
    );
    let again = site.init("admin").typed("--max-bytes 50MiB").output();
    assert!(
        again.lines().all(|line| line.starts_with("kept ")),
        "{again}"
    );
    let other = "--max-bytes 60MiB --ack-wait 20s --lane gpu";
    let printed = site.init("admin").typed(other).end().expect_code(0);
    let printed =
        printed.expect_stderr_has(&["warning: existing streams with other settings were kept"]);
    for line in [
        "differs  stream RWC_TASKS (at most 50MiB, not 60MiB)\n",
        "kept     bucket RWC_ENGINES\n",
        "differs  consumer main-hi of RWC_TASKS (given again after 10s, not 20s)\n",
        "created  consumer gpu-lo of RWC_TASKS\n",
    ] {
        assert!(printed.text().contains(line), "{line}{}", printed.text());
    }
    let changed = site.init("admin").typed(other).arg("--change").output();
    assert!(
        changed.contains("changed  stream RWC_RESULTS (at most 50MiB → 60MiB)\n"),
        "{changed}"
    );
    let again = site
        .init("admin")
        .typed(other)
        .end()
        .expect_code(0)
        .expect_stderr_is_empty();
    assert!(
        again.text().lines().all(|line| line.starts_with("kept ")),
        "{}",
        again.text()
    );
}

#[test]
fn a_configuration_that_cannot_be_made_says_what_to_do() {
    let dir = folder();
    let without_keys = tool("server-config").in_dir(&dir).fails(14);
    without_keys.expect_stderr_has(&[
        "cannot read `keys/public.toml`",
        "hint: create keys with `rwasm-cluster keys --dir keys`",
    ]);
    let dir = keys(&[]);
    let nowhere = tool("server-config").typed("-o /nowhere/nats.conf");
    let nowhere = nowhere.in_dir(&dir).fails(14);
    nowhere.expect_stderr_has(&[
        "cannot write `/nowhere/nats.conf`: No such file or directory (os error 2)\n",
    ]);
}

#[test]
fn where_no_server_answers_the_hint_is_of_that_machine() {
    let look = |url: &str| {
        let status = tool("status").arg("--cluster").arg(url);
        status.fails(13).stderr
    };
    let here = look("nats://127.0.0.1:1");
    assert!(here.contains("the cluster on this machine"), "{here}");
    let there = look("tls://nowhere.invalid:4222");
    assert!(
        there.contains("hint: check that the server is running"),
        "{there}"
    );
    assert!(!there.contains("this machine"), "{there}");
}

#[test]
fn what_is_not_asked_for_stays_and_further_lanes_are_as_the_main_one() {
    let site = Site::plain(&[]);
    let init = |options: &str| site.init("admin").typed(options).end().expect_code(0);
    init("--max-bytes 50MiB --ack-wait 20s --presence 30s --keep 1h");
    let slow = init("--lane slow --ack-wait 40s").text();
    assert_eq!(slow.matches("differs").count(), 3, "{slow}");
    for options in ["--lane slow,gpu", "--lane slow,gpu --change"] {
        let again = init(options).expect_stderr_is_empty().text();
        let is_well =
            |line: &str| line.starts_with("kept") || line.starts_with("created  consumer gpu-");
        assert!(again.lines().all(is_well), "{again}");
    }
    // That of the main lane, and not the usual one, which nobody asked for.
    let printed = init("--lane slow,gpu --ack-wait 20s").text();
    let differs = printed.lines().filter(|line| line.starts_with("differs"));
    assert!(
        differs.clone().all(|line| line.contains("consumer slow-")),
        "{printed}"
    );
    assert_eq!(differs.count(), 3, "{printed}");
}

/// The tables in the docs say of each role what a server that is configured here permits it, no more and no less.
#[test]
fn the_docs_have_the_permissions_of_every_role() {
    let dir = keys(&[]);
    let config = config(&dir, &[]);
    let docs = crate::support::workspace().join("docs/src/reference/roles.md");
    let docs = std::fs::read_to_string(docs).expect("it is there");
    for role in ["engine", "client", "viewer"] {
        let of_role = |text: &str, from: &str, to: &str| -> String {
            let (_, after) = text
                .split_once(from)
                .unwrap_or_else(|| panic!("there is nothing on the {role}"));
            after.split(to).next().unwrap_or_default().to_owned()
        };
        let user = of_role(&config, &format!("\n      # {role}\n"), "\n      # ");
        let configured = user.lines().filter_map(|line| {
            let subject = line.trim().strip_prefix('"')?.strip_suffix('"')?;
            Some(subject.to_owned())
        });
        let section = of_role(&docs, &format!("\n### {role}\n"), "\n#");
        let said = section
            .lines()
            .filter(|line| line.starts_with('|'))
            .flat_map(spelled_out);
        let (configured, said): (BTreeSet<_>, BTreeSet<_>) = (configured.collect(), said.collect());
        assert_eq!(configured, said, "{role}");
    }
}

/// The subjects in a row, where "sees `S`" and "reads `S`" stand for several.
fn spelled_out(row: &str) -> Vec<String> {
    let mut subjects = Vec::new();
    let mut before = "";
    for (index, part) in row.split('`').enumerate() {
        let word = before
            .trim_end()
            .rsplit([' ', '|'])
            .next()
            .unwrap_or_default();
        match (index % 2, word) {
            (1, "sees" | "reads") => {
                let templates = if word == "sees" {
                    &READS[..2]
                } else {
                    &READS[..]
                };
                subjects.extend(templates.iter().map(|text| text.replace("{}", part)));
            }
            (1, _) => subjects.push(part.to_owned()),
            _ => before = part,
        }
    }
    subjects
}

/// What it takes to see single messages of a stream, and to read it whole.
const READS: [&str; 3] = [
    "$JS.API.STREAM.INFO.{}",
    "$JS.API.DIRECT.GET.{}.>",
    "$JS.API.DIRECT.GET.{}",
];
