//! Servers that are killed, frozen and started again while a job runs: it goes on, and engines and client are there again
//! by themselves.

use super::engine::EngineProcess;
use super::job::Naps;
use super::{assets, connect, server, show};
use crate::support::{Servers, until};
use rwasm_cluster::nats::{ConnectSettings, set_up};
use rwasm_cluster::{Cluster, EngineId};
use std::time::Duration;

/// Longer than servers are away, mostly: engines are not to be taken for lost with them.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// More tasks than are taken.
const MANY: usize = 10_000_000;

/// The same processes are there, with the same engines.
fn expect_same(engines: &mut [EngineProcess], cluster: &Cluster) {
    assert!(engines.iter_mut().all(EngineProcess::is_alive));
    let mut ids: Vec<_> = engines
        .iter()
        .flat_map(|process| process.ids.clone())
        .map(EngineId)
        .collect();
    ids.sort_unstable();
    until("the engines are there under their ids", || {
        let mut there = cluster.engines();
        there.sort_unstable();
        there == ids
    });
    for engine in engines {
        until("it is ready", || engine.page("/readyz").0 == 200);
    }
}

#[test]
fn a_job_goes_on_after_its_server_was_killed() {
    let mut server = server(&assets(ACK_WAIT));
    let url = server.url().to_owned();
    let mut engines: Vec<_> = (0..2).map(|_| EngineProcess::join(&url, "-n 1")).collect();
    let cluster = connect(&url);
    let mut job = Naps::start(&cluster, MANY);
    job.take(300);
    server.kill();
    server.restart();
    let gap = job.take(1000);
    show(&format!(
        "started again at once: the longest gap was {gap:?}"
    ));
    server.kill();
    job.take_for(ACK_WAIT * 2);
    server.restart();
    let gap = job.take(1000);
    show(&format!(
        "started again after {:?}: the longest gap was {gap:?} more",
        ACK_WAIT * 2
    ));
    let (count, took) = job.end();
    show(&format!("{count} tasks in {took:?}"));
    expect_same(&mut engines, &cluster);
}

#[test]
fn a_job_goes_on_while_servers_of_three_fail() {
    let mut servers = Servers::three();
    let url = servers.url();
    let mut assets = assets(ACK_WAIT);
    assets.replicas = Some(3);
    set_up(&ConnectSettings::new(&url), &assets).expect("the cluster is set up");
    let mut engines: Vec<_> = (0..2).map(|_| EngineProcess::join(&url, "-n 1")).collect();
    let cluster = connect(&url);
    let mut job = Naps::start(&cluster, MANY);
    job.take(100);
    let leader = |servers: &Servers| {
        let mut leader = None;
        until("the tasks have a leader", || {
            leader = servers.leader("RWC_TASKS", None);
            leader.is_some()
        });
        leader.expect("it was found")
    };
    let first = leader(&servers);
    servers.node(first).kill();
    show(&format!("the leader was killed: {:?}", job.take(300)));
    servers.node(first).restart();
    servers.await_whole();
    let follower = (leader(&servers) + 1) % 3;
    servers.node(follower).kill();
    show(&format!("a follower was killed: {:?}", job.take(300)));
    servers.node(follower).restart();
    servers.await_whole();
    let frozen = leader(&servers);
    servers.node(frozen).freeze();
    let before = job.count();
    job.take_for(Duration::from_secs(10));
    show(&format!(
        "the leader was frozen for 10 s: {} outcomes",
        job.count() - before
    ));
    servers.node(frozen).thaw();
    show(&format!("and thawed: {:?}", job.take(300)));
    servers.await_whole();
    for node in 0..3 {
        servers.node(node).kill();
    }
    for node in 0..3 {
        servers.node(node).restart();
    }
    servers.await_whole();
    show(&format!("all were started again: {:?}", job.take(300)));
    let (count, took) = job.end();
    show(&format!("{count} tasks in {took:?}"));
    expect_same(&mut engines, &cluster);
}
