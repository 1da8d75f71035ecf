//! Tenants of a server: an account each, of which another knows nothing, and engines that they share.

use super::member::Member;
use super::{Site, keys, tool};
use crate::faults::engine::EngineProcess;
use crate::support::{Cli, file, folder, guest, only_here};
use async_nats::jetstream::stream;
use rwasm_cluster::nats::{ConnectSettings, Key};
use serde_json::{Value, json};
use std::path::Path;

/// A server with the tenants `red` and `blue`.
struct Shared(Site);

impl Shared {
    /// One with these options of `server-config`.
    fn new(options: &[&str]) -> Self {
        let dir = keys(&[]);
        for tenant in ["red", "blue"] {
            let make = tool("keys").args(["--dir", &format!("keys/{tenant}"), "--quiet"]);
            make.in_dir(&dir).end().expect_code(0);
        }
        let tenants = ["--tenant", "red=keys/red", "--tenant", "blue=keys/blue"];
        Self(Site::of(dir, &[&tenants, options].concat()))
    }

    fn set_up(&self, tenant: &str) {
        self.0.init(&format!("{tenant}/admin")).end().expect_code(0);
    }

    /// The command, there, with the tenant's client key.
    fn at(&self, tenant: &str, command: Cli) -> Cli {
        let command = command.arg("--cluster").arg(self.0.url("127.0.0.1"));
        self.0.with_key(command, &format!("{tenant}/client"))
    }

    fn json(&self, tenant: &str, command: &str) -> Value {
        let command = tool(command).typed("list --format json");
        self.at(tenant, command).end().expect_code(0).json()
    }

    /// The tenants' engine keys, as options of `engine join`.
    fn keys_of_engines(&self, weight: &str) -> String {
        let key = |tenant: &str| self.0.file(&format!("{tenant}/engine.key"));
        let (red, blue) = (key("red"), key("blue"));
        format!(
            "--tenant {} --tenant {}{weight}",
            red.display(),
            blue.display()
        )
    }

    fn join(&self, options: &str) -> EngineProcess {
        EngineProcess::join(&self.0.url("127.0.0.1"), options)
    }

    fn count(&self, tenant: &str, text: &str) -> Cli {
        let count = tool("run").arg(guest("wordcount")).stdin(text);
        self.at(tenant, count)
    }
}

fn call(function: &str) -> Cli {
    tool("call").arg(guest("numbers")).typed(function)
}

fn settings(dir: &Path) -> (ConnectSettings, String) {
    let key = Key::read(&dir.join("client.key")).expect("a key");
    (ConnectSettings::new("").key(key), "main".to_owned())
}

