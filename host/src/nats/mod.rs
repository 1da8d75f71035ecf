//! What all sides of a cluster over NATS JetStream have in common: names, the connection, what is kept on the server,
//! and the forms in which tasks and their results travel.
//!
//! It knows neither views nor engines. `backend/nats` submits tasks by way of it, `join` runs them.

pub(crate) mod assets;
mod certificates;
pub(crate) mod connect;
mod keys;
pub(crate) mod names;
pub(crate) mod permissions;
mod server_config;

pub use assets::{AssetError, AssetSettings};
pub use connect::{ConnectError, ConnectSettings, Key, KeyError, Role};
pub use keys::{KeyFile, KeySettings, KeysError, PublicKey, PublicKeys, Written, make_keys};
pub use server_config::{PORT, Routes, ServerConfig, ServerConfigError, ServerTls};
