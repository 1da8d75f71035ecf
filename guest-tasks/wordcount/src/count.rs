//! Counting the words of one text, and adding up such counts.
//!
//! Both keep their words in one list, in the order of first appearance, and find them by an index. While a text is
//! read the words' bytes lie in the entries and in one common buffer: strings are made at the end, one for each
//! different word.

use crate::index::{Index, hash};
use crate::words::{HEAD, Word, for_each, head_of};

/// Words too common to count. All are short enough to be known by their heads.
const COMMON: [&str; 69] = [
    "the", "of", "and", "in", "to", "a", "is", "it", "that", "which", "as", "on", "by", "be",
    "this", "with", "are", "from", "will", "at", "you", "not", "for", "no", "have", "i", "or",
    "if", "his", "its", "they", "but", "their", "one", "all", "he", "when", "than", "so", "these",
    "them", "may", "see", "other", "was", "has", "an", "there", "more", "we", "footnote", "who",
    "had", "been", "she", "do", "what", "her", "him", "my", "me", "would", "could", "said", "am",
    "were", "very", "your", "did",
];

/// The heads of the common words, in order.
static COMMON_HEADS: [u64; COMMON.len()] = {
    let mut heads = [0; COMMON.len()];
    let mut number = 0;
    while number < heads.len() {
        assert!(COMMON[number].len() <= HEAD);
        let head = head_of(COMMON[number].as_bytes());
        let mut at = number;
        while at > 0 && heads[at - 1] > head {
            heads[at] = heads[at - 1];
            at -= 1;
        }
        heads[at] = head;
        number += 1;
    }
    heads
};

/// A text has about this many bytes for each different word in it, if it is not short.
const BYTES_PER_DIFFERENT_WORD: usize = 64;

/// No index is made bigger than this beforehand; it grows where it has to.
const EXPECTED_WORDS: usize = 16 * 1024;

struct Counted {
    head: u64,
    tail_start: usize,
    tail_len: usize,
    count: u64,
}

/// How often each word of `text` occurs, common words left out, by first appearance.
pub(crate) fn count(text: &str) -> Vec<(String, u64)> {
    let mut index =
        Index::with_room_for((text.len() / BYTES_PER_DIFFERENT_WORD).min(EXPECTED_WORDS));
    let mut counted: Vec<Counted> = Vec::new();
    let mut tails: Vec<u8> = Vec::new();
    for_each(text, |Word { head, tail }| {
        let known = index.find_or_add(hash(head, tail), |number| {
            let word = &counted[number];
            word.head == head
                && word.tail_len == tail.len()
                && (tail.is_empty() || tails[word.tail_start..][..word.tail_len] == *tail)
        });
        if let Some(number) = known {
            counted[number].count += 1;
        } else {
            counted.push(Counted {
                head,
                tail_start: tails.len(),
                tail_len: tail.len(),
                count: 1,
            });
            tails.extend_from_slice(tail);
        }
    });
    counted
        .into_iter()
        .filter(|word| word.tail_len > 0 || COMMON_HEADS.binary_search(&word.head).is_err())
        .map(|word| {
            (
                spell(word.head, &tails[word.tail_start..][..word.tail_len]),
                word.count,
            )
        })
        .collect()
}

/// The word of this head and tail.
fn spell(head: u64, tail: &[u8]) -> String {
    let letters = HEAD - head.leading_zeros() as usize / 8;
    let mut bytes = Vec::with_capacity(letters + tail.len());
    bytes.extend_from_slice(&head.to_le_bytes()[..letters]);
    bytes.extend_from_slice(tail);
    String::from_utf8(bytes).expect("a word is made of whole characters")
}

struct Total {
    /// The word's first eight bytes as a number that orders like them: it decides most comparisons.
    order: u64,
    word: String,
    count: u64,
}

/// The counts of all parts added up: by falling count, then by word in code-point order.
pub(crate) fn merge(parts: Vec<Vec<(String, u64)>>) -> Vec<(String, u64)> {
    let longest = parts.iter().map(Vec::len).max().unwrap_or_default();
    let mut index = Index::with_room_for(longest);
    let mut totals: Vec<Total> = Vec::with_capacity(longest);
    for (word, count) in parts.into_iter().flatten() {
        let bytes = word.as_bytes();
        let head = head_of(bytes);
        let known = index.find_or_add(
            hash(head, bytes.get(HEAD..).unwrap_or_default()),
            |number| totals[number].word == word,
        );
        match known {
            Some(number) => totals[number].count += count,
            None => totals.push(Total {
                order: head.swap_bytes(),
                word,
                count,
            }),
        }
    }
    totals.sort_unstable_by(|a, b| {
        b.count
            .cmp(&a.count)
            .then(a.order.cmp(&b.order))
            .then_with(|| a.word.cmp(&b.word))
    });
    totals
        .into_iter()
        .map(|total| (total.word, total.count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> Vec<(String, u64)> {
        of.iter()
            .map(|&(word, count)| (word.to_owned(), count))
            .collect()
    }

    #[test]
    fn words_are_counted_by_first_appearance() {
        let text = "Vinci! Leonardo; leonardo. The notebooks, notebook_ notebooks LEONARDO";
        let expected = [
            ("vinci", 1),
            ("leonardo", 3),
            ("notebooks", 2),
            ("notebook_", 1),
        ];
        assert_eq!(count(text), counts(&expected));
        assert_eq!(count(""), []);
    }

    #[test]
    fn every_common_word_is_left_out_and_no_longer_one() {
        assert_eq!(count(&COMMON.join(" ")), []);
        assert_eq!(count("footnotes THE footnote"), counts(&[("footnotes", 1)]));
    }

    #[test]
    fn thousands_of_different_words_keep_apart() {
        let words: Vec<String> = (0..50_000)
            .map(|number| format!("{number:b}").replace('0', "x").replace('1', "y"))
            .collect();
        let expected: Vec<_> = words.iter().map(|word| (word.clone(), 2)).collect();
        assert_eq!(
            count(&[words.join(" "), words.join("\n")].join("\n")),
            expected
        );
    }

    #[test]
    fn a_merge_adds_up_and_sorts_by_count_and_word() {
        let parts = [
            counts(&[("b", 1), ("abcdefgh", 2), ("é", 1), ("abcdefghz", 1)]),
            vec![],
            counts(&[
                ("b", 4),
                ("abcdefgha", 2),
                ("abcdefghz", 1),
                ("ab", 2),
                ("z", 1),
            ]),
        ];
        let expected = [
            ("b", 5),
            ("ab", 2),
            ("abcdefgh", 2),
            ("abcdefgha", 2),
            ("abcdefghz", 2),
            ("z", 1),
            ("é", 1),
        ];
        assert_eq!(merge(parts.to_vec()), counts(&expected));
        assert_eq!(merge(vec![]), []);
    }

    #[test]
    fn merging_in_steps_gives_what_merging_at_once_gives() {
        let parts: Vec<_> = ["one two two", "three Two", "four one", "two"]
            .map(count)
            .into();
        let steps = merge(vec![merge(parts[..2].to_vec()), merge(parts[2..].to_vec())]);
        assert_eq!(steps, merge(parts));
    }
}
