//! Hints that follow from the kind of a library's error: what to do next.

use rustix::io::Errno;
#[cfg(feature = "nats")]
use rwasm_cluster::durable::DurableError;
#[cfg(feature = "nats")]
use rwasm_cluster::nats::ConnectError;
use rwasm_cluster::plain;
use rwasm_cluster::{
    FunctionError, HistoryError, InputError, PlanError, SettingError, SubmitError,
};

/// What to do if the functions of a run are not clear.
const CHOOSE: &str = "choose the function to map with --map and the one to merge with --reduce";

/// What to do about a function whose types are not values.
pub(super) const UNCALLABLE: &str = "export a function of values (strings, numbers, lists, records), or use a resource within one task: 'thing.make(1).use(2)'";

/// What to do with a chunk that is too large.
const SMALLER: &str = "use a smaller --chunk, or raise the limit with --limit input=SIZE";

/// Files of an engine, and of the process besides.
const FILES_EACH: u64 = 4;
const OWN_FILES: u64 = 64;

/// What to do when so many engines cannot be started, if it is for want of files.
pub(super) fn files(engines: u32, error: &std::io::Error) -> Option<String> {
    let are_too_few = Errno::from_io_error(error) == Some(Errno::MFILE);
    are_too_few.then(|| {
        let files = OWN_FILES + FILES_EACH * u64::from(engines);
        format!("allow {files} open files or more with `ulimit -n {files}`, or use fewer --engines")
    })
}

/// What to do when several tasks have failed.
pub(super) fn others(failures: u64) -> Option<String> {
    (failures > 1).then(|| format!("{failures} tasks failed, more than --max-failures tolerates"))
}

/// What to do about a job or task that cannot be submitted.
pub(super) fn submit_hint(error: &SubmitError) -> Option<String> {
    let hint = match error {
        SubmitError::Plan(PlanError::Function(error)) => match &**error {
            FunctionError::Uncallable { .. } => UNCALLABLE,
            _ => CHOOSE,
        },
        SubmitError::Plan(PlanError::NoMapper { module, functions }) if functions.is_empty() => {
            return Some(format!(
                "`rwasm-cluster inspect {module}` lists its functions; call one with `call` or `map`"
            ));
        }
        SubmitError::Plan(PlanError::NoMapper { .. }) => CHOOSE,
        SubmitError::Plan(PlanError::ReducerDoesNotFit { .. }) => {
            "choose another reducer with --reduce, or a built-in merge with --merge"
        }
        SubmitError::Plan(PlanError::UnorderedMerge) => "add --merge none, or omit --unordered",
        SubmitError::Plan(PlanError::ElementsMerge) => "add --merge none, or omit --elements",
        SubmitError::Plan(PlanError::NoElements { .. } | PlanError::ElementsOfCommand { .. }) => {
            "omit --elements"
        }
        SubmitError::Plan(PlanError::Merge(_)) => {
            "choose another --merge, or --merge none to print one line per result"
        }
        SubmitError::Plan(PlanError::RecordsUncut(_)) => {
            "add --chunk auto or a size, or omit --csv, --record-lines and --record-start"
        }
        SubmitError::Plan(PlanError::NotText { .. }) => "omit --invalid-utf8",
        SubmitError::Input(InputError::Directory { path }) => {
            return Some(format!(
                "name a file, such as one of {}/*",
                plain::path(path)
            ));
        }
        SubmitError::Input(error) => return input_hint(error).map(str::to_owned),
        SubmitError::Setting(SettingError::ReuseIsNotDeterministic) => {
            "omit --reuse or --deterministic"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What to do about an input that cannot be read.
pub(super) fn input_hint(error: &InputError) -> Option<&'static str> {
    Some(match error {
        InputError::ChunkTooLarge { .. } => SMALLER,
        InputError::Inflated { .. } => "raise the limit with --limit inflated=SIZE",
        InputError::HeaderTooLarge { .. } => "check the number of lines in --header",
        InputError::Changed { .. } => "run it again when nobody writes to the file",
        _ => return None,
    })
}

#[cfg(feature = "nats")]
pub(super) fn durable_hint(error: &DurableError) -> Option<String> {
    Some(match error {
        DurableError::Connect(error) => return connect_hint(error).map(str::to_owned),
        DurableError::Unknown { .. } => {
            "`rwasm-cluster job list --cluster` lists the jobs".to_owned()
        }
        DurableError::Unfinished { id, .. } => {
            format!(
                "wait with `rwasm-cluster job result {id} --follow --cluster`, or cancel the job with \
                 `rwasm-cluster job cancel {id} --cluster`"
            )
        }
        DurableError::NoOutcome {
            id,
            is_cancelled: true,
            ..
        } => format!("resume the job with `rwasm-cluster job retry {id} --cluster`"),
        DurableError::NoOutcome { id, .. } => {
            format!("wait for all tasks with `rwasm-cluster job result {id} --follow --cluster`")
        }
        DurableError::Damaged { id, .. } => {
            format!(
                "remove the job with `rwasm-cluster job rm {id} --cluster`, and submit it again"
            )
        }
        DurableError::Taken { .. } => "choose another --job-id".to_owned(),
        DurableError::Stopped { id, .. } => {
            format!("`rwasm-cluster job show {id} --cluster` shows its state")
        }
        _ => return None,
    })
}

#[cfg(feature = "nats")]
pub(super) fn connect_hint(error: &ConnectError) -> Option<&'static str> {
    match error {
        ConnectError::Unreachable { url, .. } if is_here(url) => Some(
            "check the cluster on this machine with `rwasm-cluster status`, or start one with `rwasm-cluster start`",
        ),
        ConnectError::Unreachable { .. } => Some(
            "check that the server is running, that its name and port are right, and that no firewall is in the way",
        ),
        ConnectError::Refused { .. } => {
            Some("name the key of your role with --key FILE; `rwasm-cluster keys` creates keys")
        }
        _ => None,
    }
}

/// Whether the server is on this machine.
#[cfg(feature = "nats")]
fn is_here(url: &str) -> bool {
    url.split(',').any(|server| {
        let (_, host) = server.split_once("://").unwrap_or(("", server));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        ["localhost", "127.", "[::1]"]
            .iter()
            .any(|here| host.starts_with(here))
    })
}

pub(super) fn history_hint(error: &HistoryError) -> Option<&'static str> {
    match error {
        HistoryError::UnknownJob { .. } | HistoryError::RemovedJob { .. } => {
            Some("`rwasm-cluster job list` lists the jobs")
        }
        HistoryError::NotAFile { .. }
        | HistoryError::NotSqlite { .. }
        | HistoryError::Foreign { .. }
        | HistoryError::Newer { .. }
        | HistoryError::Damaged { .. } => {
            Some("move the file away, or set RWASM_HISTORY_FILE to another file")
        }
        HistoryError::Unwritable { .. } | HistoryError::Unreadable { .. } => {
            Some("set RWASM_HISTORY_FILE to another file")
        }
        _ => None,
    }
}
