//! What each role may do at the server, and that it may do no more.

use super::{AT_ONCE, Site, refused, tool};
use crate::support::wait;
use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::kv::Operation;
use async_nats::jetstream::{self, AckKind};
use async_nats::{Client, ConnectOptions, Event};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Somebody with a key of the cluster, who need not be our program.
pub(super) struct Member {
    url: String,
    role: &'static str,
    seed: String,
    ca: PathBuf,
}

/// The same, connected.
pub(super) struct Connected {
    pub(super) js: jetstream::Context,
    client: Client,
    role: &'static str,
    denials: UnboundedReceiver<String>,
}

impl Member {
    /// Whoever has the key of that name, which is of the role in front of the first `-`.
    pub(super) fn of(site: &Site, role: &'static str) -> Self {
        let text = std::fs::read_to_string(site.file(&format!("{role}.key"))).expect("a key");
        let seed = text.lines().last().expect("the seed is its last line");
        Self {
            url: site.url("127.0.0.1"),
            role,
            seed: seed.to_owned(),
            ca: site.file("ca.pem"),
        }
    }

    pub(super) fn runs(self, act: impl AsyncFnOnce(Connected)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime is built");
        runtime.block_on(async { act(self.connect().await).await });
    }

    async fn connect(self) -> Connected {
        let (tell, denials) = unbounded_channel();
        let mut options = ConnectOptions::with_nkey(self.seed)
            .custom_inbox_prefix(format!(
                "_INBOX_{}",
                self.role.split('-').next().unwrap_or_default()
            ))
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    // Whoever listened has seen enough.
                    let _ = tell.send(error.to_string());
                }
                std::future::ready(())
            });
        if self.ca.exists() {
            options = options.add_root_certificates(self.ca);
        }
        let client = options.connect(self.url).await.expect("its key is known");
        Connected {
            js: jetstream::new(client.clone()),
            client,
            role: self.role,
            denials,
        }
    }
}

impl Connected {
    /// Publishes to it, and expects that the server refuses that at once.
    async fn may_not_publish(&mut self, subject: &str) {
        let message = self.client.publish(subject.to_owned(), "{}".into());
        message.await.expect("it is sent");
        self.is_denied(&format!(
            "Permissions Violation for Publish to \"{subject}\""
        ))
        .await;
    }

    /// Subscribes to it, and expects that the server refuses that at once.
    async fn may_not_hear(&mut self, subject: &str) {
        let heard = self
            .client
            .subscribe(subject.to_owned())
            .await
            .expect("it is sent");
        self.is_denied(&format!(
            "Permissions Violation for Subscription to \"{subject}\""
        ))
        .await;
        drop(heard);
    }

    async fn is_denied(&mut self, wanted: &str) {
        self.client.flush().await.expect("it goes to the server");
        let before = Instant::now();
        let told = tokio::time::timeout(AT_ONCE, self.denials.recv()).await;
        let told = told.unwrap_or_else(|_| panic!("{}: no word of: {wanted}", self.role));
        let told = told.expect("the connection stands");
        assert!(told.contains(wanted), "{}: {told}, not {wanted}", self.role);
        assert!(before.elapsed() < AT_ONCE);
    }

    /// Expects that nothing it did was refused: what it may not is the first that it hears of.
    async fn was_permitted_everything(&mut self) {
        self.may_not_publish("$JS.API.STREAM.DELETE.RWC_TASKS")
            .await;
    }

