//! Texts that come from guests and are shown to people: short, and without what a terminal would obey.

use std::any::Any;
use std::fmt::Write as _;

/// The bytes that are kept of a text, at most.
const MOST: usize = 16 << 10;

/// The text as it is, if it is short and has no control characters but line ends and tabs. Others are escaped, and what is
/// too long is cut, which the text then says.
#[doc(hidden)]
pub fn plain(text: String) -> String {
    shortened(text, MOST)
}

/// The same, for a text that stands among others.
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
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// What a panic said, if it said anything.
#[doc(hidden)]
pub fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}

/// The whole text, however long, as it may be shown to people.
#[doc(hidden)]
#[must_use]
pub fn visible(text: &str) -> String {
    shortened(text.to_owned(), usize::MAX)
}

/// Whether a terminal may obey the character, or show what follows it in another order.
#[doc(hidden)]
#[must_use]
pub fn is_command(letter: char) -> bool {
    letter.is_control() && letter != '\n' && letter != '\t'
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
            "a\\u{1b}[2J\\u{d}\\u{202e}b"
        );
        let long = plain("é".repeat(MOST));
        assert!(long.ends_with("é… (32768 bytes in all)"), "{long}");
        assert!(long.len() < MOST + 40);
    }
}
