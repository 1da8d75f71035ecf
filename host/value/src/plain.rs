//! Guest text made fit to show: shortened, and without characters that a terminal would obey.

use std::any::Any;
use std::char::EscapeDefault;
use std::fmt::Write as _;
use std::path::Path;

/// The most bytes of a text that are kept.
const MOST: usize = 16 << 10;

/// Returns the text unchanged if it is short and its only control characters are line ends and
/// tabs. Otherwise control characters are escaped, and a text that is too long is cut and ends with
/// its full length.
#[doc(hidden)]
pub fn plain(text: String) -> String {
    shortened(text, MOST)
}

/// Does the same as [`shortened`], for a text that stands within another.
#[doc(hidden)]
pub fn shortened(text: String, most: usize) -> String {
    if text.len() <= most && !text.chars().any(is_command) {
        return text;
    }
    let mut shown = String::new();
    for letter in text.chars() {
        if shown.len() >= most {
            // Writing to a string cannot fail.
            let _ = write!(shown, "… ({} bytes in all)", text.len());
            break;
        }
        if is_command(letter) {
            shown.extend(escape(letter));
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Returns the message of a panic; a panic with another payload than text has none, and says so.
#[doc(hidden)]
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

/// Returns the whole text, however long, fit to show to people.
#[doc(hidden)]
#[must_use]
pub fn visible(text: &str) -> String {
    shortened(text.to_owned(), usize::MAX)
}

/// Returns the text in one line, with an escape for each character that [`leaves_line`].
#[doc(hidden)]
#[must_use]
pub fn in_line(text: &str) -> String {
    text.chars().flat_map(letter).collect()
}

/// Returns the path in one line: the name of a file may contain anything, even line ends.
#[doc(hidden)]
#[must_use]
pub fn path(path: &Path) -> String {
    in_line(&path.display().to_string())
}

/// Returns the character as it stands in a line: itself, or its escape if it [`leaves_line`].
#[doc(hidden)]
pub fn letter(letter: char) -> impl Iterator<Item = char> {
    let escaped = leaves_line(letter).then(|| escape(letter));
    let itself = escaped.is_none().then_some(letter);
    escaped.into_iter().flatten().chain(itself)
}

/// Returns what all texts show instead of a character: `\n`, `\t`, `\r`, or its number as in `\u{1b}`.
#[doc(hidden)]
pub fn escape(letter: char) -> EscapeDefault {
    letter.escape_default()
}

/// Whether a terminal may obey the character, or show the text after it in a different order.
#[doc(hidden)]
#[must_use]
pub fn is_command(letter: char) -> bool {
    letter.is_control() && letter != '\n' && letter != '\t'
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether the character may not stand in a line of its own text: controls, all kinds of line ends and tabs included, and
/// what changes the order of the text after it.
#[doc(hidden)]
#[must_use]
pub fn leaves_line(letter: char) -> bool {
    letter.is_control() || is_command(letter) || matches!(letter, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_texts_stay_and_others_are_escaped_and_cut() {
        for text in ["", "two\nlines\twith día 漢字"] {
            assert_eq!(plain(text.to_owned()), text);
        }
        assert_eq!(
            plain("a\u{1b}[2J\r\u{202e}b".to_owned()),
            "a\\u{1b}[2J\\r\\u{202e}b"
        );
        assert_eq!(
            in_line("día\r\n\t\\\u{202e}\u{2028}漢"),
            "día\\r\\n\\t\\\\u{202e}\\u{2028}漢"
        );
        let long = plain("é".repeat(MOST));
        assert!(long.ends_with("é… (32768 bytes in all)"), "{long}");
        assert!(long.len() < MOST + 40);
    }
}
