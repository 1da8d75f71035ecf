//! Records that anyone in the account can write, and what commands make of them: one ends no command for the others.

use super::{Cluster, id};
use crate::support::map;
use async_nats::jetstream;
use async_nats::jetstream::kv::Store;
use serde_json::{Value as Json, json};

/// Changes the records of jobs as anyone in the account may.
fn with_records(cluster: &Cluster, act: impl AsyncFnOnce(Store)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime is built");
    runtime.block_on(async {
        let client = async_nats::connect(cluster.server.url()).await;
        let js = jetstream::new(client.expect("it connects"));
        act(js.get_key_value("RWC_JOBS").await.expect("the bucket")).await;
    });
}

fn submit(cluster: &Cluster, job_id: &str) -> crate::support::Cli {
    let cli = map("numbers").typed("add-one --detach --job-id");
    cluster.with(cli.arg(job_id).stdin("1\n2\n"))
}

/// The ids of the records below that cannot be read.
const DAMAGED: [&str; 4] = ["attempt", "order", "rounds", "text"];

/// Stores records beside that of `good`.
fn store_others(cluster: &Cluster) {
    with_records(cluster, async |jobs| {
        let good = jobs.get("good").await.expect("it is read");
        let good: Json = serde_json::from_slice(&good.expect("it is there")).expect("it is JSON");
        let changes = [
            (
                "rounds",
                json!({ "tasks": 0, "rounds": [{ "attempt": 2, "tasks": [[0, 2]] }] }),
            ),
            (
                "order",
                json!({ "state": "cancelled", "rounds": [{ "attempt": 2, "tasks": [[2, 0]] }] }),
            ),
            (
                "attempt",
                json!({ "state": "done", "rounds": [{ "attempt": u32::MAX, "tasks": [[0, 1]] }] }),
            ),
            // This one can be read, and nothing else is stored of it.
            (
                "lost",
                json!({ "state": "cancelled", "rounds": [{ "attempt": 2, "tasks": [[0, 2]] }] }),
            ),
            // Nothing is wrong with it, but there is no way to write its time.
            ("late", json!({ "submitted_ms": u64::MAX })),
        ];
        for (id, changed) in changes {
            let mut record = good.clone();
            record["id"] = json!(id);
            for (name, value) in changed.as_object().expect("it is one") {
                record[name] = value.clone();
            }
            let put = jobs.put(id, record.to_string().into()).await;
            put.expect("it is stored");
        }
        jobs.put("text", "no record".into())
            .await
            .expect("it is stored");
    });
}

#[test]
fn a_damaged_record_ends_no_list_and_can_be_removed() {
    let cluster = Cluster::new();
    id(submit(&cluster, "good"));
    store_others(&cluster);
    let listed = cluster.job("list --format json").end().expect_code(0);
    let listed = listed.json();
    let listed = listed.as_array().expect("it is a list");
    assert_eq!(listed.len(), 7, "{listed:?}");
    assert_eq!(
        [&listed[0]["id"], &listed[0]["submitted"]],
        ["late", "after 9999"]
    );
    let of = |id: &str| {
        let job = listed.iter().find(|job| job["id"] == id);
        ["state", "tasks", "done"].map(|name| job.expect("it is listed")[name].clone())
    };
    assert_eq!(of("good"), [json!("queued"), json!(2), json!(0)]);
    assert_eq!(of("late"), [json!("queued"), json!(2), json!(0)]);
    assert_eq!(of("lost"), [json!("cancelled"), json!(2), json!(0)]);
    for id in DAMAGED {
        assert_eq!(of(id), [json!("damaged"), json!(null), json!(null)], "{id}");
    }
    let table = cluster.job("list").output();
    for id in DAMAGED {
        let mut rows = table.lines().map(|row| row.split_whitespace());
        let row = rows.find(|row| row.clone().next() == Some(id));
        let state = row.and_then(|mut row| row.nth(1));
        assert_eq!(state, Some("damaged"), "{table}");
    }
    let chosen = cluster.job("list --format json --state damaged").end();
    let chosen = chosen.expect_code(0).json();
    assert_eq!(chosen.as_array().map(Vec::len), Some(4), "{chosen}");
    let late = cluster.job("show late").output();
    assert!(late.contains("after 9999"), "{late}");

    for id in DAMAGED {
        let said = format!("the stored job `{id}` cannot be read: ");
        let advised = format!("job rm {id} --cluster");
        for command in ["show", "result", "retry", "cancel"] {
            let refused = cluster.job(command).arg(id).fails(13);
            refused.expect_stderr_has(&[&said, &advised]);
        }
        submit(&cluster, id)
            .fails(13)
            .expect_stderr_has(&[&said, &advised]);
    }
    cluster
        .job("retry lost")
        .fails(13)
        .expect_stderr_has(&["the stored job `lost` cannot be read", "job rm lost"]);

    for id in DAMAGED.into_iter().chain(["lost", "late"]) {
        cluster.job("rm").arg(id).end().expect_code(0);
    }
    let left = cluster.job("list --format json").end().expect_code(0);
    let left = left.json();
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
    assert_eq!(left[0]["id"], "good");
    // Its id is free again.
    let _engines = cluster.engines(1);
    id(submit(&cluster, "rounds"));
    for id in ["good", "rounds"] {
        let result = cluster.result(id).end().expect_code(0);
        result.expect_stdout("2\n3\n");
    }
}

#[test]
fn a_deadline_that_no_clock_can_show_is_none() {
    let cluster = Cluster::new();
    let _engines = cluster.engines(1);
    let cli = map("numbers").typed("add-one --detach --job-id far --deadline 292277024000y");
    id(cluster.with(cli.stdin("1\n")));
    let result = cluster.result("far").end().expect_code(0);
    result.expect_stdout("2\n");
}
