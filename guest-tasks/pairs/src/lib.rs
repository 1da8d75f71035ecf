//! Gives and takes bulk data of several shapes, for what it costs to pass it.

use contract::Guest;

mod contract {
    #![expect(
        unsafe_code,
        clippy::pedantic,
        reason = "the generated exports speak the canonical ABI, with pointers"
    )]

    wit_bindgen::generate!({ path: "wit", world: "pairs" });
    use super::Pairs;
    export!(Pairs);
}

struct Pairs;

/// A word of 5 to 11 letters, none twice.
fn word(index: u32) -> String {
    format!("word{index}")
}

/// Numbers of all sizes up to `2^63`.
fn number(index: u32) -> u64 {
    u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (index % 60)
}

#[expect(clippy::cast_precision_loss, reason = "any floats will do")]
fn float(index: u32) -> f64 {
    number(index) as f64 / 3.0
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::wrapping_add)
}

impl Guest for Pairs {
    fn pairs(count: u32) -> Vec<(String, u64)> {
        (0..count)
            .map(|index| (word(index), number(index)))
            .collect()
    }

    fn flat(count: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for index in 0..count {
            let word = word(index);
            let length = u32::try_from(word.len()).unwrap_or_default();
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(word.as_bytes());
            bytes.extend_from_slice(&number(index).to_le_bytes());
        }
        bytes
    }

    fn numbers(count: u32) -> Vec<u64> {
        (0..count).map(number).collect()
    }

    fn floats(count: u32) -> Vec<f64> {
        (0..count).map(float).collect()
    }

    fn words(count: u32) -> Vec<String> {
        (0..count).map(word).collect()
    }

    fn text(count: u32) -> String {
        (0..count).map(word).collect()
    }

    fn take_pairs(pairs: Vec<(String, u64)>) -> u64 {
        sum(pairs
            .iter()
            .map(|(word, number)| number + word.len() as u64))
    }

    fn take_numbers(numbers: Vec<u64>) -> u64 {
        sum(numbers.into_iter())
    }

    fn take_floats(floats: Vec<f64>) -> f64 {
        floats.into_iter().sum()
    }

    fn take_words(words: Vec<String>) -> u64 {
        sum(words.iter().map(|word| word.len() as u64))
    }

    fn take_text(text: String) -> u64 {
        text.len() as u64
    }

    fn take_bytes(bytes: Vec<u8>) -> u64 {
        sum(bytes.into_iter().map(u64::from))
    }
}
