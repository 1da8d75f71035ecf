//! Texts like those of books, made from a seed, and the serial word count that every parallel one must equal.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

/// Pseudo-random numbers, the same for the same seed (`SplitMix64`).
pub(crate) struct Prng(u64);

impl Prng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * bound as u128;
        usize::try_from(wide >> 64).expect("it is below a usize")
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}

/// How a generated text looks.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    pub(crate) seed: u64,
    pub(crate) bytes: usize,
    pub(crate) line_end: &'static str,
    /// How many bytes a line has before it may end.
    pub(crate) line: usize,
    pub(crate) ends_with_newline: bool,
}

const ALPHABETS: [&str; 5] = [
    "abcdefghijklmnopqrstuvwxyz",
    "abcdefghijklmnopqrstuvwxyz",
    "aàâäbcçdeéèêfghiîjklmnñoôöpqrstuùûüvwxyzßæœ",
    "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "αβγδεζηθικλμνξοπρτυφχψω",
];

impl Text {
    /// A text of about this many bytes, in lines like those of a book.
    pub(crate) const fn of(seed: u64, bytes: usize) -> Self {
        Self {
            seed,
            bytes,
            line_end: "\n",
            line: 60,
            ends_with_newline: true,
        }
    }

    pub(crate) fn make(self) -> String {
        let mut random = Prng::new(self.seed);
        let words = vocabulary(&mut random, 2000);
        let mut text = String::with_capacity(self.bytes + 64);
        let mut line_start = 0;
        while text.len() < self.bytes {
            word(&mut random, &words, &mut text);
            if text.len() - line_start >= self.line {
                text.push_str(self.line_end);
                if random.chance(12) {
                    text.push_str(self.line_end);
                }
                line_start = text.len();
            } else {
                text.push_str(random.pick(&[" ", " ", " ", " ", "  ", "\t", "\u{a0}"]));
            }
        }
        text.truncate(text.trim_end().len());
        if self.ends_with_newline {
            text.push_str(self.line_end);
        }
        text
    }
}

/// Different words; those in front are used more often.
fn vocabulary(random: &mut Prng, count: usize) -> Vec<String> {
    let mut words = Vec::with_capacity(count);
    while words.len() < count {
        let letters: Vec<char> = random.pick(&ALPHABETS).chars().collect();
        let length = 1 + random.below(4) + random.below(5) + random.below(5);
        words.push((0..length).map(|_| random.pick(&letters)).collect());
    }
    words
}

fn word(random: &mut Prng, words: &[String], text: &mut String) {
    // Squared, so that the first words come most often, as in any language.
    let rank = random.below(words.len()) * random.below(words.len()) / words.len();
    let word = if random.chance(3) {
        random.pick(&COMMON)
    } else {
        words[rank].as_str()
    };
    match random.below(40) {
        0 => text.push_str(&word.to_uppercase()),
        1 => drop(write!(text, "“{word},”")),
        2 => drop(write!(text, "{word}’s")),
        3 => drop(write!(text, "{word}-{}", random.pick(words))),
        4 => drop(write!(text, "({word})")),
        5 => drop(write!(text, "{word}_{}", random.below(10))),
        6 => drop(write!(text, "{}", random.below(2000))),
        7 => drop(write!(text, "{word}{}.", random.below(100))),
        8 => text.push('—'),
        9 => drop(write!(text, "漢字{word}٣")),
        _ => text.push_str(word),
    }
}

/// The counts of all words of all texts, as the program prints them: by falling count, then by word.
///
/// A word is a piece between white space, lower-cased, of which letters and `_` are kept. That is the definition of
/// the word count for the characters that generated texts have.
pub(crate) fn word_count(texts: &[&str]) -> String {
    let common: BTreeSet<&str> = COMMON.into();
    let mut counts: HashMap<String, u64> = HashMap::new();
    for piece in texts.iter().flat_map(|text| text.split_whitespace()) {
        let mut word = piece.to_lowercase();
        word.retain(|letter| letter.is_alphabetic() || letter == '_');
        if !word.is_empty() && !common.contains(word.as_str()) {
            *counts.entry(word).or_default() += 1;
        }
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_unstable_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    let mut lines = String::new();
    for (word, count) in counts {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{word}\t{count}");
    }
    lines
}

/// The words that are too common to count.
const COMMON: [&str; 69] = [
    "the", "of", "and", "in", "to", "a", "is", "it", "that", "which", "as", "on", "by", "be",
    "this", "with", "are", "from", "will", "at", "you", "not", "for", "no", "have", "i", "or",
    "if", "his", "its", "they", "but", "their", "one", "all", "he", "when", "than", "so", "these",
    "them", "may", "see", "other", "was", "has", "an", "there", "more", "we", "footnote", "who",
    "had", "been", "she", "do", "what", "her", "him", "my", "me", "would", "could", "said", "am",
    "were", "very", "your", "did",
];