    /// Expects that the server ends the connection, and takes no other.
    pub(super) async fn is_cut_off(&self) {
        const A_MOMENT: Duration = Duration::from_millis(20);
        let ended = async {
            while self.client.connection_state() == State::Connected {
                // What is asked of a connection that has ended is not answered.
                let _ = tokio::time::timeout(A_MOMENT, self.client.flush()).await;
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(AT_ONCE, ended).await;
        ended.expect("it is cut off");
    }

    /// Waits until the server has seen what was sent so far.
    async fn is_heard(&self) {
        let answer = self.js.get_stream("RWC_TASKS").await;
        answer.expect("every role may see that");
    }
}

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
            assert_eq!(stream.cached_info().state.messages, 0, "{name}");
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

#[test]
fn every_role_may_do_its_work() {
    let site = Site::encrypted().set_up();
    let (client, engine, viewer) = (
        Member::of(&site, "client"),
        Member::of(&site, "engine"),
        Member::of(&site, "viewer"),
    );
    client.runs(async |mut client| {
        let mut engine = engine.connect().await;
        let mut viewer = viewer.connect().await;
        soon("joining", joins(&engine)).await;
        soon("submitting", submits(&client)).await;
        let mut notes = client
            .client
            .subscribe("rwc.n.job")
            .await
            .expect("it may hear");
        client.is_heard().await;
        Box::pin(soon("working", works(&engine))).await;
        let note = tokio::time::timeout(AT_ONCE, notes.next()).await;
        assert!(note.expect("it is heard").is_some());
        Box::pin(soon("collecting", collects(&client))).await;
        soon("asking", is_asked(&client, &engine)).await;
        soon("looking on", looks_on(&viewer)).await;
        soon("cleaning up", cleans_up(&client)).await;
        let leaves = engine
            .js
            .get_key_value("RWC_ENGINES")
            .await
            .expect("it is there");
        leaves.delete("process").await.expect("it leaves");
        for member in [&mut client, &mut engine, &mut viewer] {
            member.was_permitted_everything().await;
        }
    });
}

/// What waits for a permission that is missing waits for long.
async fn soon(what: &str, act: impl Future<Output = ()>) {
    const LONG: Duration = Duration::from_secs(30);
    let ended = tokio::time::timeout(LONG, act).await;
    ended.unwrap_or_else(|_| panic!("{what} does not come to an end"));
}

/// An engine says that it is there, under an id that nobody had.
async fn joins(engine: &Connected) {
    let ids = engine
        .js
        .get_key_value("RWC_IDS")
        .await
        .expect("the bucket");
    for next in 1..3 {
        let entry = ids.entry("engine").await.expect("it may look");
        let revision = entry.map_or(0, |entry| entry.revision);
        let value = Bytes::from(next.to_string());
        ids.update("engine", value, revision)
            .await
            .expect("it takes one");
    }
    let present = engine
        .js
        .get_key_value("RWC_ENGINES")
        .await
        .expect("the bucket");
    for _ in 0..2 {
        present
            .put("process", "{}".into())
            .await
            .expect("it is there");
    }
}

/// A client stores a module, an input, the record of a job and its task.
async fn submits(client: &Connected) {
    for (bucket, name) in [("RWC_MODULES", "hash"), ("RWC_BLOBS", "job/i/0")] {
        let store = client.js.get_object_store(bucket).await.expect("the store");
        assert!(store.info(name).await.is_err(), "there is none so far");
        let bytes = vec![7; 3_000_000];
        let mut bytes: &[u8] = &bytes;
        store.put(name, &mut bytes).await.expect("it is stored");
        store.info(name).await.expect("it is there");
    }
    let jobs = client
        .js
        .get_key_value("RWC_JOBS")
        .await
        .expect("the bucket");
    let revision = jobs
        .create("job", "submitting".into())
        .await
        .expect("it is new");
    client
        .js
        .publish("rwc.t.main.mid.job.0", "a task".into())
        .await
        .expect("it is sent")
        .await
        .expect("it is stored");
    jobs.update("job", "queued".into(), revision)
        .await
        .expect("it is changed");
    let queue: PullConsumer = client
        .js
        .get_consumer_from_stream("main-mid", "RWC_TASKS")
        .await
        .expect("it may see what waits");
    assert_eq!(queue.cached_info().num_pending, 1);
}

/// An engine takes a task, keeps it, gives it back, takes it again, stores its result and acknowledges it.
async fn works(engine: &Connected) {
    let mut cancelled = engine
        .client
        .subscribe("rwc.c.*")
        .await
        .expect("it may hear");
    let queue: PullConsumer = engine
        .js
        .get_consumer_from_stream("main-mid", "RWC_TASKS")
        .await
        .expect("it may take tasks");
    let next = async || {
        let mut batch = queue
            .fetch()
            .max_messages(1)
            .expires(AT_ONCE)
            .messages()
            .await
            .expect("it asks");
        batch
            .next()
            .await
            .expect("there is one")
            .expect("it is one")
    };
    let task = next().await;
    task.ack_with(AckKind::Progress).await.expect("it keeps it");
    task.ack_with(AckKind::Nak(None))
        .await
        .expect("it gives it back");
    let task = next().await;
    assert_eq!(task.info().expect("it is a task").delivered, 2);
    for (bucket, name) in [("RWC_MODULES", "hash"), ("RWC_BLOBS", "job/i/0")] {
        let store = engine.js.get_object_store(bucket).await.expect("the store");
        let mut bytes = Vec::new();
        let mut object = store.get(name).await.expect("it is there");
        object.read_to_end(&mut bytes).await.expect("it is fetched");
        assert_eq!(bytes.len(), 3_000_000);
    }
    let blobs = engine
        .js
        .get_object_store("RWC_BLOBS")
        .await
        .expect("the store");
    let bytes = vec![8; 2_000_000];
    let mut bytes: &[u8] = &bytes;
    blobs
        .put("job/o/0", &mut bytes)
        .await
        .expect("it is stored");
    engine
        .client
        .publish("rwc.n.job", "half done".into())
        .await
        .expect("it is sent");
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
    let stored = engine
        .js
        .publish_with_headers("rwc.r.job.0", headers, "a result".into());
    stored
        .await
        .expect("it is sent")
        .await
        .expect("it is stored");
    task.double_ack().await.expect("it is done");
    cancelled.unsubscribe().await.expect("it hears no more");
}

/// A client reads the results in order and by name, and a large one.
async fn collects(client: &Connected) {
    let results = client
        .js
        .get_stream("RWC_RESULTS")
        .await
        .expect("the stream");
    let consumer = results
        .create_consumer(pull::OrderedConfig {
            filter_subject: "rwc.r.job.*".to_owned(),
            ..pull::OrderedConfig::default()
        })
        .await
        .expect("it reads");
    let mut messages = consumer.messages().await.expect("it reads");
    let first = tokio::time::timeout(AT_ONCE, messages.next())
        .await
        .expect("it comes");
    assert_eq!(
        first.expect("there is one").expect("it is one").payload,
        "a result"
    );
    drop(messages);
    let named = results
        .create_consumer(pull::Config {
            name: Some("reader".to_owned()),
            filter_subject: "rwc.r.job.*".to_owned(),
            ack_policy: AckPolicy::None,
            inactive_threshold: Duration::from_secs(30),
            ..pull::Config::default()
        })
        .await
        .expect("it reads");
    let mut batch = named
        .fetch()
        .max_messages(1)
        .messages()
        .await
        .expect("it reads");
    assert!(batch.next().await.is_some());
    results
        .delete_consumer("reader")
        .await
        .expect("it has read");
    let one = results
        .direct_get_last_for_subject("rwc.r.job.0")
        .await
        .expect("it is there");
    assert_eq!(one.payload, "a result");
    results.direct_get(one.sequence).await.expect("it is there");
    let blobs = client
        .js
        .get_object_store("RWC_BLOBS")
        .await
        .expect("the store");
    let mut bytes = Vec::new();
    let mut object = blobs.get("job/o/0").await.expect("it is there");
    object.read_to_end(&mut bytes).await.expect("it is fetched");
    assert_eq!(bytes.len(), 2_000_000);
}

/// A client finds an engine and asks it, and it answers; an engine that is not there is no time-out.
async fn is_asked(client: &Connected, engine: &Connected) {
    let engines = client
        .js
        .get_key_value("RWC_ENGINES")
        .await
        .expect("the bucket");
    let keys: Vec<String> = engines
        .keys()
        .await
        .expect("it may look")
        .try_collect()
        .await
        .expect("keys");
    assert_eq!(keys, ["process"]);
    let mut changes = engines.watch_with_history(">").await.expect("it may watch");
    let first = tokio::time::timeout(AT_ONCE, changes.next())
        .await
        .expect("it comes");
    assert_eq!(
        first.expect("there is one").expect("it is one").operation,
        Operation::Put
    );
    for order in ["exec", "control"] {
        let subject = format!("rwc.e.process.{order}");
        let mut orders = engine
            .client
            .subscribe(subject.clone())
            .await
            .expect("it may hear");
        engine.is_heard().await;
        let answers = async {
            let asked = orders.next().await.expect("it is asked");
            let reply = asked.reply.expect("an answer is wanted");
            engine
                .client
                .publish(reply, "accepted".into())
                .await
                .expect("it answers");
        };
        let asks = client.client.request(subject, "please".into());
        let (answer, ()) = tokio::join!(asks, answers);
        assert_eq!(answer.expect("it is answered").payload, "accepted");
    }
    let absent = client
        .client
        .request("rwc.e.absent.exec", "please".into())
        .await;
    let error = absent.expect_err("nobody is there");
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
}

async fn looks_on(viewer: &Connected) {
    viewer.js.query_account().await.expect("it may look");
    for stream in ["RWC_TASKS", "RWC_RESULTS", "OBJ_RWC_BLOBS"] {
        viewer.js.get_stream(stream).await.expect("it may look");
    }
    let queue = viewer
        .js
        .get_consumer_from_stream::<pull::Config, _, _>("main-mid", "RWC_TASKS")
        .await;
    queue.expect("it may look");
    let jobs = viewer
        .js
        .get_key_value("RWC_JOBS")
        .await
        .expect("the bucket");
    let record = jobs.get("job").await.expect("it may read");
    assert_eq!(record.expect("there is one"), "queued");
    let engines = viewer
        .js
        .get_key_value("RWC_ENGINES")
        .await
        .expect("the bucket");
    let keys: Vec<String> = engines
        .keys()
        .await
        .expect("it may look")
        .try_collect()
        .await
        .expect("keys");
    assert_eq!(keys, ["process"]);
}

/// A client cancels a job and removes what is left of it.
async fn cleans_up(client: &Connected) {
    client
        .client
        .publish("rwc.c.job", "".into())
        .await
        .expect("it is sent");
    for (stream, filter) in [
        ("RWC_TASKS", "rwc.t.*.*.job.*"),
        ("RWC_RESULTS", "rwc.r.job.*"),
    ] {
        let stream = client
            .js
            .get_stream_no_info(stream)
            .await
            .expect("the stream");
        stream
            .purge()
            .filter(filter)
            .await
            .expect("it removes them");
    }
    let blobs = client
        .js
        .get_object_store("RWC_BLOBS")
        .await
        .expect("the store");
    for name in ["job/i/0", "job/o/0"] {
        blobs.delete(name).await.expect("it is removed");
    }
    let jobs = client
        .js
        .get_key_value("RWC_JOBS")
        .await
        .expect("the bucket");
    jobs.delete("job").await.expect("it is removed");
    jobs.purge("job").await.expect("it is removed");
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
                "the server does not allow the engine key to publish to `$JS.API.CONSUMER.CREATE.KV_RWC_ENGINES",
                "viewer may",
            ],
        );
    }
}
