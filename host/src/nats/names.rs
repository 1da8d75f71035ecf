//! The names of what a cluster has on a NATS server: streams, buckets, consumers and subjects.
//!
//! Their number is constant: none is made for an engine or a job. Clusters that share a server have an account each, which
//! keeps equal names apart. The permissions in `server_config` are written in terms of these.

/// Tasks that wait or run: `rwc.t.<lane>.<class>.<job>.<number>`. A work queue: what is acknowledged is gone.
pub(crate) const TASKS: &str = "RWC_TASKS";
pub(crate) const TASK_SUBJECTS: &str = "rwc.t.>";

/// Results, each written once: `rwc.r.<job>.<number>`.
pub(crate) const RESULTS: &str = "RWC_RESULTS";
pub(crate) const RESULT_SUBJECTS: &str = "rwc.r.>";

/// Key-value bucket: what is known of each durable job, by its id.
pub(crate) const JOBS: &str = "RWC_JOBS";

/// Key-value bucket: the processes with engines that are there, by their id. Entries expire.
pub(crate) const ENGINES: &str = "RWC_ENGINES";

/// Key-value bucket: the next engine id, which nobody had.
pub(crate) const IDS: &str = "RWC_IDS";
pub(crate) const NEXT_ENGINE: &str = "engine";

/// Object bucket: modules, by their hash.
pub(crate) const MODULES: &str = "RWC_MODULES";

/// Object bucket: inputs, results and pushed values that are too large for a message.
pub(crate) const BLOBS: &str = "RWC_BLOBS";

/// The stream behind a key-value bucket, and behind an object bucket.
pub(crate) fn kv_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}
pub(crate) fn object_stream(bucket: &str) -> String {
    format!("OBJ_{bucket}")
}

/// Where one who reads a stream asks for a consumer of its own.
pub(crate) fn new_reader(stream: &str) -> String {
    format!("$JS.API.CONSUMER.CREATE.{stream}")
}

/// The lane of tasks that name none.
pub(crate) const MAIN_LANE: &str = "main";

/// What goes first within a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    High,
    Middle,
    Low,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::High, Self::Middle, Self::Low];

    /// The class of a job's priority: above 0, 0, below.
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

/// The durable consumer of the tasks of a class of a lane.
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

/// All task messages of a job, in whichever lane.
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

/// What a durable job is called in messages, results and objects: its id, and a mark that its submission has for itself, so
/// that nothing of a job that was removed reaches a later one of the same id. No id has the sign between them.
pub(crate) fn submission(job: &str, mark: &str) -> String {
    format!("{job}={mark}")
}

/// The id of the job that is called so in messages.
pub(crate) fn id_of(job: &str) -> &str {
    job.split('=').next().unwrap_or(job)
}

/// Where a process with engines takes tasks for one of its engines, and answers at once whether it does.
pub(crate) fn execute(process: &str) -> String {
    format!("rwc.e.{process}.exec")
}

/// Where it is asked to let an engine go or to restart it.
pub(crate) fn control(process: &str) -> String {
    format!("rwc.e.{process}.control")
}

/// Headers of a result: how many outcomes it has, and how many of them are failures.
pub(crate) const COUNT: &str = "Rwc-Count";
pub(crate) const FAILURES: &str = "Rwc-Failures";

/// Told to everyone with engines: tasks of the job are not wanted any more.
pub(crate) fn cancelled(job: &str) -> String {
    format!("rwc.c.{job}")
}
pub(crate) const ALL_CANCELLED: &str = "rwc.c.*";

/// What running tasks of the job tell, for whoever listens. What nobody takes in time is lost.
pub(crate) fn notes(job: &str) -> String {
    format!("rwc.n.{job}")
}

/// Whether `text` can be a token of a subject that we make: a lane, a job's id, an engine's label.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
