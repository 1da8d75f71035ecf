//! `server-config`: the configuration of a cluster's server.

use crate::args::ServerConfigArguments;
use crate::exit::CliError;
use crate::output::messages::warn;
use crate::output::results::Output;
use rwasm_cluster::ByteSize;
use rwasm_cluster::nats::{PublicKeys, Routes, ServerConfig, ServerTls, TenantAccount};
use rwasm_cluster::plain;
use std::path::{Path, PathBuf};

/// Writes it to stdout or to a file.
pub(crate) fn server_config(arguments: &ServerConfigArguments) -> Result<(), CliError> {
    let dir = absolute(&arguments.dir)?;
    let keys = PublicKeys::read(&arguments.dir).map_err(CliError::Keys)?;
    let store = match &arguments.store {
        Some(store) => absolute(store)?,
        None => dir.join("store"),
    };
    let mut config = ServerConfig::new(store, keys.iter().cloned().collect());
    config.listen.clone_from(&arguments.listen);
    config.monitor.clone_from(&arguments.monitor);
    config.max_store = arguments.max_store;
    config.max_payload = arguments.max_payload;
    config.store_key.clone_from(&arguments.store_key);
    config.name.clone_from(&arguments.name);
    config.allow_plain = arguments.allow_plain;
    for (name, dir) in &arguments.tenants {
        let keys = PublicKeys::read(dir).map_err(CliError::Keys)?;
        let mut tenant = TenantAccount::new(name, keys.iter().cloned().collect());
        tenant.max_store = arguments.tenant_store;
        config.tenants.push(tenant);
    }
    config.tls = ServerTls::find(&dir);
    if let Some(listen) = &arguments.cluster_listen {
        config.routes = Some(Routes::new(listen.clone(), arguments.routes.clone()));
    }
    let free = free_space(&config.store);
    if let (None, Some(free)) = (config.max_store, free)
        && config.tenants_store() > free
    {
        warn(&format!(
            "the tenants may store {} together, but a server on this machine has {free}, three quarters of the free space, and refuses to serve them then: lower --tenant-store, or set --max-store to what the server has",
            config.tenants_store()
        ));
    }
    let text = config.to_text().map_err(CliError::ServerConfig)?;
    let mut output = Output::open(arguments.output.as_deref())?;
    output.bytes(text.as_bytes())?;
    output.complete()
}

/// What a server sets aside by itself where it stores data: three quarters of what is free there.
fn free_space(store: &Path) -> Option<ByteSize> {
    let there = store.ancestors().find(|dir| dir.exists())?;
    let space = rustix::fs::statvfs(there).ok()?;
    Some(ByteSize::new(
        space.f_bavail.saturating_mul(space.f_frsize) / 4 * 3,
    ))
}

/// As the server finds it, wherever it is started.
fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|source| CliError::Output {
        what: format!("the place of `{}`", plain::path(path)),
        source,
    })
}
