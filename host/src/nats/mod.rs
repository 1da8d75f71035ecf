//! What all sides of a cluster over NATS JetStream share: names, the connection, the assets on the server, and the
//! formats in which tasks and results travel.
//!
//! It knows neither views nor engines. `backend/nats` submits tasks through it, `join` runs them.

pub(crate) mod assets;
pub(crate) mod blob;
mod certificates;
pub(crate) mod connect;
pub(crate) mod direct;
pub(crate) mod index;
mod keys;
pub(crate) mod lanes;
pub(crate) mod listing;
pub(crate) mod names;
pub(crate) mod orders;
mod overview;
pub(crate) mod permissions;
pub(crate) mod presence;
pub(crate) mod problem;
pub(crate) mod refusal;
mod role;
mod server_config;
mod setup;
mod standing;
pub(crate) mod wire;

pub use assets::{Asset, AssetError, AssetSettings, AssetState};
pub use connect::{ConnectSettings, is_new_enough};
pub use keys::{KeyFile, KeySettings, KeysError, PublicKey, PublicKeys, Written, make_keys};
pub use overview::{Lane, Overview, Process, overview};
pub use presence::LaneUsage;
pub use refusal::ConnectError;
pub use role::{Key, KeyError, Role};
pub use server_config::{PORT, Routes, ServerConfig, ServerConfigError, ServerTls, TenantAccount};
pub use setup::set_up;
