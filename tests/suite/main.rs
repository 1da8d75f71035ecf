//! The integration tests, by feature, through the command line and the library.
//!
//! `flow` shows the way of one task, and is the place to begin. `support` has what all of them use.

mod support;

mod flow;

mod inspect;
mod cluster;
mod views;
mod lowering;
mod limits;
mod wordcount;
mod merges;
mod commands;

mod bad_input;
mod config;
mod cache;
mod signals;

mod readme;
