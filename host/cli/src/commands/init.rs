//! `init`: sets a cluster up on a server that runs.

use crate::args::{InitArguments, ShownAs};
use crate::cluster::profile;
use crate::exit::CliError;
use crate::output::messages::warn;
use crate::output::stdout::print;
use crate::text::json_document;
use rwasm_cluster::nats::{Asset, AssetSettings, AssetState, Role, set_up};
use serde_json::json;

/// Makes what is missing, and says what became of each stream, bucket and consumer.
pub(crate) fn init(arguments: &InitArguments) -> Result<(), CliError> {
    let connect =
        profile::at_or_running(arguments.url.as_deref(), &arguments.identity, Role::Admin)?;
    let mut wanted = AssetSettings::default();
    wanted.replicas = arguments.replicas;
    wanted.lanes.clone_from(&arguments.lanes);
    wanted.ack_wait = arguments.ack_wait;
    wanted.presence = arguments.presence;
    wanted.keep = arguments.keep;
    let max_bytes = arguments.max_bytes.map(|size| i64::try_from(size.bytes()));
    wanted.max_bytes = max_bytes.map(|bytes| bytes.unwrap_or(i64::MAX));
    wanted.change = arguments.change;
    let assets = set_up(&connect, &wanted).map_err(CliError::Connect)?;
    let differs = |asset: &Asset| matches!(asset.state, AssetState::Differs(_));
    if assets.iter().any(differs) {
        warn(
            "existing streams with other settings were kept; apply the given options with --change",
        );
    }
    print(&match arguments.format {
        ShownAs::Text if arguments.loudness.quiet => String::new(),
        ShownAs::Text => assets.iter().map(line).collect(),
        ShownAs::Json => {
            let assets = assets.iter().map(|asset| {
                let (state, how) = word(&asset.state);
                json!({ "name": asset.name, "state": state, "difference": how })
            });
            json_document(&assets.collect())
        }
    })
}

fn line(asset: &Asset) -> String {
    let (state, how) = word(&asset.state);
    let how = how.map(|how| format!(" ({how})")).unwrap_or_default();
    format!("{state:<8} {}{how}\n", asset.name)
}

fn word(state: &AssetState) -> (&'static str, Option<&str>) {
    match state {
        AssetState::Made => ("created", None),
        AssetState::Kept => ("kept", None),
        AssetState::Changed(how) => ("changed", Some(how)),
        AssetState::Differs(how) => ("differs", Some(how)),
        _ => ("there", None),
    }
}