#[test]
fn tenants_share_engines_and_see_nothing_of_each_other() {
    if only_here("it has a server of its own") {
        return;
    }
    let shared = Shared::new(&[]);
    shared.set_up("red");
    // So that the tenants know the same engines by other ids.
    let before = tool("engine").arg("join").arg(shared.0.url("127.0.0.1"));
    let before = shared.0.with_key(before, "red/engine");
    before
        .typed("-n 3 --exit-when-idle 10ms -q")
        .end()
        .expect_code(0);
    // One that is not set up keeps the other from nothing.
    let early = shared.join(&format!("-n 1 {}", shared.keys_of_engines("")));
    assert_eq!(early.ids, [3]);
    assert!(early.stderr().contains("not joined"), "{}", early.stderr());
    shared
        .count("red", "dog cat dog\n")
        .end()
        .expect_code(0)
        .expect_stdout("dog\t2\ncat\t1\n");
    early.terminate();
    let (status, said) = early.end();
    assert!(status.success(), "{said}");

    shared.set_up("blue");
    let cache = folder();
    let cache_dir = format!("--cache-dir {}", cache.path().display());
    let engines = shared.join(&format!(
        "-n 2 {cache_dir} {}",
        shared.keys_of_engines("=2")
    ));
    for (tenant, ids) in [("red", [4, 5]), ("blue", [0, 1])] {
        shared
            .count(tenant, "dog cat dog\n")
            .end()
            .expect_code(0)
            .expect_stdout("dog\t2\ncat\t1\n");
        assert_eq!(shared.json(tenant, "engine")[0]["engines"], json!(ids));
        // By the ids that it knows, which are those in the outcomes.
        let one = format!("fib 10 --targets {} --stats", ids[1]);
        let one = shared.at(tenant, call(&one)).end().expect_code(0);
        one.expect_stdout(format!("{}\t55\n", ids[1]))
            .expect_stderr_has(&[&format!("engine {}", ids[1])]);
        let other = format!("fib 10 --targets {}", (ids[1] + 4) % 8);
        shared.at(tenant, call(&other)).fails(2);
        let drain = tool("engine").typed("drain").arg(ids[0].to_string());
        let refused = shared.at(tenant, drain).fails(2);
        refused.expect_stderr_has(&["these engines serve several clusters"]);
    }
    // What one of them has sent is not run for the other because it is here.
    let kept = std::fs::read_dir(cache.path()).expect("it is there");
    let names = kept.map(|entry| entry.expect("an entry").file_name());
    let names = names.filter(|name| name.to_string_lossy().starts_with("modules-"));
    assert_eq!(names.count(), 2);
    assert_eq!(engines.page("/readyz").0, 200);
    assert_eq!(engines.metric("rwasm_engines"), 2);
    assert_eq!(engines.metric("rwasm_tasks_total"), 6);

    let dir = folder();
    let lines = file(&dir, "lines", "10\n".repeat(3));
    let detached = tool("map")
        .arg(guest("numbers"))
        .typed("fib --detach --job-id mine");
    let detached = shared.at("red", detached.arg(lines));
    detached.end().expect_code(0).expect_stdout("mine\n");
    assert_eq!(shared.json("blue", "job"), json!([]));
    for act in ["result", "cancel", "rm", "show"] {
        shared.at("blue", tool("job").args([act, "mine"])).fails(2);
    }
    let result = shared.at("red", tool("job").args(["result", "mine"]));
    result.end().expect_code(0).expect_stdout("55\n55\n55\n");
    engines.terminate();
    let (status, said) = engines.end();
    assert!(
        status.success() && said.contains("left: 9 tasks done"),
        "{said}"
    );
}

#[test]
fn the_weights_of_tenants_are_their_parts_of_the_engine_time() {
    if only_here("it has a server of its own") {
        return;
    }
    let shared = Shared::new(&[]);
    for tenant in ["red", "blue"] {
        shared.set_up(tenant);
    }
    let options = format!("-n 1 {}", shared.keys_of_engines("=3"));
    let _engines = [shared.join(&options), shared.join(&options)];
    let at = |tenant: &str| {
        let (mut connect, lane) = settings(&shared.0.file(tenant));
        connect.url = shared.0.url("127.0.0.1");
        (connect, lane)
    };
    crate::lanes::check_shares(at("red"), at("blue"));
}

#[test]
fn a_tenant_stores_no_more_than_it_may() {
    let shared = Shared::new(&["--tenant-store", "20MiB"]);
    let wanted = shared.0.init("red/admin").typed("--max-bytes 30MiB");
    wanted.fails(13).expect_stderr_has(&["no room"]);
    shared.set_up("red");
    shared.set_up("blue");
    let dir = folder();
    let text = file(&dir, "text", "word ".repeat(6 << 20));
    let large = tool("run")
        .arg(guest("wordcount"))
        .arg(text)
        .arg("--detach");
    let large = shared.at("red", large.typed("--chunk file")).fails(13);
    large.expect_stderr_has(&["no room left"]);
    let _engines = shared.join(&format!("-n 1 {}", shared.keys_of_engines("")));
    shared
        .count("blue", "dog cat dog\n")
        .end()
        .expect_code(0)
        .expect_stdout("dog\t2\ncat\t1\n");
}

#[test]
fn an_admin_lists_no_other_keys_than_those_beside_its_own() {
    let shared = Shared::new(&[]);
    shared.set_up("red");
    let beside = |tenant: &str| shared.0.file(&format!("{tenant}/public.toml"));
    std::fs::copy(beside("blue"), beside("red")).expect("it can be copied");
    let mixed = shared.0.init("red/admin").fails(13);
    mixed.expect_stderr_has(&[
        "the `public.toml` beside the admin key does not have that admin key",
    ]);
}

