//! Whose orders engines obey: those that a key has signed which may give them, whatever the server lets through.

use super::member::{Connected, Member};
use super::{AT_ONCE, Site, keys, refused, tool};
use crate::faults::engine::EngineProcess;
use crate::support::{guest, until};
use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Stdio};

/// What cancels a job as a whole, as a message.
const EVERYTHING: &[u8] = &[0];

/// A process with an engine that has the engine's key.
fn engine(site: &Site) -> EngineProcess {
    let (key, ca) = (site.file("engine.key"), site.file("ca.pem"));
    let options = format!("-n 1 --key {} --ca {}", key.display(), ca.display());
    EngineProcess::join(&site.url("127.0.0.1"), &options)
}

/// A call that does not end by itself.
fn endless(site: &Site) -> Child {
    let call = tool("call").arg(guest("numbers")).arg("spin");
    let call = call.args(["--timeout", "1h", "--cluster", &site.url("127.0.0.1")]);
    let mut call = site.with_key(call, "client").into_command();
    let call = call.stdin(Stdio::null()).stdout(Stdio::null());
    call.stderr(Stdio::null()).spawn().expect("it starts")
}

/// The session of the one task that waits or runs, as anyone may see who sees how much waits.
async fn session(member: &Connected) -> String {
    let stream = member.js.get_stream("RWC_TASKS").await;
    let stream = stream.expect("every role may see that");
    let mut subjects = stream.info_with_subjects("rwc.t.>").await.expect("it may");
    let (subject, _) = subjects.next().await.expect("one").expect("a subject");
    let session = subject.split('.').nth(4).expect("it is in its subject");
    session.to_owned()
}

/// The server answers a request at whichever subject the request names: an engine has its own object sent to others as
/// an order. And what a client's key may publish is no order unless it is signed.
#[test]
fn a_cancel_is_obeyed_if_a_client_signed_it() {
    let site = Site::encrypted().set_up();
    let engine = engine(&site);
    let mut call = endless(&site);
    until("the engine is busy", || engine.is_busy());
    let refusals = |count: usize| {
        until("the engine refuses it", || {
            engine.stderr().matches("did not cancel").count() >= count
        });
    };
    Member::of(&site, "engine").runs(async |mut member| {
        let cancel = format!("rwc.c.{}", session(&member).await);
        let object = "$O.RWC_BLOBS.C.forged";
        let stored = member.js.publish(object, EVERYTHING.into()).await;
        stored.expect("it is sent").await.expect("it is stored");
        let mut heard = member
            .client
            .subscribe(cancel.clone())
            .await
            .expect("it may");
        let get = format!("$JS.API.DIRECT.GET.OBJ_RWC_BLOBS.{object}");
        let asked = member
            .client
            .publish_with_reply(get, cancel.clone(), "".into());
        asked.await.expect("it is sent");
        let heard = tokio::time::timeout(AT_ONCE, heard.next()).await;
        let heard = heard.expect("the server sends it").expect("a message");
        assert_eq!(heard.payload, EVERYTHING);
        refusals(1);
        member.was_permitted_everything().await;
    });
    Member::of(&site, "client").runs(async |member| {
        let cancel = format!("rwc.c.{}", session(&member).await);
        let sent = member.client.publish(cancel, EVERYTHING.into()).await;
        sent.expect("it is sent");
        member.client.flush().await.expect("it goes to the server");
        refusals(2);
    });
    assert!(engine.is_busy());
    assert!(call.try_wait().expect("a child can be asked").is_none());
    // The client itself is obeyed.
    kill_process(Pid::from_child(&call), Signal::INT).expect("a child takes signals");
    until("the engine is idle", || !engine.is_busy());
    call.wait().expect("a child can be waited for");
    assert_eq!(engine.stderr().matches("did not cancel").count(), 2);
}

#[test]
fn an_order_that_is_not_signed_is_answered_so() {
    let site = Site::encrypted().set_up();
    let mut engine = engine(&site);
    Member::of(&site, "client").runs(async |member| {
        let records = member.reads("KV_RWC_ENGINES", "$KV.RWC_ENGINES.*").await;
        let subject = records.first().expect("an engine").headers.clone();
        let subject = subject.expect("the server adds them");
        let subject = subject.get_last("Nats-Subject").expect("one").to_string();
        let process = subject.rsplit('.').next().expect("its key").to_owned();
        for order in ["control", "exec"] {
            let subject = format!("rwc.e.{process}.{order}");
            let order = format!("remove {}", engine.ids[0]);
            let answer = member.client.request(subject, order.into()).await;
            let answer = answer.expect("it is answered").payload;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(answer.contains("the order is not signed"), "{answer}");
        }
    });
    // The program signs.
    let drain = tool("engine").args(["drain", &engine.ids[0].to_string(), "--cluster"]);
    let drain = drain.arg(site.url("127.0.0.1"));
    site.with_key(drain, "client").output();
    until("its process ends", || !engine.is_alive());
}

#[test]
fn an_engine_that_could_obey_nobody_does_not_join() {
    let site = Site::encrypted().set_up();
    let key = std::fs::read_to_string(site.file("engine.key")).expect("a key");
    assert_eq!(key.matches("\nadmin: U").count(), 1, "{key}");
    // A directory of its own, so that no list of public keys is beside it.
    let elsewhere = crate::support::folder();
    let path = elsewhere.path().join("engine.key");
    let lines = key.lines().filter(|line| !line.starts_with("admin: "));
    let text = lines.collect::<Vec<_>>().join("\n");
    std::fs::write(&path, text).expect("written");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, private).expect("permitted");
    let join = tool("engine").arg("join").arg(site.url("127.0.0.1"));
    let join = join.typed("-n 1 --quiet --key").arg(&path);
    refused(
        join.arg("--ca").arg(site.file("ca.pem")),
        13,
        &["the engine key does not name an admin key", "`public.toml`"],
    );
    Member::of(&site, "admin").runs(async |admin| {
        let ids = admin.js.get_key_value("RWC_IDS").await.expect("the bucket");
        ids.delete("keys").await.expect("it may");
    });
    refused(
        site.join("engine"),
        13,
        &[
            "no list of the keys that may give orders",
            "run `rwasm-cluster init` with the admin key",
        ],
    );
    // Keys of others sign no list.
    Member::of(&site, "client").runs(async |mut client| {
        client.may_not_publish("$KV.RWC_IDS.keys").await;
    });
    let said = site.init("admin").output();
    assert!(
        said.contains("created  list of 2 keys that may give orders\n"),
        "{said}"
    );
    site.join("engine").output();
}

#[test]
fn keys_that_are_added_are_listed_by_the_next_init() {
    let dir = keys(&["--host", "127.0.0.1"]);
    let bob = tool("keys").typed("--role client --name bob");
    bob.in_dir(&dir).output();
    let site = Site::of(dir, &[]);
    let said = site.init("admin").typed("--max-bytes 100MiB").output();
    assert!(said.contains("created  list of 3 keys"), "{said}");
    let said = site.init("admin").output();
    assert!(said.contains("kept     list of 3 keys"), "{said}");
    let public = site.file("public.toml");
    let text = std::fs::read_to_string(&public).expect("a list");
    let kept = text.lines().filter(|line| !line.starts_with("client-bob"));
    std::fs::write(&public, kept.collect::<Vec<_>>().join("\n")).expect("written");
    let said = site.init("admin").output();
    assert!(
        said.contains("changed  list of 2 keys that may give orders (keys 3 → 2)"),
        "{said}"
    );
}
