//! The names of a cluster's streams, buckets, consumers and subjects on a NATS server.
//!
//! Their number is constant: there is none per engine or job. Clusters that share a server have an account each,
//! which keeps equal names apart. The permissions in `server_config` are written in terms of these names.

/// Waiting and running tasks: `rwc.t.<lane>.<class>.<job>.<number>`. A work queue: acknowledged messages are gone.
pub(crate) const TASKS: &str = "RWC_TASKS";
pub(crate) const TASK_SUBJECTS: &str = "rwc.t.>";

/// Results, each written once: `rwc.r.<job>.<number>`.
pub(crate) const RESULTS: &str = "RWC_RESULTS";
pub(crate) const RESULT_SUBJECTS: &str = "rwc.r.>";

/// Key-value bucket: the record of each durable job, by its id.
pub(crate) const JOBS: &str = "RWC_JOBS";

/// Key-value bucket: the present processes with engines, by their id. Entries expire.
pub(crate) const ENGINES: &str = "RWC_ENGINES";

/// Key-value bucket: the next unused engine id.
pub(crate) const IDS: &str = "RWC_IDS";
pub(crate) const NEXT_ENGINE: &str = "engine";

/// In the same bucket: the keys that may give orders to engines, signed by an admin key.
pub(crate) const KEYS: &str = "keys";

/// Object bucket: modules, by their hash.
pub(crate) const MODULES: &str = "RWC_MODULES";

/// Object bucket: inputs, results and pushed values that are too large for a message.
pub(crate) const BLOBS: &str = "RWC_BLOBS";

/// The stream behind a key-value bucket, and behind an object bucket.
/// A request that the server answers whoever is connected as an engine.
pub(crate) fn something_to_ask() -> String {
    format!("$JS.API.STREAM.INFO.{}", kv_stream(ENGINES))
}

pub(crate) fn kv_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}
pub(crate) fn object_stream(bucket: &str) -> String {
    format!("OBJ_{bucket}")
}

/// The subject on which the leader of a stream is asked for a message, which no other server that has it may answer.
pub(crate) fn read_of_leader(stream: &str) -> String {
    format!("$JS.API.STREAM.MSG.GET.{stream}")
}

/// The lane of tasks that name none.
pub(crate) const MAIN_LANE: &str = "main";

/// The precedence of tasks within a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    High,
    Middle,
    Low,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::High, Self::Middle, Self::Low];

    /// The class of a priority: above 0, 0, or below.
    pub(crate) fn of(priority: i32) -> Self {
        match priority {
            1.. => Self::High,
            0 => Self::Middle,
            _ => Self::Low,
        }
    }

    pub(crate) fn token(self) -> &'static str {
        match self {
            Self::High => "hi",
            Self::Middle => "mid",
            Self::Low => "lo",
        }
    }
}

/// The durable consumer for the tasks of one class of a lane.
pub(crate) fn consumer(lane: &str, class: Class) -> String {
    format!("{lane}-{}", class.token())
}

/// All tasks of a class of a lane.
pub(crate) fn tasks_of(lane: &str, class: Class) -> String {
    format!("rwc.t.{lane}.{}.>", class.token())
}

/// One task message.
pub(crate) fn task(lane: &str, class: Class, job: &str, number: &str) -> String {
    format!("rwc.t.{lane}.{}.{job}.{number}", class.token())
}

/// All task messages of a lane.
pub(crate) fn tasks_of_lane(lane: &str) -> String {
    format!("rwc.t.{lane}.*.*.*")
}

/// All task messages of a job, in any lane.
pub(crate) fn tasks_of_job(job: &str) -> String {
    format!("rwc.t.*.*.{job}.*")
}

/// The result of one task message.
pub(crate) fn result(job: &str, number: &str) -> String {
    format!("rwc.r.{job}.{number}")
}

/// All results of a job.
pub(crate) fn results_of_job(job: &str) -> String {
    format!("rwc.r.{job}.*")
}

/// The name of a durable job in messages, results and objects: its id, and the mark of its submission, so that
/// nothing of a removed job reaches a later one of the same id. No id contains the separator.
pub(crate) fn submission(job: &str, mark: &str) -> String {
    format!("{job}={mark}")
}

/// Whether `text` can be the name of a session or of a durable job in messages.
pub(crate) fn is_job(text: &str) -> bool {
    text.splitn(2, '=').all(is_token)
}

/// The id of the job with this name in messages.
pub(crate) fn id_of(job: &str) -> &str {
    job.split('=').next().unwrap_or(job)
}

/// Where a process with engines takes tasks for one of its engines, and answers at once whether it accepts them.
pub(crate) fn execute(process: &str) -> String {
    format!("rwc.e.{process}.exec")
}

/// Where it takes requests to remove or restart an engine.
pub(crate) fn control(process: &str) -> String {
    format!("rwc.e.{process}.control")
}

/// Headers of a result: the number of outcomes, and of failures among them.
pub(crate) const COUNT: &str = "Rwc-Count";
pub(crate) const FAILURES: &str = "Rwc-Failures";

/// Sent to everyone with engines: tasks of the job are no longer wanted.
pub(crate) fn cancelled(job: &str) -> String {
    format!("rwc.c.{job}")
}
pub(crate) const ALL_CANCELLED: &str = "rwc.c.*";

/// Notes of the job's running tasks, for whoever listens. Notes that nobody takes in time are lost.
pub(crate) fn notes(job: &str) -> String {
    format!("rwc.n.{job}")
}

/// Whether `text` can be a token of a subject that we build: a lane, a job's id, an engine's label.
pub(crate) use rwasm_value::ids::is_name as is_token;
