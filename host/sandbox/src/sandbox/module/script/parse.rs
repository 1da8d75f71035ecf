//! The text of a script, taken apart. What its names and values mean is found out when it is bound.

use super::ScriptError;
use rwasm_value::plain::in_line;

/// The deepest nesting of brackets, so that what reads values need not go deeper.
const DEEPEST: usize = 64;

/// A line that calls: `let NAME = CHAIN` or `CHAIN`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    /// Where it begins, from 1.
    pub(super) line: usize,
    /// What its result is called.
    pub(super) name: Option<&'a str>,
    /// Each is called on what the one before it gives.
    pub(super) calls: Vec<Call<'a>>,
}

/// `NAME(ARGUMENT, …)`, or `NAME` where the arguments are the script's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: Option<Vec<&'a str>>,
}

/// Reads the statements of a script.
pub(super) fn statements(text: &str) -> Result<Vec<Statement<'_>>, ScriptError> {
    let mut found = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, text) in lines(text)? {
        let statement = statement(line, text);
        found.push(statement.map_err(|message| ScriptError { line, message })?);
    }
    Ok(found)
}

/// Follows brackets and quotes, as WAVE has them.
#[derive(Default)]
struct Nesting {
    /// What closes the brackets that are open.
    open: Vec<char>,
    /// Where the quoted text ends that has begun.
    quoted_until: usize,
}

impl Nesting {
    /// Takes the character at a place of a text, and returns whether it stands outside of all brackets and quotes.
    fn is_outside(&mut self, text: &str, place: usize, char: char) -> Result<bool, String> {
        if place < self.quoted_until {
            return Ok(false);
        }
        let closes = |closer| format!("`{closer}` closes nothing");
        match char {
            '"' | '\'' => {
                let end = quoted(&text[place..], char);
                self.quoted_until = place + end.ok_or_else(|| format!("a {char} is not closed"))?;
                return Ok(false);
            }
            '(' | '[' | '{' => {
                self.open.push(match char {
                    '(' => ')',
                    '[' => ']',
                    _ => '}',
                });
                if self.open.len() > DEEPEST {
                    return Err(format!("its brackets are nested deeper than {DEEPEST}"));
                }
                return Ok(false);
            }
            ')' | ']' | '}' => match self.open.pop() {
                Some(wanted) if wanted == char => return Ok(false),
                Some(wanted) => return Err(format!("expected `{wanted}`, found `{char}`")),
                None => return Err(closes(char)),
            },
            _ => {}
        }
        Ok(self.open.is_empty())
    }

    fn expect_closed(&self) -> Result<(), String> {
        match self.open.last() {
            Some(wanted) => Err(format!("a bracket is not closed: expected `{wanted}`")),
            None => Ok(()),
        }
    }
}

/// How long a quoted text is that begins here: a character, a string, or a string of several lines.
fn quoted(text: &str, quote: char) -> Option<usize> {
    const LINES: &str = "\"\"\"";
    if let Some(rest) = text.strip_prefix(LINES) {
        let end = rest.find(LINES)?;
        return Some(end + 2 * LINES.len());
    }
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, char)| {
        let ends = !is_escaped && *char == quote;
        is_escaped = !is_escaped && *char == '\\';
        ends
    });
    end.map(|(place, _)| place + 1)
}

/// Splits a text at the lines' ends that are outside of brackets, with the number of each first line. Comments are left out.
fn lines(text: &str) -> Result<Vec<(usize, &str)>, ScriptError> {
    let mut found = Vec::new();
    let mut nesting = Nesting::default();
    let (mut start, mut line, mut first) = (0, 1, 1);
    let (mut is_blank, mut is_comment) = (true, false);
    // A `#` within a word belongs to the name of a function.
    let mut is_word = false;
    for (place, char) in text.char_indices() {
        if is_comment && char != '\n' {
            start = place + char.len_utf8();
            continue;
        }
        is_comment = false;
        if is_blank {
            first = line;
        }
        let outside = nesting.is_outside(text, place, char);
        let outside = outside.map_err(|message| ScriptError {
            line: first,
            message,
        })?;
        if outside && (matches!(char, '\n' | ';') || char == '#' && !is_word) {
            if !is_blank {
                found.push((first, text[start..place].trim()));
            }
            (start, is_blank, is_comment) = (place + 1, true, char == '#');
        } else if !char.is_whitespace() {
            is_blank = false;
        }
        is_word = !char.is_whitespace() && char != ';';
        line += usize::from(char == '\n');
    }
    nesting.expect_closed().map_err(|message| ScriptError {
        line: first,
        message,
    })?;
    if !is_blank {
        found.push((first, text[start..].trim()));
    }
    Ok(found)
}

