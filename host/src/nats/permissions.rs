//! What each role may do on the server, and why: the one table from which the server's configuration is written, and
//! which `docs/src/reference/roles.md` shows.
//!
//! A role may do what its lines say and nothing else. Whatever subjects cannot tell apart (the results of two jobs,
//! the jobs of two users), permissions cannot either: that is what accounts are for.

use super::names::{self, kv_stream, object_stream};
use super::role::Role;

/// A task of any lane, class and job.
const ANY_TASK: &str = "rwc.t.*.*.*.*";
/// A result of any job.
const ANY_RESULT: &str = "rwc.r.*.*";
/// Notes of any job's tasks.
const ANY_NOTE: &str = "rwc.n.*";
/// An order to run something, to any process with engines.
const ANY_EXECUTE: &str = "rwc.e.*.exec";
/// An order to remove or restart an engine, to any process with engines.
const ANY_CONTROL: &str = "rwc.e.*.control";

/// Something that a role may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Permission {
    /// A description for people.
    pub(crate) what: &'static str,
    /// Subjects that it may publish to for that.
    pub(crate) publish: Vec<String>,
    /// Subjects that it may subscribe to for that.
    pub(crate) subscribe: Vec<String>,
}

/// The permissions of a role; `None` if it may do everything within its account.
pub(crate) fn of(role: Role) -> Option<Vec<Permission>> {
    let lines = match role {
        Role::Admin => return None,
        Role::Engine => engine(),
        Role::Client => client(),
        Role::Viewer => viewer(),
    };
    let answers = may("get the answers to what it asks").hear([format!("{}.>", role.inbox())]);
    Some([answers].into_iter().chain(lines).collect())
}

/// The permissions of a key of that role: of one for a lane, with tasks of that lane alone, and without orders to engines,
/// which serve other lanes too.
pub(crate) fn of_key(role: Role, lane: Option<&str>) -> Option<Vec<Permission>> {
    let mut lines = of(role)?;
    if let Some(lane) = lane {
        for line in &mut lines {
            let is_order = |subject: &String| subject == ANY_EXECUTE || subject == ANY_CONTROL;
            if role == Role::Client {
                line.publish.retain(|subject| !is_order(subject));
            }
        }
        lines.retain(|line| !(line.publish.is_empty() && line.subscribe.is_empty()));
        let subjects = lines.iter_mut().flat_map(|line| &mut line.publish);
        for subject in subjects.filter(|subject| *subject == ANY_TASK) {
            *subject = names::tasks_of_lane(lane);
        }
    }
    Some(lines)
}

/// Whether a role may subscribe or publish to a subject.
pub(crate) fn permits(role: Role, subject: &str, is_heard: bool) -> bool {
    let Some(lines) = of(role) else {
        return true;
    };
    let mut subjects = lines.iter().flat_map(|line| {
        if is_heard {
            &line.subscribe
        } else {
            &line.publish
        }
    });
    subjects.any(|pattern| covers(pattern, subject))
}

/// Whether a subject with wildcards covers another, which may have wildcards too.
fn covers(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(token)) if token != ">" => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Whether a role may reply to requests, to whichever subject they name.
pub(crate) fn answers(role: Role) -> bool {
    role == Role::Engine
}

fn engine() -> Vec<Permission> {
    vec![
        may("see that the cluster is set up").publish([info(names::TASKS)]),
        may("take tasks, keep them, give them back and acknowledge them")
            .publish(pull(names::TASKS))
            .publish(acknowledge(names::TASKS)),
        may("store results").publish([ANY_RESULT.to_owned()]),
        may("hear orders for its own engines, and answer them")
            .hear([ANY_EXECUTE.to_owned(), ANY_CONTROL.to_owned()]),
        may("hear that a job is cancelled").hear([names::ALL_CANCELLED.to_owned()]),
        may("pass on what running tasks tell").publish([ANY_NOTE.to_owned()]),
        may("say that it is there, and that it leaves")
            .publish([info(&kv_stream(names::ENGINES)), key(names::ENGINES, "*")]),
        may("take the next engine ids, and read which keys may give orders")
            .publish(look(&kv_stream(names::IDS)))
            .publish([key(names::IDS, names::NEXT_ENGINE)]),
        may("fetch modules").publish(read(&object_stream(names::MODULES))),
        may("fetch and store large values")
            .publish(read(&object_stream(names::BLOBS)))
            .publish([object(names::BLOBS)]),
    ]
}

