//! The integration tests, by feature, through the command line and the library.
//!
//! `flow` shows the way of one task, and is the place to begin. `support` has what all of them use.

mod support;

mod bad_input;
mod commands;
mod limits;
mod merges;
mod views;
mod wordcount;
