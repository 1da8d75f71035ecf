//! Sets a cluster up from outside: connects with the admin key, and lets `assets` create what is missing.

use super::assets::{self, Asset, AssetSettings};
use super::assets::{AssetError, AssetState};
use super::connect::{ConnectSettings, Connection, runtime};
use super::keys::{KeysError, PublicKeys};
use super::names;
use super::orders::{self, KeyList, Signer};
use super::refusal::ConnectError;
use super::role::{Key, Role};
use async_nats::jetstream::kv::Operation;

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
        let mut assets = assets::make(&connection, wanted).await?;
        if let Some(key) = settings.key.as_ref().filter(|key| key.role == Role::Admin) {
            assets.extend(list_keys(&connection, key).await?);
        }
        Ok(assets)
    });
    runtime.shutdown_background();
    made
}

/// Stores the list of keys that may give orders to engines: those of the `public.toml` beside the admin key, or that
/// key alone. A list stays if it has these keys, or if nobody knows better.
async fn list_keys(connection: &Connection, key: &Key) -> Result<Option<Asset>, ConnectError> {
    let Some(signer) = Signer::of(key) else {
        return Ok(None);
    };
    let refused = |reason: String| AssetError::Refused {
        what: "list of keys that may give orders".to_owned(),
        reason,
    };
    let known = match key.dir.as_deref().map(PublicKeys::read) {
        None => None,
        Some(Ok(known)) => Some(known),
        Some(Err(KeysError::Unreadable { source, .. }))
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            None
        }
        Some(Err(error)) => return Err(refused(error.to_string()).into()),
    };
    if let Some(known) = &known
        && !known.iter().any(|one| one.public == signer.public())
    {
        return Err(refused(
            "the `public.toml` beside the admin key does not have that admin key: it belongs to other keys, whose owners alone could give orders then".to_owned(),
        )
        .into());
    }
    let wanted = match &known {
        Some(keys) => KeyList::of(keys.iter()),
        None => KeyList::only(&signer, key.role),
    };
    let work = async {
        let bucket = connection.js.get_key_value(names::IDS).await;
        let bucket = bucket.map_err(|error| error.to_string())?;
        let entry = bucket.entry(names::KEYS).await;
        let entry = entry.map_err(|error| error.to_string())?;
        let there = entry.filter(|entry| entry.operation == Operation::Put);
        let there = there.and_then(|entry| KeyList::read(&entry.value, &orders::admins(key)));
        let (state, count) = match there {
            Some(there) if known.is_none() || there.keys == wanted.keys => {
                return Ok((AssetState::Kept, there.keys.len()));
            }
            Some(there) => {
                let (from, to) = (there.keys.len(), wanted.keys.len());
                (AssetState::Changed(format!("keys {from} → {to}")), to)
            }
            None => (AssetState::Made, wanted.keys.len()),
        };
        let signed = wanted.signed(&signer);
        let signed = signed.ok_or_else(|| "the admin key cannot sign".to_owned())?;
        let put = bucket.put(names::KEYS, signed).await;
        put.map_err(|error| error.to_string())?;
        Ok((state, count))
    };
    let done: Result<_, String> = match connection.watched(names::IDS, work).await {
        Ok(done) => done,
        Err(denied) => return Err(connection.denied(&denied)),
    };
    let (state, count) = done.map_err(refused)?;
    let keys = if count == 1 { "key" } else { "keys" };
    let why = match (&known, &state) {
        (None, AssetState::Made) => ": no `public.toml` is beside the admin key",
        _ => "",
    };
    Ok(Some(Asset {
        name: format!("list of {count} {keys} that may give orders{why}"),
        state,
    }))
}
