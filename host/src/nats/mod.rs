//! What all sides of a cluster over NATS JetStream have in common: names, the connection, what is kept on the server,
//! and the forms in which tasks and their results travel.
//!
//! It knows neither views nor engines. `backend/nats` submits tasks by way of it, `join` runs them.

pub(crate) mod assets;
pub(crate) mod blob;
pub(crate) mod connect;
pub(crate) mod names;
pub(crate) mod presence;
pub(crate) mod wire;

pub use assets::{AssetError, AssetSettings};
pub use connect::{ConnectError, ConnectSettings, Key, KeyError, Role};
