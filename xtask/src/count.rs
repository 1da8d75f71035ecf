//! The serial word count that a cluster's must equal: one thread, one map, nothing clever.
//!
//! Shares no code with the guest: its words are said again here, in the plainest way. A word is a piece between
//! white space, lower-cased, of which letters, `_` and the numbers that are not decimal digits are kept.

use crate::shell;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use unicode_general_category::{GeneralCategory as Category, get_general_category};

const COMMON: &str = "the of and in to a is it that which as on by be this with are from will at you not for no have i \
    or if his its they but their one all he when than so these them may see other was has an there more we footnote who \
    had been she do what her him my me would could said am were very your did";

/// Counts the words of all `files` together: by falling count, then by word in code-point order.
pub(crate) fn count(files: &[PathBuf]) -> Result<Vec<(String, u64)>> {
    let mut counts = HashMap::new();
    for file in files {
        let name = || format!("cannot read {}", shell::shown(file));
        let mut text = BufReader::new(File::open(file).with_context(name)?);
        let mut line = String::new();
        while text.read_line(&mut line).with_context(name)? > 0 {
            count_line(&line, &mut counts);
            line.clear();
        }
    }
    Ok(sorted(counts))
}

/// Writes counts as lines of word, tab, count.
pub(crate) fn write(counts: &[(String, u64)], out: &mut impl Write) -> Result<()> {
    for (word, count) in counts {
        writeln!(out, "{word}\t{count}")?;
    }
    Ok(out.flush()?)
}

fn count_line(line: &str, counts: &mut HashMap<String, u64>) {
    for piece in line.split(is_space) {
        let mut word = piece.to_lowercase();
        word.retain(is_kept);
        if !word.is_empty() {
            *counts.entry(word).or_default() += 1;
        }
    }
}

fn sorted(mut counts: HashMap<String, u64>) -> Vec<(String, u64)> {
    for word in COMMON.split_whitespace() {
        counts.remove(word);
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(word_a, a), (word_b, b)| b.cmp(a).then_with(|| word_a.cmp(word_b)));
    counts
}

fn is_space(char: char) -> bool {
    char.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&char)
}

fn is_kept(char: char) -> bool {
    use Category::{
        LetterNumber, LowercaseLetter, ModifierLetter, OtherLetter, OtherNumber, TitlecaseLetter,
        UppercaseLetter,
    };
    if char.is_ascii() {
        return char.is_ascii_alphabetic() || char == '_';
    }
    matches!(
        get_general_category(char),
        UppercaseLetter
            | LowercaseLetter
            | TitlecaseLetter
            | ModifierLetter
            | OtherLetter
            | LetterNumber
            | OtherNumber
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], expected: &str) {
        let mut counts = HashMap::new();
        for line in lines {
            count_line(line, &mut counts);
        }
        let mut out = Vec::new();
        write(&sorted(counts), &mut out).expect("memory can be written");
        assert_eq!(String::from_utf8(out).expect("words are text"), expected);
    }

    #[test]
    fn words_come_by_falling_count_then_by_code_point() {
        check(
            &["bee Ant, ant;\n", "élan zoo\tbee\r\n", "Bee"],
            "bee\t3\nant\t2\nzoo\t1\nélan\t1\n",
        );
        check(&[], "");
    }

    #[test]
    fn digits_marks_and_common_words_go() {
        check(
            &["The 1452 2nd e\u{301}te\u{301} a_b ½ Ⅷ x\u{1c}y"],
            "a_b\t1\nete\t1\nnd\t1\nx\t1\ny\t1\n½\t1\nⅷ\t1\n",
        );
    }

    #[test]
    fn a_capital_sigma_knows_where_it_stands() {
        check(&["ΟΔΥΣΣΕΥΣ"], "οδυσσευς\t1\n");
    }
}
