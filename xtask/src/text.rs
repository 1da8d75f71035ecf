//! A text that looks like language to a word count, of any size, and always the same.
//!
//! A few words are very frequent and most are rare (Zipf's law: a word's frequency is one over its rank).
//! Sentences, punctuation, capitals, numbers, accents, lines of different lengths and paragraphs are there too.

use std::collections::HashSet;
use std::io::{self, Write};

/// How many different words there are.
const VOCABULARY: usize = 60_000;

/// Shifts the ranks, so that the very first words are not too frequent (Mandelbrot's form of the law).
const RANK_SHIFT: f64 = 2.7;

const FREQUENT: &str = "the of and to in a is that it was for on with as his he be at by which not this have from but \
    are they all water one light when will so more there if its we who what eye shadow can body than other has would \
    their air them been into painting no out part do my then figure any these may painter had how some such up those \
    Leonardo most between where nature upon l’œuvre motion time above only same great naïve made surface hand very life \
    two café façade because also earth seen man sun Größe colour power never must himself drawing";

const ONSETS: &[&str] = &[
    "b", "br", "c", "d", "dr", "f", "fl", "g", "gr", "h", "l", "m", "n", "p", "pl", "r", "s", "st",
    "t", "tr", "v", "w", "",
];
const VOWELS: &[&str] = &["a", "e", "i", "o", "ea", "ou", "io"];
const CODAS: &[&str] = &["", "", "", "n", "r", "s", "l", "nd"];

/// A word has two syllables, and one more for each time that this many words are more frequent.
const WORDS_PER_SYLLABLE: usize = 25_000;

/// Letters that a word gets now and then in place of an ASCII one, or a few from other scripts.
const FOREIGN: &[&str] = &[
    "é", "è", "ü", "ö", "ç", "ñ", "å", "σ", "λ", "ж", "я", "ł", "ß",
];

/// Writes lines to `out` until there are at least `size` bytes; the last line is whole.
pub(crate) fn write(out: &mut impl Write, size: u64) -> io::Result<()> {
    let mut random = Random(0x5eed);
    let words = vocabulary(&mut random);
    let ranks = Ranks::new(words.len());
    let mut written = 0;
    let mut line = String::new();
    let mut sentence_starts = true;
    while written < size {
        line.clear();
        // Now and then a paragraph ends.
        let width = if random.one_in(12) {
            0
        } else {
            30 + random.below(60)
        };
        while line.len() < width {
            if !line.is_empty() {
                line.push(' ');
            }
            push_word(
                &mut line,
                &words[ranks.pick(&mut random)],
                sentence_starts,
                &mut random,
            );
            sentence_starts = line.ends_with(['.', '?', '!']);
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
        written += line.len() as u64;
    }
    out.flush()
}

/// Adds a word in one of the shapes in which words stand in books.
fn push_word(line: &mut String, word: &str, sentence_starts: bool, random: &mut Random) {
    if sentence_starts || random.one_in(40) {
        let mut letters = word.chars();
        line.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        line.push_str(letters.as_str());
    } else if random.one_in(150) {
        line.push_str(&word.to_uppercase());
    } else {
        line.push_str(word);
    }
    match random.below(1000) {
        0..80 => line.push(','),
        80..140 => line.push('.'),
        140..150 => line.push(';'),
        150..158 => line.push('?'),
        158..162 => line.push('!'),
        162..172 => line.push_str("’s"),
        172..176 => line.push_str(" —"),
        176..177 => line.push_str(" (“so-called”)"),
        177..187 => line.extend([" ", &random.below(2000).to_string()]),
        _ => {}
    }
}

/// Different words, the most frequent first.
fn vocabulary(random: &mut Random) -> Vec<String> {
    let mut words: Vec<String> = FREQUENT.split_whitespace().map(str::to_owned).collect();
    let mut known: HashSet<String> = words.iter().cloned().collect();
    while words.len() < VOCABULARY {
        let mut word = String::new();
        for _ in 0..2 + words.len() / WORDS_PER_SYLLABLE {
            word.push_str(random.choose(ONSETS));
            word.push_str(random.choose(VOWELS));
            word.push_str(random.choose(CODAS));
            if random.one_in(50) {
                word.push_str(random.choose(FOREIGN));
            }
        }
        if known.insert(word.clone()) {
            words.push(word);
        }
    }
    words
}

/// Picks ranks by Zipf's law.
struct Ranks {
    /// For each rank, the weights of all ranks up to it.
    sums: Vec<f64>,
}

impl Ranks {
    fn new(count: usize) -> Self {
        let weights = (0..count).scan(RANK_SHIFT, |divisor, _| {
            *divisor += 1.0;
            Some(1.0 / *divisor)
        });
        let sums = weights.scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self {
            sums: sums.collect(),
        }
    }

    fn pick(&self, random: &mut Random) -> usize {
        let total = self.sums.last().copied().unwrap_or_default();
        let point = random.fraction() * total;
        self.sums
            .partition_point(|&sum| sum <= point)
            .min(self.sums.len() - 1)
    }
}

/// `SplitMix64`: few lines, and the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("the remainder is below a usize")
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// At least 0 and below 1.
    fn fraction(&mut self) -> f64 {
        let bits = u32::try_from(self.next() >> 32).expect("32 bits are left");
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    fn choose<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(size: u64) -> String {
        let mut out = Vec::new();
        write(&mut out, size).expect("memory can be written");
        String::from_utf8(out).expect("words are text")
    }

    #[test]
    fn the_text_is_always_the_same_and_ends_with_a_line() {
        let (short, long) = (text(10_000), text(50_000));
        assert_eq!(short, text(10_000));
        assert!(long.starts_with(&short));
        assert!(short.len() >= 10_000 && short.ends_with('\n'));
        assert_eq!(text(0), "");
    }

    #[test]
    fn the_text_has_what_a_word_count_must_cope_with() {
        let text = text(200_000);
        let words: Vec<&str> = text.split_whitespace().collect();
        let frequent = words.iter().filter(|&&word| word == "the").count();
        assert!(
            frequent * 100 > words.len(),
            "`the` is {frequent} of {} words",
            words.len()
        );
        assert!(words.iter().collect::<HashSet<_>>().len() > words.len() / 10);
        assert!(text.contains("\n\n") && text.contains('“') && text.contains('é'));
        assert!(
            words
                .iter()
                .any(|word| word.len() > 2 && *word == word.to_uppercase())
        );
    }
}
