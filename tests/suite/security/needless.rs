//! Every subject and request that a cluster knows, for each role: what its work does not need is refused.

use super::Site;
use super::member::Member;

const STREAMS: [&str; 7] = [
    "RWC_TASKS",
    "RWC_RESULTS",
    "KV_RWC_JOBS",
    "KV_RWC_ENGINES",
    "KV_RWC_IDS",
    "OBJ_RWC_MODULES",
    "OBJ_RWC_BLOBS",
];

/// Requests about a stream.
const OF_A_STREAM: [&str; 29] = [
    "STREAM.INFO.*",
    "STREAM.CREATE.*",
    "STREAM.UPDATE.*",
    "STREAM.DELETE.*",
    "STREAM.PURGE.*",
    "STREAM.MSG.GET.*",
    "STREAM.MSG.DELETE.*",
    "STREAM.SNAPSHOT.*",
    "STREAM.RESTORE.*",
    "STREAM.PEER.REMOVE.*",
    "STREAM.LEADER.STEPDOWN.*",
    "DIRECT.GET.*",
    "DIRECT.GET.*.a.subject",
    "CONSUMER.CREATE.*",
    "CONSUMER.CREATE.*.mine",
    "CONSUMER.CREATE.*.mine.a.filter",
    "CONSUMER.DURABLE.CREATE.*.mine",
    "CONSUMER.DELETE.*.main-mid",
    "CONSUMER.PAUSE.*.main-mid",
    "CONSUMER.RESET.*.main-mid",
    "CONSUMER.UNPIN.*.main-mid",
    "CONSUMER.LEADER.STEPDOWN.*.main-mid",
    "CONSUMER.INFO.*.main-mid",
    "CONSUMER.NAMES.*",
    "CONSUMER.LIST.*",
    "CONSUMER.MSG.NEXT.*.main-mid",
    "STREAM.TEMPLATE.CREATE.*",
    "STREAM.TEMPLATE.DELETE.*",
    "STREAM.TEMPLATE.INFO.*",
];

/// Requests about an account or its servers, and subjects of messages.
const OTHERS: [&str; 38] = [
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.CREATE.OTHER",
    "$JS.API.CONSUMER.CREATE.OTHER",
    "$JS.API.META.LEADER.STEPDOWN",
    "$JS.API.SERVER.REMOVE",
    "$JS.API.ACCOUNT.PURGE.RWASM",
    "$JS.API.ACCOUNT.STREAM.MOVE.RWASM.RWC_TASKS",
    "$JS.ACK.RWC_TASKS.main-mid.1.1.1.1.0",
    "$JS.ACK.hub.account.RWC_TASKS.main-mid.1.1.1.1.0.token",
    "$JS.ACK.RWC_RESULTS.mine.1.1.1.1.0",
    "$JS.FC.RWC_TASKS.mine.x",
    "$JS.FC.RWC_RESULTS.mine.x",
    "$JS.FC.OBJ_RWC_BLOBS.mine.x",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.RWASM.CONNZ",
    "$SRV.PING",
    "_INBOX.x",
    "_INBOX_admin.x",
    "_INBOX_engine.x",
    "_INBOX_client.x",
    "_INBOX_viewer.x",
    "rwc.t.main.mid.job.0",
    "rwc.r.job.0",
    "rwc.n.job",
    "rwc.c.job",
    "rwc.e.process.exec",
    "rwc.e.process.control",
    "rwc.other",
    "other",
    "$KV.RWC_JOBS.job",
    "$KV.RWC_ENGINES.process",
    "$KV.RWC_IDS.engine",
    "$KV.RWC_IDS.other",
    "$KV.OTHER.key",
    "$O.RWC_MODULES.M.name",
    "$O.RWC_BLOBS.C.place",
];

