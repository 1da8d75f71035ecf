//! Converts Rust names to WIT names.

use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::{Error, Ident, Result};

/// Returns the WIT name for this Rust name.
pub(crate) fn of(ident: &Ident) -> Result<String> {
    let rust = ident.unraw().to_string();
    let name = kebab(&rust);
    check(&name, ident.span())
        .map_err(|_| {
            let text = format!("`{rust}` cannot be turned into a WIT name, which has ASCII letters and digits and starts with a letter: set one with `name = \"…\"`");
            Error::new(ident.span(), text)
        })?;
    Ok(name)
}

/// Whether it is a valid WIT name: words of letters and digits with `-` between them, each starting
/// with a letter and entirely in lower or upper case.
pub(crate) fn check(name: &str, span: Span) -> Result<()> {
    let is_word = |word: &str| {
        let (mut small, mut capital) = (false, false);
        for char in word.chars() {
            match char {
                'a'..='z' => small = true,
                'A'..='Z' => capital = true,
                '0'..='9' if small || capital => {}
                _ => return false,
            }
        }
        small != capital
    };
    if name.split('-').all(is_word) {
        return Ok(());
    }
    let text = format!(
        "`{name}` is not a valid WIT name: write words of ASCII letters and digits that start with a letter, with `-` between them"
    );
    Err(Error::new(span, text))
}

/// Converts `FirstName`, `first_name` and `FIRST_NAME` to `first-name`; a number stays with what
/// precedes it.
fn kebab(rust: &str) -> String {
    let mut name = String::new();
    let chars: Vec<char> = rust.chars().collect();
    let mut begins_word = false;
    for (at, &char) in chars.iter().enumerate() {
        if char == '_' {
            begins_word = true;
            continue;
        }
        let before = at.checked_sub(1).map(|at| chars[at]);
        let after = chars.get(at + 1);
        // `HTTPServer` is two words: the last of several capitals belongs to what follows.
        let is_hump = char.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || before.is_uppercase() && after.is_some_and(|after| after.is_lowercase())
            });
        if (begins_word || is_hump) && !name.is_empty() && !char.is_numeric() {
            name.push('-');
        }
        begins_word = false;
        name.extend(char.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_words() {
        for (rust, wit) in [
            ("mapper", "mapper"),
            ("word_count", "word-count"),
            ("_unused", "unused"),
            ("FirstName", "first-name"),
            ("HTTPServer", "http-server"),
            ("MAX_SIZE", "max-size"),
            ("point_2d", "point2d"),
            ("Vec3", "vec3"),
            ("sha256Sum", "sha256-sum"),
            ("a__b_", "a-b"),
            ("map", "map"),
        ] {
            assert_eq!(kebab(rust), wit);
            assert!(check(wit, Span::call_site()).is_ok(), "{wit}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["", "-", "2d", "a-", "a--b", "a_b", "größe", "aB", "a-2"] {
            assert!(check(name, Span::call_site()).is_err(), "{name}");
        }
        assert!(check("URL-of", Span::call_site()).is_ok());
    }
}
