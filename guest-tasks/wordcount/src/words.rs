//! What a word is, and finding the words of a text.
//!
//! A word is a piece between white space, lower-cased, of which only letters, the numbers that are not decimal
//! digits (Roman numerals, fractions) and `_` are kept. Pieces of which nothing is kept are not words. White space
//! is what Python's `str.isspace` says: Unicode's, and the four separators U+001C to U+001F.
//!
//! Most words of most texts are up to eight ASCII letters, so eight bytes are looked at in one go, as a number,
//! and a word is passed on as its first eight bytes (`head`, a number again) and the rest.

use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// How many bytes of a word its head holds.
pub(crate) const HEAD: usize = 8;

/// A word, not empty. No word contains a zero byte, so a head below `1 << 56` says how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    /// The first eight bytes, the first of them lowest; zeros where the word is shorter.
    pub(crate) head: u64,
    /// What follows the head.
    pub(crate) tail: &'a [u8],
}

/// The first bytes of a word as its head.
pub(crate) const fn head_of(word: &[u8]) -> u64 {
    let mut head = 0;
    let mut at = 0;
    while at < word.len() && at < HEAD {
        head |= (word[at] as u64) << (8 * at);
        at += 1;
    }
    head
}

const DROPPED: u8 = 0;
const SPACE: u8 = 1;
/// Part of a character of several bytes.
const LONGER: u8 = 2;

/// What to do with each byte: one of the above, else the byte is kept and this is its lower case.
static CLASSES: [u8; 256] = {
    let mut classes = [DROPPED; 256];
    let mut byte = 0;
    while byte < classes.len() {
        #[expect(clippy::cast_possible_truncation, reason = "there are 256 of them")]
        let value = byte as u8;
        classes[byte] = match value {
            b'\t'..=b'\r' | 0x1c..=b' ' => SPACE,
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => value.to_ascii_lowercase(),
            0x80.. => LONGER,
            _ => DROPPED,
        };
        byte += 1;
    }
    classes
};

/// Calls `found` for each word of `text`, in order.
pub(crate) fn for_each(text: &str, mut found: impl FnMut(Word)) {
    let bytes = text.as_bytes();
    let mut draft = Draft::default();
    let mut piece = 0;
    let mut at = 0;
    while at < bytes.len() {
        let (letters, count) = leading_letters(next_bytes(bytes, at));
        draft.push(letters, count);
        at += count;
        let Some(&byte) = bytes.get(at) else { break };
        match CLASSES[usize::from(byte)] {
            DROPPED => at += 1,
            SPACE => {
                draft.finish(&mut found);
                at += 1;
                piece = at;
            }
            // U+2010 to U+2027: dashes, quotation marks, bullets. Books are full of them.
            LONGER if matches!(bytes[at..], [0xe2, 0x80, 0x90..=0xa7, ..]) => at += 3,
            LONGER => {
                let char = text[at..].chars().next().unwrap_or_default();
                if char == 'Σ' {
                    at = piece + draft.lower_in_context(&text[piece..]);
                    continue;
                }
                at += char.len_utf8();
                if char.is_whitespace() {
                    draft.finish(&mut found);
                    piece = at;
                } else {
                    draft.push_kept(char.to_lowercase());
                }
            }
            kept => {
                draft.push(kept.into(), 1);
                at += 1;
            }
        }
    }
    draft.finish(&mut found);
}

/// The bytes of `text` at `at`, with zeros where it ends.
#[inline]
fn next_bytes(text: &[u8], at: usize) -> [u8; HEAD] {
    text[at..].first_chunk().copied().unwrap_or_else(|| {
        let rest = &text[at..];
        let mut padded = [0; HEAD];
        padded[..rest.len()].copy_from_slice(rest);
        padded
    })
}

/// The ASCII letters that `next` begins with, in lower case and followed by zeros, and how many there are.
#[inline]
fn leading_letters(next: [u8; HEAD]) -> (u64, usize) {
    const EVERY: u64 = u64::MAX / 0xff; // 0x01 in each byte
    const HIGH: u64 = EVERY * 0x80;
    let raw = u64::from_le_bytes(next);
    // Bit 5 makes the capitals small, and makes no letter of anything else.
    let lower = raw | (EVERY * 0x20);
    // With the high bits cleared no sum carries into the next byte: it sets that byte's high bit or not.
    let seven = lower & !HIGH;
    let from_a = seven + EVERY * (0x80 - u64::from(b'a'));
    let past_z = seven + EVERY * (0x7f - u64::from(b'z'));
    let others = !(from_a & !past_z & !raw) & HIGH;
    match others.trailing_zeros() / 8 {
        0 => (0, 0),
        8 => (lower, HEAD),
        letters => (lower & (u64::MAX >> (64 - 8 * letters)), letters as usize),
    }
}

/// A word while its letters come in.
#[derive(Default)]
struct Draft {
    head: u64,
    tail: Vec<u8>,
    /// The bytes of head and tail together.
    len: usize,
}

