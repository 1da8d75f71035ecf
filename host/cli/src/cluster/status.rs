//! `status` and `engine list`: a cluster at a glance, for people and for programs.

use super::profile::{remote_always, unanswered};
use super::state;
use crate::args::{EngineListArguments, RemoteOptions, ShownAs, StatusArguments};
use crate::exit::CliError;
use crate::output::stdout::print;
use crate::text::{aligned, counted, duration, json_document, time};
use rwasm_cluster::nats::{Lane, LaneUsage, Overview, Process, Role, overview};
use rwasm_cluster::plain::in_line;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Shows a cluster.
pub(crate) fn status(arguments: &StatusArguments) -> Result<(), CliError> {
    let found = look(&arguments.shown.remote)?;
    // What else is known, where it runs on this machine.
    let here = state::at(&found.url);
    let running = here.as_ref().and_then(|place| place.running().ok()?);
    let profile = here.as_ref().map(state::ClusterDir::name);
    let pid = running.map(|(state, _)| state.server.pid);
    print(&match arguments.shown.format {
        ShownAs::Text => text(&found, profile, pid),
        ShownAs::Json => json_document(&document(&found, profile, pid)),
    })
}

/// Lists the processes with engines.
pub(crate) fn list(arguments: &EngineListArguments) -> Result<(), CliError> {
    let found = look(&arguments.shown.remote)?;
    print(&match arguments.shown.format {
        ShownAs::Text => engines(&found.processes),
        ShownAs::Json => {
            let processes: Vec<Json> = found.processes.iter().map(process).collect();
            json_document(&Json::from(processes))
        }
    })
}

fn look(remote: &RemoteOptions) -> Result<Overview, CliError> {
    let settings = remote_always(remote, Role::Viewer)?;
    overview(&settings).map_err(|error| unanswered(error, &settings.url))
}

fn text(found: &Overview, profile: Option<&str>, pid: Option<u32>) -> String {
    let mut lines = Vec::new();
    let mut line =
        |name: &str, value: String| lines.push(format!("{name:<8} {}\n", in_line(&value)));
    if let Some(profile) = profile {
        line("cluster", profile.to_owned());
    }
    line("url", found.url.clone());
    let pid = pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    line("server", format!("nats-server {}{pid}", found.version));
    let count: usize = found
        .processes
        .iter()
        .map(|process| process.engines.len())
        .sum();
    let busy: u32 = found.processes.iter().map(|process| process.busy).sum();
    let tasks = found.processes.iter().map(|process| process.tasks).sum();
    line(
        "engines",
        format!(
            "{count} in {}, {busy} busy, with {}",
            counted(found.processes.len() as u64, "process"),
            counted(tasks, "task")
        ),
    );
    for lane in &found.lanes {
        line("lane", depth(lane));
    }
    match &found.jobs {
        Some(jobs) if jobs.is_empty() => line("jobs", "none under way".to_owned()),
        Some(jobs) => line("jobs", format!("{} under way", jobs.len())),
        None => line("jobs", "too many tasks to tell".to_owned()),
    }
    let mut text = lines.concat();
    if !found.processes.is_empty() {
        text.push('\n');
        text += &engines(&found.processes);
    }
    text
}

/// What is to be done on a lane, and whether somebody does it.
fn depth(lane: &Lane) -> String {
    let Lane {
        name,
        waiting,
        running,
        ..
    } = lane;
    let mut text = format!(
        "{name}: {} waiting, {running} running",
        counted(*waiting, "dispatch")
    );
    let usage = &lane.usage;
    if usage.tasks() > 0 {
        text += &format!(
            "; {} done, {} failed, {} of engine time",
            counted(usage.tasks(), "task"),
            usage.failures(),
            duration(usage.wall_time),
        );
    }
    if !lane.is_made {
        text += &format!("; there is no such lane: `rwasm-cluster init --lane {name}` creates it");
    } else if lane.engines == 0 {
        text += &format!("; no engine serves it: `rwasm-cluster engine join --lane {name}`");
    }
    text
}

