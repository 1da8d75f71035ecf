//! Turns text to capitals, from stdin to stdout: a WASI command that works line by line.
//!
//! Shows a program that needs nothing of the cluster, takes arguments (`--prefix TEXT` goes before every line) and
//! may get its input in pieces, as long as those end at line ends. Its memory does not grow with the input, not
//! even with the length of a line. Bytes that are not UTF-8 pass through as they are.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;

/// How much is read at once.
const BLOCK: usize = 64 * 1024;

fn main() -> ExitCode {
    let prefix = match prefix_from(env::args().skip(1)) {
        Ok(prefix) => prefix,
        Err(complaint) => {
            eprintln!("upper: {complaint}\nusage: upper [--prefix TEXT] < INPUT");
            return ExitCode::from(2);
        }
    };
    match upper(&mut io::stdin().lock(), &mut io::stdout().lock(), &prefix) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upper: {error}");
            ExitCode::FAILURE
        }
    }
}

fn prefix_from(mut arguments: impl Iterator<Item = String>) -> Result<String, String> {
    let mut prefix = String::new();
    while let Some(argument) = arguments.next() {
        if argument != "--prefix" {
            return Err(format!("unknown argument `{argument}`"));
        }
        prefix = arguments.next().ok_or("`--prefix` wants a text")?;
    }
    Ok(prefix)
}

fn upper(input: &mut impl Read, output: &mut impl Write, prefix: &str) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut capitals = Capitals {
        prefix: prefix.as_bytes(),
        line_starts: true,
        out: Vec::new(),
    };
    let mut filled = 0;
    loop {
        match input.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        // The first bytes of a character whose rest is still to come wait for it.
        let taken = filled - unfinished(&block[..filled]);
        capitals.push(&block[..taken]);
        block.copy_within(taken..filled, 0);
        filled -= taken;
        output.write_all(&capitals.out)?;
        capitals.out.clear();
    }
    capitals.push(&block[..filled]);
    output.write_all(&capitals.out)?;
    output.flush()
}

/// How many bytes at the end of `bytes` begin a character without finishing it: at most three.
fn unfinished(bytes: &[u8]) -> usize {
    let last = &bytes[bytes.len().saturating_sub(3)..];
    (0..last.len())
        .map(|at| &last[at..])
        .find(|end| {
            std::str::from_utf8(end).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
        })
        .map_or(0, <[u8]>::len)
}

/// Gathers output: capitals, with the prefix before each line.
struct Capitals<'a> {
    prefix: &'a [u8],
    line_starts: bool,
    out: Vec<u8>,
}

impl Capitals<'_> {
    fn push(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.line_starts {
                self.out.extend_from_slice(self.prefix);
            }
            for chunk in line.utf8_chunks() {
                self.out
                    .extend_from_slice(chunk.valid().to_uppercase().as_bytes());
                self.out.extend_from_slice(chunk.invalid());
            }
            self.line_starts = line.ends_with(b"\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes one at a time.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else {
                return Ok(0);
            };
            into[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[track_caller]
    fn check(input: &[u8], prefix: &str, expected: &[u8]) {
        let (mut whole, mut dripped) = (Vec::new(), Vec::new());
        upper(&mut &*input, &mut whole, prefix).expect("memory can be written");
        upper(&mut Drip(input), &mut dripped, prefix).expect("memory can be written");
        assert_eq!(whole, expected);
        assert_eq!(dripped, expected, "read byte by byte");
    }

    #[test]
    fn letters_of_every_kind_become_capitals() {
        check(
            "straße, ÷ élan 𐐨\n".as_bytes(),
            "",
            "STRASSE, ÷ ÉLAN 𐐀\n".as_bytes(),
        );
    }

    #[test]
    fn bytes_that_are_no_text_pass_through() {
        check(
            b"a\xff\xe2\x82b\xf0\x9f\n\xc3",
            "",
            b"A\xff\xe2\x82B\xf0\x9f\n\xc3",
        );
    }

    #[test]
    fn the_prefix_goes_before_every_line_and_only_there() {
        check(b"a\n\nb", "> ", b"> A\n> \n> B");
        check(b"", "> ", b"");
    }

    #[test]
    fn other_arguments_are_refused() {
        let parse = |arguments: &[&str]| prefix_from(arguments.iter().map(ToString::to_string));
        assert_eq!(parse(&["--prefix", "x"]), Ok("x".to_owned()));
        assert!(parse(&["--prefix"]).is_err());
        assert!(parse(&["--postfix", "x"]).is_err());
    }
}
