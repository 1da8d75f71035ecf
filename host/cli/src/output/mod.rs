//! What is written: results and reports for whoever asked, figures, notes and messages for whoever watches.

pub(crate) mod printers;
pub(crate) mod results;
pub(crate) mod stdout;

pub(crate) mod report;
pub(crate) mod stats;
pub(crate) mod summary;

pub(crate) mod messages;
pub(crate) mod notes;
pub(crate) mod progress;
