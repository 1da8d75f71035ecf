//! Counts words: the model case of a task with typed functions.
//!
//! Shows a mapper and a reducer, whose types are those of `wit/wordcount.wit`; `words` says what a word is, `count`
//! counts. Nothing here asks the host for anything: no clock, no random numbers, no files.

mod count;
mod index;
mod words;

/// The words of `text` with how often each occurs, every word once, by first appearance.
#[rwasm_task::export]
fn mapper(text: &str) -> Vec<(String, u64)> {
    count::count(text)
}

/// The counts of all `parts` added up: by falling count, then by word in code-point order.
#[rwasm_task::export]
fn reducer(parts: Vec<Vec<(String, u64)>>) -> Vec<(String, u64)> {
    count::merge(parts)
}
