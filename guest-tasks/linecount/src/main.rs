//! Counts the lines, words and bytes of stdin, like `wc`: a WASI command whose answer is about the whole input.
//!
//! Shows a program that reads a stream of any length in little memory. Words are what ASCII white space separates.

use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    let counts = Counts::of(&mut io::stdin().lock())?;
    writeln!(
        io::stdout().lock(),
        "{} {} {}",
        counts.lines,
        counts.words,
        counts.bytes
    )
}

#[derive(Debug, Default, PartialEq)]
struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
}

impl Counts {
    fn of(input: &mut impl BufRead) -> io::Result<Self> {
        let mut counts = Self::default();
        let mut in_word = false;
        loop {
            let block = input.fill_buf()?;
            if block.is_empty() {
                return Ok(counts);
            }
            for &byte in block {
                let space = byte.is_ascii_whitespace() || byte == 0x0b;
                counts.lines += u64::from(byte == b'\n');
                counts.words += u64::from(!in_word && !space);
                in_word = !space;
            }
            let read = block.len();
            counts.bytes += read as u64;
            input.consume(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, lines: u64, words: u64, bytes: u64) {
        let expected = Counts {
            lines,
            words,
            bytes,
        };
        assert_eq!(
            Counts::of(&mut text.as_bytes()).expect("memory can be read"),
            expected
        );
    }

    #[test]
    fn counts_are_those_of_wc() {
        check("", 0, 0, 0);
        check("one  two\n three\u{b}four", 1, 4, 20);
        check("\n\n", 2, 0, 2);
    }
}
