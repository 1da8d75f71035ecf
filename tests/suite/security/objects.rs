//! Large values: whoever may write them cannot have others take wrong bytes for right ones.

use super::member::Member;
use super::{Site, tool};
use crate::support::{guest, wait};
use async_nats::HeaderMap;
use serde_json::{Value, json};
use std::process::Stdio;

#[test]
fn an_object_that_is_not_what_was_stored_is_refused() {
    let site = Site::encrypted().set_up();
    let mut join = site.join("engine").into_command();
    let engine = join.stdin(Stdio::null()).spawn().expect("it starts");
    // Its result is too large for a message.
    let line = format!("[\"{}\", 800]\n", "x".repeat(1000));
    let map = tool("map").arg(guest("numbers")).stdin(line);
    let map = map.typed("greet --detach --job-id big --cluster");
    site.with_key(map.arg(site.url("127.0.0.1")), "client")
        .output();
    let result = || {
        let result = tool("job").typed("result big --follow --cluster");
        site.with_key(result.arg(site.url("127.0.0.1")), "client")
    };
    assert!(result().output().len() > 800_000);
    assert!(wait(engine).is_some_and(|status| status.success()));
    Member::of(&site, "engine").runs(async |engine| {
        let described = engine.reads("OBJ_RWC_BLOBS", "$O.RWC_BLOBS.M.*").await;
        let (subject, description) = described
            .iter()
            .find_map(|one| {
                let description: Value = serde_json::from_slice(&one.payload).ok()?;
                let headers = one.headers.as_ref()?;
                let is_result = description["name"].as_str()?.starts_with("o/");
                is_result.then(|| (headers.get_last("Nats-Subject"), description))
            })
            .expect("there is a result");
        let subject = subject.expect("the server adds it").to_string();
        for (what, value, said) in [
            ("digest", json!("SHA-256=AAAA"), "its recorded hash"),
            ("size", json!(5), "longer than its recorded size"),
            ("nuid", json!(">"), "does not say where it is"),
        ] {
            let mut changed = description.clone();
            changed[what] = value;
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Rollup", "sub");
            let changed = changed.to_string().into();
            let sent = engine
                .js
                .publish_with_headers(subject.clone(), headers, changed);
            sent.await.expect("it is sent").await.expect("it is stored");
            result().end().expect_stderr_has(&["is damaged: it", said]);
        }
    });
    let remove = tool("job").typed("rm big --cluster");
    let remove = remove.arg(site.url("127.0.0.1"));
    site.with_key(remove, "client").output();
}
