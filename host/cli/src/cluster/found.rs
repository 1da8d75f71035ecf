//! What runs of a cluster on this machine, also where that was not written down: a command that is killed writes nothing
//! down, and files get lost.
//!
//! It is found by the command lines of all processes, which only Linux shows; elsewhere what is written down is all that
//! is known. Whoever asks holds the lock, so that nobody starts or ends anything meanwhile.

use super::began::end;
use super::process::Mark;
use super::state::{ClusterDir, ClusterState, EngineGroup};
use super::{engines, server, tether};
use crate::exit::CliError;
use crate::output::messages::warn;
use rwasm_cluster::nats::Role;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The time to drain of engines whose own is not known.
const DRAIN: Duration = Duration::from_secs(30);

/// What is known of the cluster: what was written down, unless other things run.
///
/// # Errors
/// When it was written down, cannot be read, and cannot be found otherwise.
pub(super) fn known(place: &ClusterDir) -> Result<Option<ClusterState>, CliError> {
    let written = place.state();
    if let Ok(Some(state)) = &written
        && state.server.is_running()
    {
        return written;
    }
    let Ok(processes) = command_lines() else {
        return written;
    };
    let found = ClusterProcesses::among(&processes, place);
    if let Err(error) = &written {
        let rest = match found.count() {
            0 => "no process of the cluster is running".to_owned(),
            count => format!("found {count} running processes of the cluster"),
        };
        warn(&format!("{}; {rest}", error.message()));
    }
    // Where the server is known to have ended, its engines are those that are written down.
    if found.servers.is_empty() && (found.engines.is_empty() || matches!(written, Ok(Some(_)))) {
        return Ok(written.unwrap_or_default());
    }
    Ok(Some(found.state(place)))
}

/// The processes of a cluster.
#[derive(Debug, Default)]
struct ClusterProcesses {
    servers: Vec<Mark>,
    engines: Vec<EngineGroup>,
    drain: Option<Duration>,
}

impl ClusterProcesses {
    fn among(processes: &[(u32, Vec<String>)], place: &ClusterDir) -> Self {
        let mut found = Self::default();
        for (pid, line) in processes {
            let Some(mut kind) = ClusterProcess::of(line, place) else {
                continue;
            };
            let Some(mark) = Mark::of(*pid) else {
                continue;
            };
            if let ClusterProcess::Engines { drain, .. } = &mut kind {
                found.drain = found.drain.max(drain.take());
            }
            match kind {
                ClusterProcess::Server => found.servers.push(mark),
                ClusterProcess::Engines { engines, host, .. } => found.engines.push(EngineGroup {
                    process: mark,
                    engines,
                    host,
                }),
            }
        }
        found
    }

    fn count(&self) -> usize {
        self.servers.len() + self.engines.len()
    }

