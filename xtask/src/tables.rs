//! `cargo xtask tables`: what the word counts in C and JavaScript know of Unicode, as source files of theirs.
//!
//! Neither language brings it along: wasi-libc's `iswalpha` and `towlower` know fewer characters than Unicode has, and
//! the JavaScript engine has no `\p{…}`. The tables are made of what the word count in Rust goes by, so that all agree.

use crate::shell::{self, note};
use anyhow::{Context, Result};
use std::fs;
use std::ops::RangeInclusive;
use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// How wide a line of a table is, as in all files here.
const WIDTH: usize = 118;

/// A name, what is said of it, and which characters it has.
type Set = (&'static str, &'static str, fn(char) -> bool);

/// The sets that are written down: name, meaning, members.
const SETS: [Set; 3] = [
    (
        "KEPT",
        "Letters, and numbers that are not decimal digits.",
        is_kept,
    ),
    (
        "CASED",
        "Letters that make a capital sigma after them a final one.",
        is_cased,
    ),
    (
        "IGNORED",
        "What is looked past on either side of a capital sigma.",
        is_ignored,
    ),
];

/// Writes the tables to their places.
pub(crate) fn write() -> Result<()> {
    let files = [
        ("wordcount-c/src/unicode_tables.h", in_c()),
        ("wordcount-js/unicode.js", in_javascript()),
    ];
    for (name, content) in files {
        let path = shell::guest_root().join(name);
        fs::write(&path, content)
            .with_context(|| format!("cannot write {}", shell::shown(&path)))?;
        note(format_args!("tables: {} is written", shell::shown(&path)));
    }
    Ok(())
}

fn in_c() -> String {
    let mut text = String::from(
        "/* What Unicode says of characters. Made by `cargo xtask tables`. */\n\
         #include <stdint.h>\n\n\
         struct range { uint32_t first, last; };\n\n\
         /* Every `step`th character from `first` to `last` has `delta` added when it is made small. */\n\
         struct lower { uint32_t first, last; int32_t delta; uint32_t step; };\n",
    );
    for (name, what, is_in) in SETS {
        let ranges = ranges(is_in);
        let items = ranges
            .iter()
            .map(|range| format!("{{{:#x},{:#x}}}", range.start(), range.end()));
        text.push_str(&format!(
            "\n/* {what} */\nstatic const struct range {name}[] = {{\n"
        ));
        text.push_str(&wrapped(items, ","));
        text.push_str("};\n");
    }
    text.push_str("\nstatic const struct lower LOWER[] = {\n");
    let items = lower().into_iter().map(|run| {
        format!(
            "{{{:#x},{:#x},{},{}}}",
            run.first, run.last, run.delta, run.step
        )
    });
    text.push_str(&wrapped(items, ","));
    text.push_str("};\n");
    text
}

fn in_javascript() -> String {
    let mut text = String::from(
        "// What Unicode says of characters, as the insides of classes in regular expressions. Made by `cargo xtask tables`.\n",
    );
    for (name, what, is_in) in SETS {
        let items = ranges(is_in).into_iter().map(|range| {
            let (first, last) = (escaped(*range.start()), escaped(*range.end()));
            match range.end() - range.start() {
                0 => first,
                1 => first + &last,
                _ => format!("{first}-{last}"),
            }
        });
        let lines = wrapped(items, "");
        let lines: Vec<_> = lines
            .lines()
            .map(|line| format!("  \"{}\"", line.trim()))
            .collect();
        text.push_str(&format!("\n// {what}\nexport const {name} =\n"));
        text.push_str(&lines.join(" +\n"));
        text.push_str(";\n");
    }
    text
}

/// The character in a regular expression in a string.
fn escaped(code: u32) -> String {
    if code <= 0xffff {
        format!("\\\\u{code:04x}")
    } else {
        format!("\\\\u{{{code:x}}}")
    }
}

/// The items in lines that are not too long.
fn wrapped(items: impl Iterator<Item = String>, after: &str) -> String {
    let mut text = String::new();
    let mut line = String::from("  ");
    for item in items {
        if line.len() + item.len() + after.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line.truncate(2);
        }
        line.push_str(&item);
        line.push_str(after);
    }
    text + &line + "\n"
}

/// All characters.
fn characters() -> impl Iterator<Item = char> {
    '\0'..=char::MAX
}

/// The characters of a set as ranges of code points. Surrogates are none, and part no range.
fn ranges(is_in: impl Fn(char) -> bool) -> Vec<RangeInclusive<u32>> {
    let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
    for code in characters().filter(|&char| is_in(char)).map(u32::from) {
        match ranges.last_mut() {
            Some(last) if last.end() + 1 == code => *last = *last.start()..=code,
            _ => ranges.push(code..=code),
        }
    }
    ranges
}

/// As in `guest-tasks/wordcount/src/words.rs`.
fn is_kept(char: char) -> bool {
    matches!(
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

/// Whether a capital sigma behind this text becomes a final one.
fn makes_final(before: &str) -> bool {
    format!("{before}Σ").to_lowercase().ends_with('ς')
}

fn is_cased(char: char) -> bool {
    makes_final(&char.to_string())
}

fn is_ignored(char: char) -> bool {
    makes_final(&format!("a{char}")) && !is_cased(char)
}

#[derive(Clone, Copy)]
struct Lower {
    first: u32,
    last: u32,
    delta: i64,
    step: u32,
}

/// What becomes of capitals, in runs of the same difference. Of a character that becomes several, the first counts:
/// the only one is U+0130, and what follows in it is a combining mark, which words do not keep.
fn lower() -> Vec<Lower> {
    let mut runs: Vec<Lower> = Vec::new();
    for char in characters() {
        let code = u32::from(char);
        let small = char.to_lowercase().next().unwrap_or(char);
        let delta = i64::from(u32::from(small)) - i64::from(code);
        if delta == 0 {
            continue;
        }
        if let Some(run) = runs.last_mut()
            && run.delta == delta
        {
            let step = code - run.last;
            if step <= 2 && (run.first == run.last || run.step == step) {
                (run.last, run.step) = (code, step);
                continue;
            }
        }
        runs.push(Lower {
            first: code,
            last: code,
            delta,
            step: 1,
        });
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_say_of_every_character_what_becomes_of_it() {
        let runs = lower();
        for char in characters() {
            let code = u32::from(char);
            let run = runs.iter().find(|run| {
                (run.first..=run.last).contains(&code) && (code - run.first) % run.step == 0
            });
            let small = i64::from(code) + run.map_or(0, |run| run.delta);
            let expected = char.to_lowercase().next().map(u32::from);
            assert_eq!(Some(small), expected.map(i64::from), "{char:?}");
        }
    }

    #[test]
    fn no_run_overlaps_the_next() {
        // A search by the first character of a run finds the only one that a character may be in.
        assert!(lower().windows(2).all(|pair| pair[0].last < pair[1].first));
    }

    #[test]
    fn what_stands_around_a_sigma_is_known() {
        assert!(is_cased('é') && is_cased('Ж') && !is_cased('漢') && !is_cased('’'));
        assert!(is_ignored('’') && is_ignored('\u{301}') && !is_ignored('é') && !is_ignored('—'));
        assert!(
            is_kept('é') && is_kept('Ⅷ') && is_kept('½') && !is_kept('٣') && !is_kept('\u{301}')
        );
    }
}