/// What a tenant does to its own account is no other's loss: the engines go on, and say what is wrong a few times.
#[test]
fn a_tenant_without_its_streams_takes_nothing_from_the_other() {
    if only_here("it has a server of its own") {
        return;
    }
    let shared = Shared::new(&[]);
    for tenant in ["red", "blue"] {
        shared.set_up(tenant);
    }
    let engines = shared.join(&format!("-n 1 {}", shared.keys_of_engines("")));
    Member::with_key(&shared.0, "admin", "red/admin.key").runs(async |red| {
        for stream in ["RWC_TASKS", "KV_RWC_ENGINES", "KV_RWC_IDS"] {
            red.js.delete_stream(stream).await.expect("it was there");
        }
        // None of these is signed.
        for _ in 0..1000 {
            let cancel = red.client.publish("rwc.c.job", "\0\0\0\0".into());
            cancel.await.expect("it is sent");
        }
        red.client.flush().await.expect("they go to the server");
    });
    let counted = shared.count("blue", "dog cat dog\n").end().expect_code(0);
    counted.expect_stdout("dog\t2\ncat\t1\n");
    assert_eq!(engines.page("/readyz").0, 200);
    engines.terminate();
    let (status, said) = engines.end();
    assert!(status.success(), "{said}");
    assert!(said.lines().count() < 100, "{said}");
    assert!(said.contains("did not cancel"), "{said}");
}

#[test]
fn nobody_stores_anything_in_the_memory_of_the_server() {
    let shared = Shared::new(&["--tenant-store", "20MiB"]);
    for key in ["admin.key", "red/admin.key"] {
        Member::with_key(&shared.0, "admin", key).runs(async |admin| {
            for max_bytes in [300 << 20, -1] {
                let stream = admin.js.create_stream(stream::Config {
                    name: "MEMORY".to_owned(),
                    subjects: vec!["memory".to_owned()],
                    storage: stream::StorageType::Memory,
                    max_bytes,
                    ..stream::Config::default()
                });
                let refused = stream.await.map(drop).expect_err("it may not");
                assert!(refused.to_string().contains("memory"), "{refused}");
            }
        });
    }
}

#[test]
fn accounts_have_names_and_keys_of_their_own() {
    let dir = keys(&[]);
    let make = tool("keys").args(["--dir", "other", "--role", "client", "--quiet"]);
    make.in_dir(&dir).end().expect_code(0);
    for (tenant, code, said) in [
        (
            "red",
            2,
            "expected a name and a directory such as red=keys-red",
        ),
        ("a b=keys", 2, "tenant"),
        ("red=nowhere", 14, "cannot read"),
        ("SYS=keys", 2, "the account `SYS` is there already"),
        ("red=keys", 2, "is also in another account"),
        ("red=other", 2, "there is no admin key of tenant `red`"),
    ] {
        let written = tool("server-config").args(["--tenant", tenant]);
        let refused = written.in_dir(&dir).fails(code);
        refused.expect_stderr_has(&[said]);
    }
    let make = tool("keys").args(["--dir", "red", "--quiet"]);
    make.in_dir(&dir).end().expect_code(0);
    let much = tool("server-config").args(["--tenant", "red=red", "--tenant-store", "2GiB"]);
    let refused = much.typed("--max-store 1GiB").in_dir(&dir).fails(2);
    refused.expect_stderr_has(&["may store 2GiB together, more than the 1GiB of the server"]);
    let join = || tool("engine").typed("join nats://127.0.0.1:1");
    let twice = "--tenant keys/engine.key --tenant keys/engine.key=2";
    let two = "--tenant keys/engine.key --tenant keys/admin.key";
    for (options, code, said) in [
        ("--tenant a.key=0", 2, "is not a weight"),
        ("--tenant a.key=three", 2, "`three` is not a weight"),
        ("--tenant nowhere.key=2", 14, "nowhere.key"),
        ("--tenant keys/client.key", 2, "is a client key"),
        (twice, 2, "is named twice"),
        (&format!("{two} --lane a=2"), 2, "weights of their own"),
    ] {
        let refused = join().typed(options).in_dir(&dir).fails(code);
        refused.expect_stderr_has(&[said]);
    }
}
