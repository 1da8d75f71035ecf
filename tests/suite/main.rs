//! The integration tests, by feature, through the command line and the library.
//!
//! `flow` shows the way of one task, and is the place to begin. `support` has what all of them use.

mod support;

mod flow;

mod call;
mod cluster;
mod commands;
mod concurrent;
mod elements;
mod failures;
mod forged;
mod grants_files;
mod inputs;
mod inspect;
mod limits;
mod lowering;
mod map;
mod merges;
mod output;
mod views;
mod wordcount;

mod boundary;
mod build;
mod new;
mod projects;
mod test_command;

mod balanced_view;
mod dashboards;
mod dependencies;
mod direct_view;
mod elastic;
mod host_functions;
mod notes;
mod queue;
mod reports;
mod results;
mod retries;
mod spans;
mod tenants;
mod time_limits;
mod traces;
mod typed_functions;

mod abi;
mod arguments;
mod components_by_others;
mod javascript;
mod languages;
mod modules_by_others;
mod scripts;
mod sdk;
mod values;

mod chaos;
mod compile;
mod leaks;

mod bad_input;
mod cache;
mod config;
mod deterministic;
mod environment;
mod errors;
mod handles;
mod help;
mod history;
mod host_interface;
mod hostile;
mod http;
mod imports;
mod network;
mod not_text;
mod oversized;
mod settings;
mod signals;
mod terminal;
mod unsupported;
mod usage;

mod durable;
mod faults;
mod lanes;
mod lifecycle;
mod metrics;
mod nats_servers;
mod said;
mod security;

mod docs;
mod ipyparallel;
mod layers;
mod readme;
mod recipes;
