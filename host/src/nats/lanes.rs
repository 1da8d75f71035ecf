//! The lanes of a cluster: which there are, and whether a lane exists before tasks are sent to it that nobody would
//! take.
//!
//! A lane is a consumer per class; processes with engines say which lanes they serve.

use super::assets::AssetError;
use super::connect::{ConnectError, Connection};
use super::names::{self, Class};
use super::presence;
use super::problem::Problem;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::pull;
use futures_util::TryStreamExt;
use std::collections::BTreeSet;

/// Checks that the cluster has the lane.
///
/// # Errors
/// If it has no such lane, the name is not valid, or the server does not answer.
pub(crate) async fn check(connection: &Connection, lane: &str) -> Result<(), ConnectError> {
    if !names::is_token(lane) {
        let lane = lane.to_owned();
        return Err(AssetError::Lane { lane }.into());
    }
    connection.settings.check_lane(lane)?;
    if lane == names::MAIN_LANE {
        // Every cluster was set up with it.
        return Ok(());
    }
    // The one that is made last: where it is there, all are.
    let name = names::consumer(lane, Class::Low);
    let get = connection
        .js
        .get_consumer_from_stream::<pull::Config, _, _>(&name, names::TASKS);
    match connection.watched("CONSUMER.INFO", get).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(match Problem::from(error) {
            problem if problem.is(ErrorCode::CONSUMER_NOT_FOUND) => AssetError::NoLane {
                lane: lane.to_owned(),
            },
            problem => problem.of(&format!("consumer {name} of {}", names::TASKS), 0, 0),
        }
        .into()),
        Err(denied) => Err(connection.denied(&denied)),
    }
}

/// Returns whether a process with engines takes tasks of the lane now.
///
/// # Errors
/// If the server does not answer.
pub(crate) async fn is_served(connection: &Connection, lane: &str) -> Result<bool, ConnectError> {
    let list = presence::list(connection);
    match connection.watched(names::ENGINES, list).await {
        Ok(Ok(records)) => Ok(records.iter().any(|record| record.serves(lane))),
        Ok(Err(problem)) => Err(problem.found("bucket RWC_ENGINES", &connection.url)),
        Err(denied) => Err(connection.denied(&denied)),
    }
}

/// Returns the existing lanes; `None` if the key may not ask, as on a server whose configuration is from an earlier
/// version.
pub(crate) async fn all(connection: &Connection) -> Option<BTreeSet<String>> {
    let stream = connection.js.get_stream_no_info(names::TASKS).await.ok()?;
    let names = stream.consumer_names().try_collect::<Vec<String>>();
    let names = connection
        .watched("CONSUMER.NAMES", names)
        .await
        .ok()?
        .ok()?;
    let ending = format!("-{}", Class::Low.token());
    let lanes = names.iter().filter_map(|name| name.strip_suffix(&ending));
    Some(lanes.map(str::to_owned).collect())
}
