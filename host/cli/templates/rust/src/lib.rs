use std::{cmp::Reverse, collections::BTreeMap};

#[cfg(test)]
mod tests;

/// How often each word of the text occurs.
#[rwasm_task::export]
fn mapper(text: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in text.to_lowercase().split(|char: char| !char.is_alphabetic()) {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts.remove(""); // adjacent separators yield an empty word
    counts
}

/// The counts of all parts added up, the most frequent word first.
#[rwasm_task::export]
fn reducer(parts: Vec<BTreeMap<String, u64>>) -> Vec<(String, u64)> {
    let mut sums = BTreeMap::new();
    parts.into_iter().flatten().for_each(|(word, count)| *sums.entry(word).or_default() += count);
    let mut sums = Vec::from_iter(sums);
    sums.sort_by_key(|&(_, count)| Reverse(count));
    sums
}