fn client() -> Vec<Permission> {
    vec![
        may("see that the cluster is set up, its lanes and how much waits").publish([
            info(names::TASKS),
            consumer_names(names::TASKS),
            consumer_info(names::TASKS),
        ]),
        may("submit tasks, and take its own back")
            .publish([ANY_TASK.to_owned(), purge(names::TASKS)]),
        may("give orders to engines").publish([ANY_EXECUTE.to_owned(), ANY_CONTROL.to_owned()]),
        may("cancel jobs").publish([names::ALL_CANCELLED.to_owned()]),
        may("hear results, read them, and remove them")
            .hear([ANY_RESULT.to_owned()])
            .publish(read(names::RESULTS))
            .publish([names::read_of_leader(names::RESULTS), purge(names::RESULTS)]),
        may("hear what running tasks tell").hear([ANY_NOTE.to_owned()]),
        may("keep, read and remove the records of jobs")
            .hear([key(names::JOBS, "*")])
            .publish(read(&kv_stream(names::JOBS)))
            .publish([key(names::JOBS, "*")]),
        may("see the engines")
            .hear([key(names::ENGINES, "*")])
            .publish(read(&kv_stream(names::ENGINES))),
        may("store and fetch modules")
            .publish(read(&object_stream(names::MODULES)))
            .publish([object(names::MODULES)]),
        may("store, fetch and remove large values")
            .publish(read(&object_stream(names::BLOBS)))
            .publish([object(names::BLOBS), purge(&object_stream(names::BLOBS))]),
    ]
}

fn viewer() -> Vec<Permission> {
    vec![
        may("see how much is stored").publish(["$JS.API.INFO".to_owned(), info("*")]),
        may("see the lanes and how much waits")
            .publish([consumer_names(names::TASKS), consumer_info(names::TASKS)]),
        may("see the records of jobs").publish(read(&kv_stream(names::JOBS))),
        may("see the engines").publish(read(&kv_stream(names::ENGINES))),
    ]
}

fn may(what: &'static str) -> Permission {
    Permission {
        what,
        publish: Vec::new(),
        subscribe: Vec::new(),
    }
}

impl Permission {
    fn publish(mut self, subjects: impl IntoIterator<Item = String>) -> Self {
        self.publish.extend(subjects);
        self
    }

    fn hear(mut self, subjects: impl IntoIterator<Item = String>) -> Self {
        self.subscribe.extend(subjects);
        self
    }
}