fn statement(line: usize, text: &str) -> Result<Statement<'_>, String> {
    let (name, chain) = match text.strip_prefix("let ") {
        None => (None, text),
        Some(rest) => {
            let (name, chain) = rest
                .split_once('=')
                .ok_or("`let` is followed by a name, `=` and a call")?;
            let name = name.trim();
            if !is_name(name) {
                return Err(format!(
                    "`{}` is not a name: letters, digits, `-` and `_`, beginning with a letter",
                    brief(name)
                ));
            }
            (Some(name), chain.trim())
        }
    };
    let calls = chain_of(chain)?;
    Ok(Statement { line, name, calls })
}

/// A text of a script for a message.
pub(super) fn brief(text: &str) -> String {
    const MOST: usize = 60;
    let mut shown = in_line(text);
    if let Some((end, _)) = shown.char_indices().nth(MOST) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// Whether it can stand for a value.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_alphabetic())
        && text
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_'))
}

fn chain_of(text: &str) -> Result<Vec<Call<'_>>, String> {
    let mut calls = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find('(').unwrap_or(rest.len());
        let name = rest[..end].trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(format!("`{}` is not the name of a function", brief(name)));
        }
        if end == rest.len() {
            let arguments = None;
            calls.push(Call { name, arguments });
            return Ok(calls);
        }
        let (inner, after) = bracket(&rest[end..])?;
        let arguments = Some(arguments(inner)?);
        calls.push(Call { name, arguments });
        let after = after.trim_start();
        if after.is_empty() {
            return Ok(calls);
        }
        rest = after
            .strip_prefix('.')
            .ok_or_else(|| format!("a call is followed by `.`, not by `{}`", brief(after)))?;
    }
}

/// What is between the bracket at the beginning and its end, and what follows.
fn bracket(text: &str) -> Result<(&str, &str), String> {
    let mut nesting = Nesting::default();
    for (place, char) in text.char_indices() {
        nesting.is_outside(text, place, char)?;
        if nesting.open.is_empty() {
            return Ok((&text[1..place], &text[place + 1..]));
        }
    }
    nesting.expect_closed()?;
    Ok((text, ""))
}

/// Splits at the commas outside of brackets.
fn arguments(text: &str) -> Result<Vec<&str>, String> {
    let mut found = Vec::new();
    let mut nesting = Nesting::default();
    let mut start = 0;
    for (place, char) in text.char_indices() {
        if nesting.is_outside(text, place, char)? && char == ',' {
            found.push(text[start..place].trim());
            start = place + 1;
        }
    }
    let last = text[start..].trim();
    // As in WAVE, there may be a comma behind the last.
    if !last.is_empty() {
        found.push(last);
    }
    if found.contains(&"") {
        return Err("an argument is missing before a comma".to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_taken_apart() {
        let text = "\u{feff}# codecs (\"\nlet c = codec.from-config(\"{\\\"a\\\": (1, 2\")\n\n  c.encode({\n    data: [1, 2], # no comment, for WAVE to refuse\n  }, ')', \"\"\"\na\"(b\n\"\"\").more.less ; last # it's";
        let found = statements(text).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|statement| (statement.line, statement.name, statement.calls.len()))
            .collect();
        assert_eq!(shown, [(2, Some("c"), 1), (4, None, 2), (8, None, 1)]);
        assert_eq!(
            found[0].calls[0].arguments.as_deref(),
            Some(&["\"{\\\"a\\\": (1, 2\""][..])
        );
        let [encode, more] = found[1].calls.as_slice() else {
            panic!("two calls");
        };
        assert_eq!(encode.name, "c.encode");
        assert_eq!(encode.arguments.as_ref().map(Vec::len), Some(3));
        assert_eq!((more.name, &more.arguments), ("more.less", &None));
    }

    #[test]
    fn blanks_take_no_time() {
        let text = " ".repeat(60_000) + "f" + &" \n".repeat(1_000_000) + "()";
        assert!(statements(&text).is_err());
    }

    #[test]
    fn what_is_no_script_is_refused_with_its_line() {
        let deep = "[".repeat(100_000);
        for (text, line, part) in [
            ("f(1", 1, "not closed"),
            ("f(1)\n\ng(\"", 3, "not closed"),
            ("f)", 1, "closes nothing"),
            ("f(1]", 1, "expected `)`, found `]`"),
            ("\nlet 1 = f()", 2, "not a name"),
            ("let x", 1, "`=`"),
            ("f(1) g(2)", 1, "followed by `.`"),
            ("f(,)", 1, "missing"),
            ("a b()", 1, "not the name"),
            (&deep, 1, "deeper"),
        ] {
            let error = statements(text).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
