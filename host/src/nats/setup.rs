//! Setting a cluster up, from outside: a connection with the admin key, and what `assets` makes by it.

use super::assets::{self, Asset, AssetSettings};
use super::connect::{ConnectSettings, Connection, runtime};
use super::refusal::ConnectError;
use super::role::Role;

/// Makes the streams, buckets and consumers of a cluster, unless they are there, and says what became of each.
///
/// It waits, on a runtime of its own.
///
/// # Errors
/// When the server cannot be reached, refuses, or does not make one. What was made until then stays.
pub fn set_up(
    settings: &ConnectSettings,
    wanted: &AssetSettings,
) -> Result<Vec<Asset>, ConnectError> {
    let runtime = runtime(settings)?;
    let made = runtime.block_on(async {
        let connection = Connection::open(settings, Role::Admin, "rwasm-cluster init").await?;
        Ok(assets::make(&connection, wanted).await?)
    });
    runtime.shutdown_background();
    made
}
