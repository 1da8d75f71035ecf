//! Sorts the lines of stdin by their bytes: a WASI command that must see the whole input.
//!
//! Shows a program that would be wrong on pieces. Every line of the output ends in a newline.

use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    io::stdout().lock().write_all(&sorted(&text))
}

fn sorted(text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text
        .split_inclusive(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
        .collect();
    lines.sort_unstable();
    lines
        .iter()
        .flat_map(|line| [line, &b"\n"[..]])
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sorted_by_their_bytes() {
        assert_eq!(
            sorted("b\né\nB\n\nab".as_bytes()),
            "\nB\nab\nb\né\n".as_bytes()
        );
        assert_eq!(sorted(b""), b"");
    }
}
