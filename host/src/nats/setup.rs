//! Sets a cluster up from outside: connects with the admin key, and lets `assets` create what is missing.

use super::assets::{self, Asset, AssetSettings};
use super::connect::{ConnectSettings, Connection, runtime};
use super::refusal::ConnectError;
use super::role::Role;

/// Creates the streams, buckets and consumers of a cluster, unless they exist, and reports what became of each.
/// Blocks the calling thread, on a runtime of its own.
///
/// # Errors
/// If the server cannot be reached, rejects the connection, or does not create one of them. What was created until
/// then stays.
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
