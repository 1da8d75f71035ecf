//! What each role may not do at the server, and that jobs run with the keys of their roles.

use super::member::Member;
use super::{Site, config, keys, refused, tool};
use crate::support::{guest, wait};
use futures_util::TryStreamExt;
use std::process::Stdio;

#[test]
fn a_viewer_submits_nothing_and_changes_nothing() {
    let site = Site::encrypted().set_up();
    Member::of(&site, "viewer").runs(async |mut viewer| {
        for subject in [
            "rwc.t.main.mid.job.0",
            "rwc.r.job.0",
            "rwc.c.job",
            "rwc.e.process.exec",
            "$KV.RWC_JOBS.job",
            "$O.RWC_MODULES.M.name",
            "$JS.API.STREAM.PURGE.RWC_TASKS",
            "$JS.API.STREAM.DELETE.RWC_TASKS",
            "$JS.API.CONSUMER.MSG.NEXT.RWC_TASKS.main-mid",
            "$JS.API.CONSUMER.CREATE.RWC_RESULTS",
            "$JS.API.DIRECT.GET.RWC_RESULTS.rwc.r.job.0",
        ] {
            viewer.may_not_publish(subject).await;
        }
        for subject in [
            ">",
            "rwc.>",
            "rwc.t.>",
            "rwc.n.job",
            "_INBOX_client.>",
            "_INBOX.>",
        ] {
            viewer.may_not_hear(subject).await;
        }
    });
    is_untouched(&site);
}

#[test]
fn an_engine_reads_nobody_elses_answers_and_submits_nothing() {
    let site = Site::encrypted().set_up();
    Member::of(&site, "engine").runs(async |mut engine| {
        for subject in [
            "_INBOX_client.>",
            "_INBOX_viewer.>",
            "_INBOX_admin.>",
            "_INBOX.>",
            ">",
            "rwc.r.>",
            "rwc.t.>",
        ] {
            engine.may_not_hear(subject).await;
        }
        for subject in [
            "rwc.t.main.mid.job.0",
            "rwc.c.job",
            "rwc.e.other.control",
            "_INBOX_client.answer",
            "$O.RWC_MODULES.M.name",
            "$O.RWC_MODULES.C.piece",
            "$KV.RWC_JOBS.job",
            "$KV.RWC_IDS.other",
            "$JS.API.STREAM.PURGE.RWC_TASKS",
            "$JS.API.STREAM.PURGE.OBJ_RWC_BLOBS",
            "$JS.API.STREAM.MSG.DELETE.RWC_RESULTS",
            "$JS.API.STREAM.DELETE.RWC_RESULTS",
            "$JS.API.CONSUMER.CREATE.RWC_TASKS",
            "$JS.API.CONSUMER.DELETE.RWC_TASKS.main-mid",
        ] {
            engine.may_not_publish(subject).await;
        }
    });
    is_untouched(&site);
}

#[test]
fn a_client_writes_no_results_takes_no_tasks_and_deletes_no_streams() {
    let site = Site::encrypted().set_up();
    Member::of(&site, "client").runs(async |mut client| {
        for subject in [
            "rwc.r.job.0",
            "rwc.n.job",
            "$JS.API.CONSUMER.MSG.NEXT.RWC_TASKS.main-mid",
            "$JS.API.CONSUMER.CREATE.RWC_TASKS",
            "$JS.API.CONSUMER.DURABLE.CREATE.RWC_TASKS.mine",
            "$JS.API.CONSUMER.DELETE.RWC_TASKS.main-mid",
            "$JS.API.STREAM.MSG.GET.RWC_TASKS",
            "$JS.API.STREAM.DELETE.RWC_TASKS",
            "$JS.API.STREAM.DELETE.KV_RWC_JOBS",
            "$JS.API.STREAM.UPDATE.RWC_RESULTS",
            "$JS.API.STREAM.CREATE.OTHER",
            "$KV.RWC_ENGINES.process",
            "$KV.RWC_IDS.engine",
        ] {
            client.may_not_publish(subject).await;
        }
        for subject in [
            ">",
            "rwc.t.>",
            "rwc.r.>",
            "rwc.e.>",
            "_INBOX_engine.>",
            "_INBOX.>",
        ] {
            client.may_not_hear(subject).await;
        }
    });
    is_untouched(&site);
}

/// Nothing that was refused has left anything behind.
fn is_untouched(site: &Site) {
    Member::of(site, "admin").runs(async |admin| {
        let mut names: Vec<String> = admin.js.stream_names().try_collect().await.expect("names");
        names.sort();
        let wanted = [
            "KV_RWC_ENGINES",
            "KV_RWC_IDS",
            "KV_RWC_JOBS",
            "OBJ_RWC_BLOBS",
            "OBJ_RWC_MODULES",
            "RWC_RESULTS",
            "RWC_TASKS",
        ];
        assert_eq!(names, wanted);
        for name in wanted {
            let stream = admin.js.get_stream(name).await.expect("it is there");
            // The list of keys that may give orders.
            let messages = u64::from(name == "KV_RWC_IDS");
            assert_eq!(stream.cached_info().state.messages, messages, "{name}");
            let consumers = if name == "RWC_TASKS" { 3 } else { 0 };
            assert_eq!(
                stream.cached_info().state.consumer_count,
                consumers,
                "{name}"
            );
        }
    });
}

