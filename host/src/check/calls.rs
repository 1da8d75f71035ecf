//! The file `calls.txt`: calls of single functions, and their expected results.
//!
//! A line is `greet("Ada", 3) => "…"`, with both sides in WAVE. `=> error "…"` expects the guest to return an error
//! with that message, `=> error CODE` a failure with that code, and `=> ()` a function without a result. Empty lines
//! are skipped, and lines starting with `#` are comments.

use crate::{Failure, FailureCode, Value};
use rwasm_value::format::{Call, to_wave};

/// What separates a call from its expected result.
const GIVES: &str = "=>";

/// The prefix of an expected failure.
const ERROR: &str = "error ";

/// A line of `calls.txt`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallSample {
    /// Its number in the file, from 1.
    pub line: usize,
    /// The call, as written.
    pub call: String,
    /// The expected result; `None` if the line has none.
    pub expected: Option<ExpectedResult>,
}

/// The expected result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectedResult {
    /// A value in WAVE, whose type follows from the function.
    Value(String),
    /// An error that the guest returns, with this message.
    GuestError(String),
    /// A failure with this code.
    Failure(String),
}

impl CallSample {
    /// Parses a line; returns `None` for an empty line or a comment.
    ///
    /// # Errors
    /// Why the line is not a valid call.
    pub(super) fn parse(line: usize, text: &str) -> Result<Option<Self>, String> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(None);
        }
        let (call, wanted) = parted(text)?;
        Ok(Some(Self {
            line,
            call: call.to_owned(),
            expected: wanted.map(ExpectedResult::parse).transpose()?,
        }))
    }

    /// Returns the name of the function, and the call with a placeholder of the same length that WAVE can parse: it
    /// does not know all names that functions can have.
    pub(super) fn parts(&self) -> (&str, String) {
        spelled(&self.call)
    }

    /// Returns the line with this result.
    pub(super) fn with(&self, given: &Result<Value, Failure>) -> String {
        let gives = match given {
            Ok(value) => to_wave(value),
            Err(failure) if failure.code == FailureCode::GuestError => {
                format!("{ERROR}{}", to_wave(&failure.message.as_str().into()))
            }
            Err(failure) => format!("{ERROR}{}", failure.code),
        };
        format!("{} {GIVES} {gives}", self.call)
    }
}

fn spelled(call: &str) -> (&str, String) {
    let name = call.find('(').map_or(call, |open| &call[..open]);
    let wave = "f".repeat(name.len()) + &call[name.len()..];
    (name.trim_end(), wave)
}

/// Splits a line into its two sides. An argument may contain the separator, so the first place counts whose left side
/// is a call.
fn parted(text: &str) -> Result<(&str, Option<&str>), String> {
    let is_call = |call: &str| match Call::parse(&spelled(call).1) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    };
    let mut reason = None;
    for (at, _) in text.match_indices(GIVES) {
        let call = text[..at].trim_end();
        match is_call(call) {
            Ok(()) => return Ok((call, Some(text[at + GIVES.len()..].trim_start()))),
            Err(error) => drop(reason.get_or_insert(error)),
        }
    }
    match (is_call(text), reason) {
        (Ok(()), _) => Ok((text, None)),
        (Err(error), reason) => Err(reason.unwrap_or(error)),
    }
}

impl ExpectedResult {
    fn parse(text: &str) -> Result<Self, String> {
        let Some(error) = text.strip_prefix(ERROR).map(str::trim) else {
            return match text {
                "" => Err(
                    "nothing follows `=>`: write `=> ()` for a function without a result"
                        .to_owned(),
                ),
                value => Ok(Self::Value(value.to_owned())),
            };
        };
        if !error.starts_with('"') {
            return Ok(Self::Failure(error.to_owned()));
        }
        match rwasm_value::format::from_wave(error, &crate::Type::String) {
            Ok(Value::String(message)) => Ok(Self::GuestError(message)),
            Ok(_) => Err(format!("{error} is not a quoted string")),
            Err(wrong) => Err(format!("{error} is not a quoted string: {wrong}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> CallSample {
        CallSample::parse(7, text).unwrap().unwrap()
    }

    #[test]
    fn a_line_is_a_call_and_what_it_gives() {
        for text in ["", "   ", "# greet(1) => 2"] {
            assert_eq!(CallSample::parse(1, text), Ok(None));
        }
        let sample = parse(r#" greet("Ada", 3)  =>  "hi"  "#);
        assert_eq!(sample.call, r#"greet("Ada", 3)"#);
        assert_eq!(
            sample.expected,
            Some(ExpectedResult::Value("\"hi\"".into()))
        );
        assert_eq!(sample.line, 7);
        assert_eq!(parse("now()").expected, None);
        assert_eq!(
            parse("now() => ()").expected,
            Some(ExpectedResult::Value("()".into()))
        );
        assert_eq!(
            parse(r#"f("a => b(", 1) => "c => d""#).expected,
            Some(ExpectedResult::Value("\"c => d\"".into()))
        );
        let sample = parse("a:b/c@0.1.0#f_g(1) => 2");
        assert_eq!(sample.parts().0, "a:b/c@0.1.0#f_g");
        assert_eq!(
            parse(r#"f(1) => error "no \"1\"""#).expected,
            Some(ExpectedResult::GuestError("no \"1\"".into()))
        );
        assert_eq!(
            parse("f(1) => error trap").expected,
            Some(ExpectedResult::Failure("trap".into()))
        );
    }

    #[test]
    fn what_is_no_call_is_refused() {
        for text in [
            "greet",
            "greet(1 => 2",
            "f(1) =>",
            "f(1) => error \"open",
            "=> 1",
        ] {
            assert!(CallSample::parse(1, text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_it_gives_is_written_as_it_is_read() {
        let sample = parse(r#"f("=>") => 1"#);
        let failure = Failure::new(FailureCode::GuestError, "no => \"way\"\n");
        for (given, wanted) in [
            (Ok(Value::from("x")), ExpectedResult::Value("\"x\"".into())),
            (
                Err(failure.clone()),
                ExpectedResult::GuestError(failure.message.clone()),
            ),
            (
                Err(Failure::new(FailureCode::Trap, "x")),
                ExpectedResult::Failure("trap".into()),
            ),
        ] {
            let again = parse(&sample.with(&given));
            assert_eq!(
                (again.call, again.expected),
                (sample.call.clone(), Some(wanted))
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

        #[test]
        fn any_line_is_a_call_or_refused(text in "([a-z(),\"\\[\\]{}:#=> 0-9]|=>|error|\\PC){0,24}") {
            if let Ok(Some(sample)) = CallSample::parse(1, &text) {
                let (name, wave) = sample.parts();
                prop_assert!(sample.call.starts_with(name));
                prop_assert!(Call::parse(&wave).is_ok());
            }
        }
    }
}