impl Draft {
    /// Adds the lowest `count` bytes of `bytes`; those above are zero.
    #[inline]
    fn push(&mut self, bytes: u64, count: usize) {
        if self.len < HEAD {
            self.head |= bytes << (8 * self.len);
        }
        let in_head = HEAD.saturating_sub(self.len);
        if count > in_head {
            self.tail
                .extend_from_slice(&bytes.to_le_bytes()[in_head..count]);
        }
        self.len += count;
    }

    /// Adds those of the lower-case `chars` that a word keeps.
    fn push_kept(&mut self, chars: impl Iterator<Item = char>) {
        for char in chars.filter(|&char| is_kept(char)) {
            let mut bytes = [0; HEAD];
            let count = char.encode_utf8(&mut bytes).len();
            self.push(u64::from_le_bytes(bytes), count);
        }
    }

    /// Starts again with the piece that `text` begins with, since the small form of a capital sigma depends on
    /// what stands around it; gives the length of the piece.
    #[cold]
    fn lower_in_context(&mut self, text: &str) -> usize {
        let piece = text.split(is_space).next().unwrap_or(text);
        self.clear();
        self.push_kept(piece.to_lowercase().chars());
        piece.len()
    }

    #[inline]
    fn finish(&mut self, found: &mut impl FnMut(Word)) {
        if self.len > 0 {
            found(Word {
                head: self.head,
                tail: &self.tail,
            });
            self.clear();
        }
    }

    #[inline]
    fn clear(&mut self) {
        self.head = 0;
        self.tail.clear();
        self.len = 0;
    }
}

fn is_space(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\u{1c}'..='\u{1f}')
}

/// Whether a word keeps `char`: `_` and the letters and numbers of Unicode, but no decimal digits. Combining marks
/// go.
fn is_kept(char: char) -> bool {
    char == '_'
        || matches!(
            get_general_category(char),
            Category::UppercaseLetter
                | Category::LowercaseLetter
                | Category::TitlecaseLetter
                | Category::ModifierLetter
                | Category::OtherLetter
                | Category::LetterNumber
                | Category::OtherNumber
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        for_each(text, |Word { head, tail }| {
            let head = head.to_le_bytes();
            let head = head.iter().take_while(|&&byte| byte != 0);
            let bytes = head.chain(tail).copied().collect();
            words.push(String::from_utf8(bytes).expect("words are text"));
        });
        words
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(words(text), expected, "words of {text:?}");
    }

    #[test]
    fn white_space_parts_words_and_nothing_else_does() {
        check("", &[]);
        check(" \r\n\t ", &[]);
        check("a  bee\r\nsea", &["a", "bee", "sea"]);
        check(
            "a\u{1c}b\u{1d}c\u{1e}d\u{1f}e\u{b}f\u{c}g",
            &["a", "b", "c", "d", "e", "f", "g"],
        );
        check(
            "a\u{85}b\u{a0}c\u{2003}d\u{2028}e\u{3000}f",
            &["a", "b", "c", "d", "e", "f"],
        );
        check(
            "zero\u{200b}width, re-entry, so—called",
            &["zerowidth", "reentry", "socalled"],
        );
    }

    #[test]
    fn letters_and_underscores_are_kept_and_made_small() {
        check("Hello, WORLD! @[`{Zz}~", &["hello", "world", "zz"]);
        check("snake_Case __ _", &["snake_case", "__", "_"]);
        check("ÉLAN Ǆ ᾈ ÀÉÎÕÜ", &["élan", "ǆ", "ᾀ", "àéîõü"]);
        check("“Quoted,” he’s ‘here’…", &["quoted", "hes", "here"]);
    }

    #[test]
    fn words_of_every_length_come_whole() {
        for len in 1..40 {
            let word = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"[..len].to_owned();
            let parted: String = word.chars().flat_map(|letter| [letter, '-']).collect();
            check(&word, &[&word]);
            check(
                &format!("{word} {word}, {parted}\n"),
                &[&word, &word, &word],
            );
        }
        check("ééééééééé xééééééééé", &["ééééééééé", "xééééééééé"]);
    }

    #[test]
    fn digits_go_but_other_numbers_stay() {
        check("b4 the 2nd 1984 x²", &["b", "the", "nd", "x²"]);
        check("١٢٣ ४२ ½ Ⅷ 〇 ①", &["½", "ⅷ", "〇", "①"]);
    }

    #[test]
    fn combining_marks_and_the_byte_order_mark_go() {
        check("e\u{301}te\u{301} \u{301}", &["ete"]);
        check("\u{feff}The \u{feff}", &["the"]);
        // The vowel signs and the virama are marks; the letters stay.
        check("हिन्दी", &["हनद"]);
        check("İstanbul", &["istanbul"]);
    }

    #[test]
    fn a_sigma_is_final_only_where_a_word_ends() {
        check("ΟΔΥΣΣΕΥΣ", &["οδυσσευς"]);
        check("ab.ΣΑΣ, Σ ΣΑΣΑ", &["abσας", "σ", "σασα"]);
        check("x\u{1c}ΑΣ\u{1c}y", &["x", "ας", "y"]);
    }
}