/// The processes in aligned columns, under their names.
fn engines(processes: &[Process]) -> String {
    const NAMES: [&str; 10] = [
        "ENGINES", "HOST", "PID", "BUSY", "TASKS", "DONE", "FAILED", "LANES", "SINCE", "LABELS",
    ];
    if processes.is_empty() {
        return "there are no engines\n".to_owned();
    }
    let mut rows = vec![NAMES.map(str::to_owned)];
    rows.extend(processes.iter().map(|process| {
        let mut labels: Vec<String> = process
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if process.draining {
            labels.insert(0, "(draining)".to_owned());
        }
        let restarts: u64 = process.restarts.values().sum();
        if restarts > 0 {
            labels.push(format!("({})", counted(restarts, "restart")));
        }
        if process.workers_lost > 0 {
            let lost = counted(process.workers_lost, "worker");
            let reason = process.last_loss.as_deref().unwrap_or("unknown");
            labels.push(format!("({lost} lost, the last because {reason})"));
        }
        [
            ranges(&process.engines),
            process.host.clone(),
            process.pid.to_string(),
            process.busy.to_string(),
            process.tasks.to_string(),
            process.done.to_string(),
            process.failed.to_string(),
            process.lanes.join(","),
            time(process.started),
            if labels.is_empty() {
                "-".to_owned()
            } else {
                labels.join(" ")
            },
        ]
        // What a process says of itself is to stay in its line.
        .map(|cell| in_line(&cell))
    }));
    aligned(&rows)
}

/// Ids as people write them: `0..3,7`.
fn ranges(ids: &[u32]) -> String {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for id in ids {
        match parts.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
            _ => parts.push((id, id)),
        }
    }
    let part = |&(first, last): &(u32, u32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}..{last}"),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

fn document(found: &Overview, profile: Option<&str>, pid: Option<u32>) -> Json {
    let lanes: BTreeMap<&str, Json> = found
        .lanes
        .iter()
        .map(|lane| {
            let mut depth = json!({
                "waiting": lane.waiting,
                "running": lane.running,
                "engines": lane.engines,
                "made": lane.is_made,
            });
            if lane.usage.tasks() > 0 {
                depth["usage"] = usage(&lane.usage);
            }
            (lane.name.as_str(), depth)
        })
        .collect();
    json!({
        "profile": profile,
        "url": found.url,
        "server": { "name": found.server, "version": found.version, "pid": pid },
        "engines": found.processes.iter().map(|process| process.engines.len()).sum::<usize>(),
        "busy": found.processes.iter().map(|process| process.busy).sum::<u32>(),
        "tasks": found.processes.iter().map(|process| process.tasks).sum::<u64>(),
        "processes": found.processes.iter().map(process).collect::<Vec<_>>(),
        "lanes": lanes,
        "jobs": found.jobs,
    })
}

fn usage(usage: &LaneUsage) -> Json {
    json!({
        "succeeded": usage.succeeded,
        "failed": usage.failed,
        "wall_time_s": usage.wall_time.as_secs_f64(),
        "processor_time_s": usage.processor_time.as_secs_f64(),
        "fuel": usage.fuel,
        "peak_memory": usage.peak_memory,
        "bytes_in": usage.bytes_in,
        "bytes_out": usage.bytes_out,
    })
}

fn process(process: &Process) -> Json {
    json!({
        "process": process.id,
        "host": process.host,
        "pid": process.pid,
        "version": process.version,
        "engines": process.engines,
        "busy": process.busy,
        "tasks": process.tasks,
        "done": process.done,
        "failed": process.failed,
        "lanes": process.lanes,
        "labels": process.labels,
        "since": time(process.started),
        "draining": process.draining,
        "restarts": process.restarts,
        "workers_lost": process.workers_lost,
        "last_loss": process.last_loss,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_in_ranges() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[3]), "3");
        assert_eq!(ranges(&[3, 1, 2, 0]), "0..3");
        assert_eq!(ranges(&[0, 1, 4, 6, 7, 8]), "0,1,4,6..8");
        assert_eq!(ranges(&[u32::MAX, 0]), format!("0,{}", u32::MAX));
    }
}
