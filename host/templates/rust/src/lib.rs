use std::collections::BTreeMap;

/// How often each word of the text occurs.
#[rwasm_task::export]
fn mapper(text: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in text.to_lowercase().split_whitespace() {
        let word: String = word.chars().filter(|char| char.is_alphabetic()).collect();
        *counts.entry(word).or_default() += 1;
    }
    counts.remove(""); // what was no word at all
    counts
}

/// The counts of all parts added up, the most frequent word first.
#[rwasm_task::export]
fn reducer(parts: Vec<BTreeMap<String, u64>>) -> Vec<(String, u64)> {
    let mut sums = BTreeMap::new();
    for (word, count) in parts.into_iter().flatten() {
        *sums.entry(word).or_default() += count;
    }
    let mut sums = Vec::from_iter(sums);
    sums.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_and_the_most_frequent_comes_first() {
        let parts = vec![mapper("The sea, the river."), mapper("A river")];
        let expected = [("river", 2), ("the", 2), ("a", 1), ("sea", 1)];
        assert_eq!(reducer(parts), expected.map(|(word, count)| (word.to_owned(), count)));
    }
}