/// Putting, changing and deleting a key.
fn key(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

/// Putting objects.
fn object(bucket: &str) -> String {
    format!("$O.{bucket}.>")
}

fn info(stream: &str) -> String {
    format!("$JS.API.STREAM.INFO.{stream}")
}

fn consumer_info(stream: &str) -> String {
    format!("$JS.API.CONSUMER.INFO.{stream}.*")
}

fn consumer_names(stream: &str) -> String {
    format!("$JS.API.CONSUMER.NAMES.{stream}")
}

/// Removing messages; which ones is in the request and not in the subject.
fn purge(stream: &str) -> String {
    format!("$JS.API.STREAM.PURGE.{stream}")
}

/// Taking messages from existing consumers.
fn pull(stream: &str) -> [String; 2] {
    [
        consumer_info(stream),
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
    ]
}

/// Acknowledging in both formats of servers: newer ones put the domain and the account in front.
fn acknowledge(stream: &str) -> [String; 2] {
    [
        format!("$JS.ACK.{stream}.>"),
        format!("$JS.ACK.*.*.{stream}.>"),
    ]
}

/// Reading single messages, keys or the descriptions of objects.
fn look(stream: &str) -> [String; 2] {
    [info(stream), format!("$JS.API.DIRECT.GET.{stream}.>")]
}

/// Reading many messages by one request as well, which says which ones. No role but admin creates, changes or deletes
/// consumers: a server has room for few, and one may deliver what it reads to any subject.
fn read(stream: &str) -> Vec<String> {
    let mut subjects = look(stream).to_vec();
    subjects.push(format!("$JS.API.DIRECT.GET.{stream}"));
    subjects
}

#[cfg(test)]
mod tests {
    use super::super::names::Class;
    use super::*;

    fn publishes(role: Role, subject: &str) -> bool {
        permits(role, subject, false)
    }

    fn hears(role: Role, subject: &str) -> bool {
        permits(role, subject, true)
    }

    #[test]
    fn each_may_what_its_work_wants_and_no_more() {
        use Role::{Client, Engine};
        let task = names::task("gpu", Class::High, "job", "7");
        let result = names::result("job", "7");
        let who = |subject: &str| -> Vec<Role> {
            let roles = [Engine, Client, Role::Viewer].into_iter();
            roles.filter(|role| publishes(*role, subject)).collect()
        };
        assert_eq!(who(&task), [Client]);
        assert_eq!(who(&result), [Engine]);
        assert_eq!(who(&names::notes("job")), [Engine]);
        assert_eq!(who(&names::cancelled("job")), [Client]);
        assert_eq!(who(&names::execute("p")), [Client]);
        assert_eq!(who(&names::control("p")), [Client]);
        assert_eq!(who("$KV.RWC_JOBS.job"), [Client]);
        assert_eq!(who("$KV.RWC_ENGINES.p"), [Engine]);
        assert_eq!(who("$KV.RWC_IDS.engine"), [Engine]);
        assert_eq!(who("$O.RWC_MODULES.M.x"), [Client]);
        assert_eq!(who("$O.RWC_BLOBS.C.x"), [Engine, Client]);
        assert_eq!(
            who("$JS.API.CONSUMER.MSG.NEXT.RWC_TASKS.main-mid"),
            [Engine]
        );
        assert_eq!(who("$JS.API.STREAM.PURGE.RWC_TASKS"), [Client]);
        let everyone = [Engine, Client, Role::Viewer];
        assert_eq!(who("$JS.API.STREAM.INFO.RWC_TASKS"), everyone);
        for nobody in [
            "$JS.API.STREAM.DELETE.RWC_TASKS",
            "$JS.API.STREAM.UPDATE.RWC_TASKS",
            "$JS.API.STREAM.CREATE.RWC_OTHER",
            "$JS.API.CONSUMER.CREATE.RWC_TASKS",
            "$JS.API.CONSUMER.CREATE.RWC_TASKS.x.rwc.t.main.mid.>",
            "$JS.API.CONSUMER.DURABLE.CREATE.RWC_TASKS.x",
            "$JS.API.CONSUMER.DELETE.RWC_TASKS.main-mid",
            "$JS.API.CONSUMER.CREATE.OBJ_RWC_BLOBS",
            "$JS.API.CONSUMER.CREATE.KV_RWC_ENGINES.x.$KV.RWC_ENGINES.>",
            "$JS.API.CONSUMER.CREATE.RWC_RESULTS.x",
            "$JS.API.CONSUMER.DELETE.RWC_RESULTS.x",
            "$JS.API.CONSUMER.MSG.NEXT.RWC_RESULTS.x",
            "$JS.API.CONSUMER.PAUSE.RWC_TASKS.main-mid",
            "$JS.API.STREAM.MSG.GET.RWC_TASKS",
            "$JS.API.STREAM.MSG.DELETE.RWC_RESULTS",
            "$JS.API.STREAM.PURGE.KV_RWC_JOBS",
            "$JS.API.STREAM.PURGE.OBJ_RWC_MODULES",
            "$KV.RWC_IDS.other",
            "$SYS.REQ.SERVER.PING",
            "_INBOX_client.x",
        ] {
            assert_eq!(who(nobody), [], "{nobody}");
        }
    }

    #[test]
    fn nobody_hears_what_is_sent_to_another_role() {
        for role in [Role::Engine, Role::Client, Role::Viewer] {
            for other in Role::ALL {
                let inbox = format!("{}.AbC.1", other.inbox());
                assert_eq!(hears(role, &inbox), role == other, "{role} {other}");
            }
            for subject in [
                ">",
                "_INBOX.>",
                "rwc.>",
                "rwc.r.>",
                "rwc.t.main.mid.job.1",
                "$JS.EVENT.ADVISORY.x",
            ] {
                assert!(!hears(role, subject), "{role} {subject}");
            }
        }
        assert!(hears(Role::Client, &names::notes("job")));
        for role in [Role::Engine, Role::Viewer] {
            assert!(!hears(role, &names::result("job", "1")), "{role}");
        }
        assert!(hears(Role::Engine, &names::cancelled("job")));
    }
}
