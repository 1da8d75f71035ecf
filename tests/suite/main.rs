//! The integration tests, by feature, through the command line and the library.
//!
//! `flow` shows the way of one task, and is the place to begin. `support` has what all of them use.

mod support;

mod flow;

mod cluster;
mod commands;
mod failures;
mod inspect;
mod limits;
mod lowering;
mod merges;
mod output;
mod views;
mod wordcount;

mod bad_input;
mod cache;
mod config;
mod hostile;
mod signals;
mod terminal;

mod readme;