/// The subjects that a role's work needs, `*` for any one word.
const ENGINE: &[&str] = &[
    "$JS.API.STREAM.INFO.RWC_TASKS",
    "$JS.API.CONSUMER.INFO.RWC_TASKS.main-mid",
    "$JS.API.CONSUMER.MSG.NEXT.RWC_TASKS.main-mid",
    "$JS.ACK.RWC_TASKS.main-mid.1.1.1.1.0",
    "$JS.ACK.hub.account.RWC_TASKS.main-mid.1.1.1.1.0.token",
    "$JS.API.STREAM.INFO.KV_RWC_ENGINES",
    "$JS.API.STREAM.INFO.KV_RWC_IDS",
    "$JS.API.DIRECT.GET.KV_RWC_IDS.a.subject",
    "$JS.API.STREAM.INFO.OBJ_RWC_MODULES",
    "$JS.API.DIRECT.GET.OBJ_RWC_MODULES",
    "$JS.API.DIRECT.GET.OBJ_RWC_MODULES.a.subject",
    "$JS.API.STREAM.INFO.OBJ_RWC_BLOBS",
    "$JS.API.DIRECT.GET.OBJ_RWC_BLOBS",
    "$JS.API.DIRECT.GET.OBJ_RWC_BLOBS.a.subject",
    "rwc.r.job.0",
    "rwc.n.job",
    "$KV.RWC_ENGINES.process",
    "$KV.RWC_IDS.engine",
    "$O.RWC_BLOBS.C.place",
];
const CLIENT: &[&str] = &[
    "$JS.API.STREAM.INFO.RWC_TASKS",
    "$JS.API.STREAM.PURGE.RWC_TASKS",
    "$JS.API.CONSUMER.NAMES.RWC_TASKS",
    "$JS.API.CONSUMER.INFO.RWC_TASKS.main-mid",
    "$JS.API.STREAM.INFO.RWC_RESULTS",
    "$JS.API.STREAM.PURGE.RWC_RESULTS",
    "$JS.API.STREAM.MSG.GET.RWC_RESULTS",
    "$JS.API.DIRECT.GET.RWC_RESULTS",
    "$JS.API.DIRECT.GET.RWC_RESULTS.a.subject",
    "$JS.API.STREAM.INFO.KV_RWC_JOBS",
    "$JS.API.DIRECT.GET.KV_RWC_JOBS",
    "$JS.API.DIRECT.GET.KV_RWC_JOBS.a.subject",
    "$JS.API.STREAM.INFO.KV_RWC_ENGINES",
    "$JS.API.DIRECT.GET.KV_RWC_ENGINES",
    "$JS.API.DIRECT.GET.KV_RWC_ENGINES.a.subject",
    "$JS.API.STREAM.INFO.OBJ_RWC_MODULES",
    "$JS.API.DIRECT.GET.OBJ_RWC_MODULES",
    "$JS.API.DIRECT.GET.OBJ_RWC_MODULES.a.subject",
    "$JS.API.STREAM.INFO.OBJ_RWC_BLOBS",
    "$JS.API.STREAM.PURGE.OBJ_RWC_BLOBS",
    "$JS.API.DIRECT.GET.OBJ_RWC_BLOBS",
    "$JS.API.DIRECT.GET.OBJ_RWC_BLOBS.a.subject",
    "rwc.t.main.mid.job.0",
    "rwc.c.job",
    "rwc.e.process.exec",
    "rwc.e.process.control",
    "$KV.RWC_JOBS.job",
    "$O.RWC_MODULES.M.name",
    "$O.RWC_BLOBS.C.place",
];
const VIEWER: &[&str] = &[
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.CONSUMER.NAMES.RWC_TASKS",
    "$JS.API.CONSUMER.INFO.RWC_TASKS.main-mid",
    "$JS.API.DIRECT.GET.KV_RWC_JOBS",
    "$JS.API.DIRECT.GET.KV_RWC_JOBS.a.subject",
    "$JS.API.DIRECT.GET.KV_RWC_ENGINES",
    "$JS.API.DIRECT.GET.KV_RWC_ENGINES.a.subject",
];

/// What is heard: messages of others, and whatever the server tells.
const HEARD: [&str; 20] = [
    ">",
    "*.>",
    "rwc.>",
    "rwc.t.>",
    "rwc.r.>",
    "rwc.r.job.*",
    "rwc.n.job",
    "rwc.c.*",
    "rwc.e.>",
    "rwc.e.*.exec",
    "rwc.e.*.control",
    "_INBOX.>",
    "_INBOX_other.>",
    "$JS.API.>",
    "$JS.EVENT.ADVISORY.>",
    "$JS.ACK.>",
    "$SYS.>",
    "$KV.RWC_JOBS.job",
    "$KV.RWC_ENGINES.*",
    "$O.RWC_BLOBS.>",
];

#[test]
fn what_an_engine_does_not_need_is_refused() {
    refuses_the_rest(
        "engine",
        ENGINE,
        &["rwc.c.*", "rwc.e.*.exec", "rwc.e.*.control"],
    );
}

#[test]
fn what_a_client_does_not_need_is_refused() {
    let hears = [
        "rwc.r.job.*",
        "rwc.n.job",
        "$KV.RWC_JOBS.job",
        "$KV.RWC_ENGINES.*",
    ];
    refuses_the_rest("client", CLIENT, &hears);
}

#[test]
fn what_a_viewer_does_not_need_is_refused() {
    refuses_the_rest("viewer", VIEWER, &[]);
}

#[track_caller]
fn refuses_the_rest(role: &'static str, needed: &[&str], heard: &[&str]) {
    let site = Site::encrypted().set_up();
    let is_needed = |subject: &str| {
        needed.iter().any(|needed| {
            let start = needed.strip_suffix('*').unwrap_or(needed);
            subject == *needed || (start != *needed && subject.starts_with(start))
        })
    };
    let of_streams = STREAMS.iter().flat_map(|stream| {
        let request = move |request: &&str| format!("$JS.API.{}", request.replace('*', stream));
        OF_A_STREAM.iter().map(request)
    });
    let others = OTHERS.iter().map(|other| (*other).to_owned());
    let subjects: Vec<String> = of_streams.chain(others).collect();
    for needed in needed.iter().filter(|needed| !needed.ends_with('*')) {
        assert!(subjects.iter().any(|one| one == needed), "{needed}");
    }
    Member::of(&site, role).runs(async |mut member| {
        for subject in subjects.iter().filter(|subject| !is_needed(subject)) {
            member.may_not_publish(subject).await;
        }
        for subject in HEARD.iter().filter(|subject| !heard.contains(subject)) {
            member.may_not_hear(subject).await;
        }
    });
}