/// The command says it too, whichever request the key was missing for.
#[test]
fn only_an_admin_sets_a_cluster_up() {
    let site = Site::encrypted();
    for role in ["engine", "client", "viewer"] {
        refused(
            site.init(role),
            13,
            &["this key may not create stream RWC_TASKS: use an admin key"],
        );
    }
    site.set_up();
}

/// Commands ask before they begin whether they may: none of them waits for what was refused.
#[test]
fn the_program_says_at_once_which_key_is_wanted() {
    let site = Site::encrypted().set_up();
    for role in ["viewer", "engine"] {
        refused(
            site.run(role),
            13,
            &[
                &format!("the server does not allow the {role} key to publish to `rwc.t.main."),
                "a key of role client may",
            ],
        );
    }
    for role in ["viewer", "client"] {
        refused(
            site.join(role),
            13,
            &[
                &format!("the server does not allow the {role} key to publish to `rwc.r."),
                "a key of role engine may",
            ],
        );
    }
    is_untouched(&site);
}

#[test]
fn a_key_that_says_another_role_than_it_has_gets_nothing_and_is_told() {
    let site = Site::encrypted().set_up();
    let text = std::fs::read_to_string(site.file("viewer.key")).expect("a key");
    let text = text.replace("role: viewer", "role: client");
    std::fs::write(site.file("viewer.key"), text).expect("written");
    refused(
        site.run("viewer"),
        13,
        &["the client key does not have the role that its file states, and receives no replies"],
    );
}

#[test]
fn jobs_run_with_the_keys_of_their_roles() {
    let site = Site::encrypted().set_up();
    let mut join = site.join("engine").into_command();
    let engine = join.stdin(Stdio::null()).spawn().expect("it starts");
    let counted = site.run("client").output();
    assert_eq!(counted, "dog\t2\ncat\t1\n");
    let id = site.run("client").typed("--detach --job-id later").output();
    assert_eq!(id, "later\n");
    let job = |order: &str| {
        let job = tool("job").typed(order).arg("--cluster");
        site.with_key(job.arg(site.url("127.0.0.1")), "client")
            .output()
    };
    assert_eq!(job("result later --follow"), counted);
    assert!(job("list").contains("later"));
    job("rm later");
    // It leaves by itself.
    let ended = wait(engine);
    assert!(ended.is_some_and(|status| status.success()));
    let log = site.server.log();
    assert!(!log.contains("Violation"), "{log}");
}

/// Nothing promises that a result is heard. One that is not is looked for: here the server lets none be heard.
#[test]
fn a_result_that_is_not_heard_is_found() {
    let dir = keys(&[]);
    let config = config(&dir, &[]);
    let (before, client) = config.split_once("\n      # client\n").expect("a user");
    let heard = "          \"rwc.r.*.*\"\n";
    assert!(client.contains(heard), "{client}");
    let config = format!(
        "{before}\n      # client\n{}",
        client.replacen(heard, "", 1)
    );
    let site = Site::configured(dir, &config).set_up();
    let mut join = site.join("engine").into_command();
    let engine = join.stdin(Stdio::null()).spawn().expect("it starts");
    let call = tool("call")
        .arg(guest("numbers"))
        .typed("add-one 1 --cluster");
    let call = call.arg(site.url("127.0.0.1"));
    assert_eq!(site.with_key(call, "client").output(), "2\n");
    assert!(wait(engine).is_some_and(|status| status.success()));
}

/// What a command may not look at it is said to be refused, and not to be missing.
#[test]
fn one_who_may_not_look_is_told_so() {
    let site = Site::encrypted().set_up();
    for command in ["status", "engine list"] {
        let mut words = command.split_whitespace();
        let look = tool(words.next().expect("a command")).args(words);
        let look = look.arg("--cluster").arg(site.url("127.0.0.1"));
        refused(
            site.with_key(look, "engine"),
            13,
            &[
                "the server does not allow the engine key to publish to `$JS.API.DIRECT.GET.KV_RWC_ENGINES",
                "viewer may",
            ],
        );
    }
}

#[test]
fn the_key_of_a_lane_submits_to_it_alone() {
    let dir = keys(&["--host", "localhost,127.0.0.1"]);
    let of_lane = "--role client --name web --lane web";
    tool("keys").typed(of_lane).in_dir(&dir).output();
    let site = Site::of(dir, &[]);
    let set_up = site.init("admin").typed("--max-bytes 100MiB --lane web");
    set_up.output();
    Member::of(&site, "client-web").runs(async |mut client| {
        for lane in ["main", "*", "web2"] {
            client
                .may_not_publish(&format!("rwc.t.{lane}.mid.job.0"))
                .await;
        }
        // Engines serve other lanes too, on whose account nobody else's tasks are.
        client.may_not_publish("rwc.e.P.exec").await;
        client.may_not_publish("rwc.e.P.control").await;
    });
    // Its tasks go there without an option.
    let join = site.join("engine").typed("--lane web").into_command();
    let mut engines = { join }.spawn().expect("it starts");
    site.run("client-web")
        .end()
        .expect_code(0)
        .expect_stdout("dog\t2\ncat\t1\n");
    engines.wait().expect("it ends");
    tool("keys")
        .typed("--role engine --lane web")
        .in_dir(&site.dir)
        .fails(2)
        .expect_stderr_has(&["only client keys", "--role client"]);
}
