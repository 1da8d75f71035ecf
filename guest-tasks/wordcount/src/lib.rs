//! Counts words: the model case of a task with typed functions.
//!
//! Shows a mapper and a reducer whose types stand in `wit/wordcount.wit`; `words` says what a word is, `count`
//! counts. Nothing here asks the host for anything: no clock, no random numbers, no files.

mod count;
mod index;
mod words;

use contract::Guest;

mod contract {
    #![expect(
        unsafe_code,
        clippy::pedantic,
        reason = "the generated exports speak the canonical ABI, with pointers"
    )]

    wit_bindgen::generate!({ path: "../../wit", world: "wordcount" });
    use super::WordCount;
    export!(WordCount);
}

struct WordCount;

impl Guest for WordCount {
    fn mapper(text: String) -> Vec<(String, u64)> {
        count::count(&text)
    }

    fn reducer(parts: Vec<Vec<(String, u64)>>) -> Vec<(String, u64)> {
        count::merge(parts)
    }
}
