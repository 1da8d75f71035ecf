//! Typed functions that ask for an interface of their own, which the embedding program has to offer.

use contract::example::dictionary::words;
use contract::{Entry, Guest};

mod contract {
    #![expect(
        unsafe_code,
        clippy::pedantic,
        reason = "the generated imports and exports speak the canonical ABI, with pointers"
    )]

    wit_bindgen::generate!({ path: "wit", world: "lookup" });
    use super::Lookup;
    export!(Lookup);
}

struct Lookup;

impl Guest for Lookup {
    fn mapper(text: String) -> String {
        let mut lines = String::new();
        for word in text.split_whitespace() {
            let meaning = words::lookup(word).unwrap_or_else(|| "?".to_owned());
            lines.extend([word, ": ", &meaning, "\n"]);
        }
        lines
    }

    fn define(word: String) -> Option<String> {
        words::lookup(&word)
    }

    fn describe(words: Vec<String>) -> Result<Vec<Entry>, String> {
        words::entries(&words)
    }

    fn letters(word: String) -> u64 {
        word.chars().count() as u64
    }
}
