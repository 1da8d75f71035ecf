//! Engines that are told to go: what runs finishes, what has not begun runs elsewhere, and nothing waits for a time-out.

use super::engine::EngineProcess;
use super::{assets, begun, connect, server, show, work};
use crate::support::until;
use std::time::{Duration, Instant};

/// Longer than any test here: what is given back does not wait for it.
const ACK_WAIT: Duration = Duration::from_secs(30);

#[test]
fn what_runs_finishes_and_the_rest_runs_elsewhere() {
    let server = server(&assets(ACK_WAIT));
    let url = server.url();
    let going = EngineProcess::join(url, "-n 1 --drain-timeout 30s");
    let cluster = connect(url);
    assert_eq!(going.page("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(going.page("/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(going.page("/other").0, 404);
    let view = cluster.load_balanced_view().dispatch_size(1);
    let map = view
        .map(&work(), (0..4).map(|n| (n, 2000)))
        .expect("it begins");
    let mut notes = map.notes();
    let mut one = None;
    until("a task has begun", || {
        one = begun(&mut notes);
        one.is_some()
    });
    going.terminate();
    until("it says that it drains", || {
        going.page("/readyz") == (503, "draining\n".to_owned())
    });
    assert!(going.is_busy());
    let first = going.ids[0];
    let staying = EngineProcess::join(url, "-n 2");
    let (status, stderr) = going.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("1 task done, 0 of them failed"), "{stderr}");
    let started = Instant::now();
    assert_eq!(map.get().expect("all run"), [0, 1, 2, 3]);
    assert!(started.elapsed() < ACK_WAIT / 2, "{:?}", started.elapsed());
    let mut all = Vec::from_iter(one.map(|(place, _)| place));
    while let Some((place, engine)) = begun(&mut notes) {
        assert_ne!(
            engine, first,
            "task {place} began on an engine that was told to go"
        );
        all.push(place);
    }
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    assert_eq!(staying.metric("rwasm_tasks_total"), 3);
}

#[test]
fn what_does_not_finish_in_time_is_given_back() {
    let server = server(&assets(ACK_WAIT));
    let url = server.url();
    let going = EngineProcess::join(url, "-n 1 --drain-timeout 300ms");
    let cluster = connect(url);
    let view = cluster.load_balanced_view();
    let map = view.map(&work(), [(7, 3000)]).expect("it begins");
    let mut notes = map.notes();
    until("the task has begun", || begun(&mut notes).is_some());
    let staying = EngineProcess::join(url, "-n 1");
    let asked = Instant::now();
    going.terminate();
    let (status, stderr) = going.end();
    show(&format!("it went after {:?}", asked.elapsed()));
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("0 tasks done"), "{stderr}");
    assert!(stderr.contains("1 dispatch returned"), "{stderr}");
    assert_eq!(map.get().expect("it runs elsewhere"), [7]);
    assert_eq!(begun(&mut notes), Some((0, staying.ids[0])));
    assert_eq!(begun(&mut notes), None);
    assert!(asked.elapsed() < ACK_WAIT / 2, "{:?}", asked.elapsed());
}

#[test]
fn engines_without_work_go_when_told_and_by_themselves() {
    let server = server(&assets(ACK_WAIT));
    let url = server.url();
    let mut idle = EngineProcess::join(url, "-n 1 --exit-when-idle 500ms");
    let drained = EngineProcess::join(url, "-n 1");
    let cluster = connect(url);
    let tasks = cluster.load_balanced_view().map(&work(), [(1, 0), (2, 0)]);
    assert_eq!(tasks.expect("it begins").get().expect("all run"), [1, 2]);
    until("it goes by itself", || !idle.is_alive());
    let (status, said) = idle.end();
    assert_eq!(status.code(), Some(0), "{said}");
    drained.terminate();
    let (status, said) = drained.end();
    assert_eq!(status.code(), Some(0), "{said}");
    // They said so: nobody waits until they are taken for lost.
    until("no engine is left", || cluster.engines().is_empty());
}
