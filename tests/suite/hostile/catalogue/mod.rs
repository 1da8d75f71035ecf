//! The hostile guests: what each is called with, under which limits, and what must become of it.
//!
//! Every file of `guest-tasks/hostile` and of `made` has one function here, of its name, in the file of its class; one
//! that has none does not compile. Tests and the benchmark `hostile` share this table.

mod case;
mod good;
mod guests;
mod mix;
mod rows;
mod run;

mod abi;
mod concurrency;
mod files;
mod http;
mod imports;
mod loading;
mod memory;
mod network;
mod output;
mod stack;
mod state;
mod stdio;
mod time;
mod traps;

pub(crate) use case::{Case, Expected, Loaded, Unfinished};
pub(crate) use good::Good;
pub(crate) use guests::{Guest, text};
pub(crate) use mix::Mix;
pub(crate) use rows::{ELSEWHERE, ROWS};
pub(crate) use run::{Ended, Failed, prepare, run};

include!(concat!(env!("OUT_DIR"), "/hostile.rs"));

macro_rules! list {
    ([text] $($text:ident)* [program] $($program:ident)* [made] $($made:ident)*) => {
        /// Every guest with its case, in the order of their names.
        pub(crate) fn all() -> Vec<(Guest, Case)> {
            vec![
                $((Guest::text(stringify!($text)), cases::$text()),)*
                $((Guest::program(stringify!($program)), cases::$program()),)*
                $((Guest::made(stringify!($made), super::made::$made::module), cases::$made()),)*
            ]
        }
    };
}
for_each_hostile!(list);

/// The cases of all classes, by the names of their guests.
mod cases {
    pub(super) use super::{
        abi::*, concurrency::*, files::*, http::*, imports::*, loading::*, memory::*, network::*,
        output::*, stack::*, state::*, stdio::*, time::*, traps::*,
    };
}
