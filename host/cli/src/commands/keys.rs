//! `keys`: the keys of a cluster and the certificates of its server.

use crate::args::{KeysArguments, ShownAs};
use crate::exit::CliError;
use crate::output::messages::warn;
use crate::output::stdout::print;
use crate::text::json_document;
use rwasm_cluster::nats::{KeyFile, KeySettings, Written, make_keys};
use rwasm_cluster::plain::visible;
use serde_json::json;

/// Makes what is missing, and says what became of each file.
pub(crate) fn keys(arguments: &KeysArguments) -> Result<(), CliError> {
    let mut settings = KeySettings::default();
    if !arguments.roles.is_empty() {
        settings.roles.clone_from(&arguments.roles);
    }
    settings.name.clone_from(&arguments.name);
    settings.lane.clone_from(&arguments.lane);
    settings.hosts.clone_from(&arguments.hosts);
    settings.valid = arguments.valid;
    let files = make_keys(&arguments.dir, &settings).map_err(CliError::Keys)?;
    for file in &files {
        if file.written == Written::LockedOut {
            warn(&format!(
                "the key `{}` is not in public.toml, so no server accepts it; remove the file to create a new key",
                file.path.display()
            ));
        }
    }
    print(&match arguments.format {
        ShownAs::Text if arguments.loudness.quiet => String::new(),
        ShownAs::Text => files.iter().map(line).collect(),
        ShownAs::Json => {
            let files = files.iter().map(|file| {
                json!({ "path": file.path.display().to_string(), "state": word(file.written) })
            });
            json_document(&files.collect())
        }
    })
}

fn line(file: &KeyFile) -> String {
    let state = word(file.written);
    format!(
        "{state:<10} {}\n",
        visible(&file.path.display().to_string())
    )
}

fn word(written: Written) -> &'static str {
    match written {
        Written::New => "created",
        Written::Kept => "kept",
        Written::Renewed => "renewed",
        Written::LockedOut => "locked-out",
        Written::Elsewhere => "elsewhere",
        _ => "there",
    }
}
