//! `cache`: the compiled code that is kept for the next start.

use crate::args::{CacheCommand, InfoArguments, PruneArguments, ShownAs};
use crate::environment::compiler::{cache_dir, cache_size};
use crate::exit::CliError;
use crate::output::stdout::print;
use crate::text::{bytes, counted, json_document, time};
use rwasm_cluster::plain::{in_line, visible};
use rwasm_cluster::{ByteSize, CacheInfo, CodeCache, Prune};
use serde_json::json;
use std::fmt::Write as _;
use std::path::Path;

/// Does what was asked of the cache.
pub(crate) fn cache(command: &CacheCommand) -> Result<(), CliError> {
    match command {
        CacheCommand::Info(arguments) => info(arguments),
        CacheCommand::Prune(arguments) => prune(arguments),
    }
}

/// The cache there is; else why there is none.
fn open() -> Result<Result<CodeCache, String>, CliError> {
    let Some(dir) = cache_dir() else {
        let why = match std::env::var_os("RWASM_CACHE_DIR") {
            Some(_) => "RWASM_CACHE_DIR is set to nothing",
            None => "the user has no cache directory: name one in RWASM_CACHE_DIR",
        };
        return Ok(Err(why.to_owned()));
    };
    match CodeCache::open(&dir, cache_size()?) {
        Ok(Some(cache)) => Ok(Ok(cache)),
        Ok(None) => Ok(Err(format!(
            "{} does not exist: the first module that is compiled makes it",
            dir.display()
        ))),
        Err(error) => Err(unusable(&dir, &error)),
    }
}

fn unusable(dir: &Path, error: &std::io::Error) -> CliError {
    CliError::Gone {
        message: format!(
            "cannot use the cache `{}`: {error}",
            visible(&dir.display().to_string())
        ),
        hint:
            "make it a directory that only its owner can write to, or set RWASM_CACHE_DIR to another one"
                .to_owned(),
    }
}

fn info(arguments: &InfoArguments) -> Result<(), CliError> {
    let info = match open()? {
        Ok(cache) => Ok(cache
            .info()
            .map_err(|error| unusable(cache.dir(), &error))?),
        Err(why) => Err(why),
    };
    print(&match (arguments.format, info) {
        (ShownAs::Text, Ok(info)) => text(&info),
        (ShownAs::Text, Err(why)) => format!("there is no cache: {}\n", visible(&why)),
        (ShownAs::Json, info) => json_document(&document(info.ok().as_ref())),
    })
}

fn text(info: &CacheInfo) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12} {}", in_line(value));
    };
    line("directory", &info.dir.display().to_string());
    line("files", &info.files.to_string());
    line(
        "size",
        &format!("{}, at most {}", bytes(info.bytes), info.size),
    );
    if info.unfinished > 0 {
        line(
            "unfinished",
            &format!("{}, being written or left over", info.unfinished),
        );
    }
    for (name, used) in [("oldest use", info.oldest), ("newest use", info.newest)] {
        if let Some(used) = used {
            line(name, &time(used));
        }
    }
    text
}

fn document(info: Option<&CacheInfo>) -> serde_json::Value {
    let Some(info) = info else {
        return json!({ "dir": null, "files": 0, "bytes": 0 });
    };
    json!({
        "dir": info.dir.display().to_string(),
        "files": info.files,
        "bytes": info.bytes,
        "max_bytes": info.size.bytes(),
        "unfinished": info.unfinished,
        "oldest_use": info.oldest.map(time),
        "newest_use": info.newest.map(time),
    })
}

fn prune(arguments: &PruneArguments) -> Result<(), CliError> {
    let cache = match open()? {
        Ok(cache) => cache,
        Err(why) => return print(&format!("there is no cache: {}\n", visible(&why))),
    };
    let mut prune = Prune::default();
    prune.all = arguments.all;
    prune.max_size = arguments.max_size;
    prune.older_than = arguments.older_than;
    let pruned = cache
        .prune(&prune)
        .map_err(|error| unusable(cache.dir(), &error))?;
    let mut text = format!("removed {}", sized(pruned.files, pruned.bytes));
    let kinds = [
        (pruned.damaged, "damaged"),
        (pruned.unfinished, "left unfinished"),
    ];
    for (count, kind) in kinds {
        if count > 0 {
            text += &format!(", {count} of them {kind}");
        }
    }
    text += &format!("; {} left\n", sized(pruned.files_left, pruned.bytes_left));
    print(&text)
}

fn sized(files: u64, bytes: u64) -> String {
    format!("{} ({})", counted(files, "file"), ByteSize::new(bytes))
}