    /// As it would have been written down. Of several servers on one store one is left.
    fn state(self, place: &ClusterDir) -> ClusterState {
        let mut servers: Vec<(Mark, Option<String>)> = self
            .servers
            .into_iter()
            .map(|mark| (mark.clone(), server::url_of(place, mark.pid)))
            .collect();
        // Those that can be reached go first.
        servers.sort_by_key(|(_, url)| url.is_none());
        let others: Vec<Mark> = servers
            .iter()
            .skip(1)
            .map(|(mark, _)| mark.clone())
            .collect();
        end(&others);
        let (server, url) = servers.into_iter().next().unzip();
        if let (Some(server), Some(Some(url))) = (&server, &url) {
            warn(&format!(
                "found an unrecorded server on this store, at {url} (pid {})",
                server.pid
            ));
        }
        ClusterState {
            url: url.flatten(),
            server: server.unwrap_or_else(Mark::of_none),
            engines: self.engines,
            drain_ms: u64::try_from(self.drain.unwrap_or(DRAIN).as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// What a process of a cluster is.
#[derive(Debug, PartialEq, Eq)]
enum ClusterProcess {
    Server,
    Engines {
        engines: u32,
        host: Option<String>,
        drain: Option<Duration>,
    },
}

impl ClusterProcess {
    /// What it is by its command line; none where it is not of that cluster. One that only reads a file of it is none.
    fn of(line: &[String], place: &ClusterDir) -> Option<Self> {
        let after = |name: &str| {
            let at = line.iter().position(|word| word == name)?;
            line.get(at + 1)
        };
        let is = |word: Option<&String>, file: &Path| {
            word.is_some_and(|word| is_same(Path::new(word), file))
        };
        let config = place.file(server::CONFIG);
        if is(after("--config"), &config) || is(after("-c"), &config) {
            return Some(Self::Server);
        }
        if is(after("--ready-file"), &place.file(engines::READY)) {
            let number = after("--engines").and_then(|text| text.parse().ok());
            let drain = after("--drain-timeout").map(|text| humantime::parse_duration(text));
            return Some(Self::Engines {
                engines: number.unwrap_or_default(),
                host: None,
                drain: drain.and_then(Result::ok),
            });
        }
        if is(after(tether::COMMAND), &place.key(Role::Engine)) {
            let (there, rest) = line.split_last()?;
            let mut words = there
                .split_whitespace()
                .skip_while(|word| *word != "--engines");
            let at = line.iter().position(|word| word == tether::COMMAND)?;
            let drain = line.get(at + 2).and_then(|text| text.parse().ok());
            return Some(Self::Engines {
                engines: words
                    .nth(1)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or_default(),
                host: rest.last().cloned(),
                drain: drain.map(Duration::from_millis),
            });
        }
        None
    }
}

/// Whether both lead to one file, which may be gone.
fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| {
        let dir = fs::canonicalize(path.parent()?).ok()?;
        Some(dir.join(path.file_name()?))
    };
    one == other || whole(one).is_some_and(|one| whole(other) == Some(one))
}

/// All processes but this one, with their command lines.
///
/// # Errors
/// Where the system does not show them.
fn command_lines() -> std::io::Result<Vec<(u32, Vec<String>)>> {
    let mut lines = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        // One may end while it is looked at.
        let (Some(pid), Ok(line)) = (pid, fs::read(entry.path().join("cmdline"))) else {
            continue;
        };
        if pid == std::process::id() || line.is_empty() {
            continue;
        }
        let words = line.split(|byte| *byte == 0);
        let words = words.map(|word| String::from_utf8_lossy(word).into_owned());
        let mut words: Vec<String> = words.collect();
        // The last one ends with a zero, too.
        words.pop();
        lines.push((pid, words));
    }
    if lines.is_empty() {
        return Err(std::io::ErrorKind::Unsupported.into());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::process::Stdio;

    #[test]
    fn processes_are_known_by_what_they_were_started_with() {
        let dir = tempfile::tempdir().expect("a directory is made");
        let place = ClusterDir::in_dir("test", dir.path());
        let at = |file: &str| dir.path().join(file).display().to_string();
        let kind = |words: &[&str]| {
            let line: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            ClusterProcess::of(&line, &place)
        };
        let config = at("server.conf");
        let server = ["nats-server", "--config", &config];
        assert_eq!(kind(&server), Some(ClusterProcess::Server));
        let between = ["rwasm-cluster", "--internal-background"];
        assert_eq!(
            kind(&[&between[..], &server[..]].concat()),
            Some(ClusterProcess::Server)
        );
        for other in [
            &["tail", "-f", &config][..],
            &["nats-server", "--config", "/etc/server.conf"],
            &["nats-server", "--config"],
            &[],
        ] {
            assert_eq!(kind(other), None, "{other:?}");
        }
        let ready = at("engines.ready");
        let engines = kind(&[
            "rwasm-cluster",
            "engine",
            "join",
            "nats://127.0.0.1:1",
            "--engines",
            "4",
            "--drain-timeout",
            "1m30s",
            "--ready-file",
            &ready,
        ]);
        assert_eq!(
            engines,
            Some(ClusterProcess::Engines {
                engines: 4,
                host: None,
                drain: Some(Duration::from_secs(90)),
            })
        );
        let key = at("keys/engine.key");
        let tether = kind(&[
            "rwasm-cluster",
            "--internal-tether",
            &key,
            "5000",
            "ssh",
            "-T",
            "me@a",
            "rwasm-cluster engine join nats://127.0.0.1:2 --engines 16 --tethered",
        ]);
        assert_eq!(
            tether,
            Some(ClusterProcess::Engines {
                engines: 16,
                host: Some("me@a".to_owned()),
                drain: Some(Duration::from_secs(5)),
            })
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_processes_of_this_machine_are_seen() {
        let mut command = std::process::Command::new("cat");
        let command = command.arg("-").stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        // When it answers, it is what it was to become.
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(b"x").expect("it reads");
        let stdout = child.stdout.as_mut().expect("it is piped");
        stdout.read_exact(&mut [0]).expect("it writes");
        let lines = command_lines().expect("Linux shows them");
        let line = lines.into_iter().find(|(pid, _)| *pid == child.id());
        drop(stdin);
        child.wait().expect("it ends");
        assert_eq!(line.expect("it is there").1, ["cat", "-"]);
    }
}
