//! Texts with words, brackets and escapes changed, for parsers.

use fastrand::Rng;

/// What parsers of values, options and modules look for.
const WORDS: [&str; 48] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    ",",
    ":",
    "=",
    "..",
    "..=",
    "\"",
    "'",
    "\\",
    "%",
    "-",
    "+",
    "/",
    "//",
    ";;",
    "(;",
    "\n",
    "\0",
    "\u{1b}[31m",
    "é",
    "\u{10ffff}",
    "\\u{",
    "\\ud800",
    "\"\"\"",
    "none",
    "some(",
    "ok(",
    "err(",
    "null",
    "true",
    "inf",
    "nan",
    "-0",
    "1e999",
    "0x1p",
    "18446744073709551616",
    "KiB",
    "9EiB",
    "lines:",
    "exact:",
    "all",
];

/// A few changes in a text, at the borders of its words and brackets.
pub(crate) fn mutate(random: &mut Rng, text: &mut String) {
    for _ in 0..1 << random.u32(0..4) {
        let (at, end) = (place(random, text), place(random, text));
        let (at, end) = (at.min(end), at.max(end).min(at.min(end) + 64));
        let end = (end..=text.len())
            .find(|&end| text.is_char_boundary(end))
            .unwrap_or(text.len());
        match random.u8(0..7) {
            0 => text.replace_range(at..end, ""),
            1 => {
                let part = text[at..end].to_owned();
                let elsewhere = place(random, text);
                text.insert_str(elsewhere, &part);
            }
            2 => {
                // Deep, or long.
                let part = if random.bool() {
                    text[at..end].to_owned()
                } else {
                    word(random).to_owned()
                };
                text.insert_str(at, &part.repeat(1 << random.u32(0..12)));
            }
            3 => text.truncate(at),
            4 => text.insert(at, random.char(..)),
            _ => text.insert_str(at, word(random)),
        }
        if text.len() > 1 << 18 {
            return;
        }
    }
}

fn word(random: &mut Rng) -> &'static str {
    WORDS[random.usize(0..WORDS.len())]
}

/// Somewhere in the text: just before or after a character that is no letter or digit, where there is one.
fn place(random: &mut Rng, text: &str) -> usize {
    let from = random.usize(0..=text.len());
    let is_border = |at: &usize| {
        text.is_char_boundary(*at)
            && text[*at..].starts_with(|char: char| !char.is_ascii_alphanumeric())
    };
    let near = (from..text.len()).take(32).find(is_border);
    near.unwrap_or_else(|| {
        (from..=text.len())
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(text.len())
    })
}
