//! What a guest sees of its host. `request` asks for one run of a task, and `state` is what a store
//! keeps for it: WASI as far as it was granted (`wasi`), with the granted directories (`dirs`), the
//! files a guest opens in them (`files`, within a `quota`), peers and names (`net`), requests by HTTP (`http`), streams (`stdio`, with
//! what flows between them in `flows`) and clocks (`clock`). `host` has the functions beside WASI that a guest may call, `javascript`
//! those that some toolchains import from there, `logging` the interface of that name, and `stubs` stands for those that are missing.

mod clock;
pub(super) mod dirs;
pub(super) mod files;
pub(super) mod flows;
pub(super) mod host;
pub(super) mod http;
pub(super) mod javascript;
pub(super) mod logging;
pub(super) mod net;
pub(super) mod pending;
pub(super) mod quota;
pub(super) mod request;
pub(super) mod setting_form;
pub(super) mod state;
pub(super) mod stdio;
pub(super) mod stubs;
mod wasi;
