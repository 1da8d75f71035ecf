//! The arguments of a call as text: one text for each, or one line for all of them.
//!
//! A function with one parameter takes the whole line as its value: strings and bytes verbatim,
//! anything else as JSON or WAVE. A function with several takes a JSON array, or a WAVE list or
//! tuple, whose brackets may be omitted. Trailing options may be omitted altogether.

use super::json::parse;
use super::{FormatError, as_written, from_given, from_json, wave};
use crate::plain::in_line;
use crate::value::{ArgumentError, Step, Type, Value};
use serde_json::Value as Tree;

/// The most characters of a text that an error repeats.
const SHOWN: usize = 60;

/// Parses one text for each of a function's parameters, as [`from_text`](super::from_text) does.
/// Texts for bytes need not be UTF-8.
///
/// # Errors
///
/// Returns an error if there are too many texts or too few, or if one does not fit its parameter.
/// The error has its position, the parameter, the type that was wanted and what was found.
pub fn arguments_from_text(
    params: &[(String, Type)],
    texts: &[impl AsRef<[u8]>],
) -> Result<Vec<Value>, ArgumentError> {
    each(
        params,
        texts,
        |text, ty| from_given(text.as_ref(), ty),
        |text| shown(&String::from_utf8_lossy(text.as_ref())),
    )
}

/// Parses arguments for a core function, whose `i32` have no sign of their own: a number from 2³¹ on stands for the `s32`
/// with the same bits. `parse` is either of the functions here.
///
/// # Errors
///
/// Returns the error of `parse`.
#[doc(hidden)]
pub fn arguments_of_core(
    params: &[(String, Type)],
    parse: impl Fn(&[(String, Type)]) -> Result<Vec<Value>, ArgumentError>,
) -> Result<Vec<Value>, ArgumentError> {
    let read = parse(params);
    if read.is_ok() || params.iter().all(|(_, ty)| *ty != Type::S32) {
        return read;
    }
    let wide = |(name, ty): &(String, Type)| {
        let ty = if *ty == Type::S32 { &Type::S64 } else { ty };
        (name.clone(), ty.clone())
    };
    let wide: Vec<(String, Type)> = params.iter().map(wide).collect();
    let Ok(values) = parse(&wide) else {
        return read;
    };
    let narrowed = values
        .into_iter()
        .zip(params)
        .map(|(value, (_, ty))| match (value, ty) {
            (Value::S64(number), Type::S32) => {
                let signed = i32::try_from(number);
                let unsigned = u32::try_from(number).map(u32::cast_signed);
                signed.or(unsigned).ok().map(Value::S32)
            }
            (value, _) => Some(value),
        });
    narrowed.collect::<Option<_>>().map_or(read, Ok)
}

/// Parses one line, without its line end, as the arguments for a function's parameters. The line is
/// empty for a function without parameters.
///
/// ```
/// use rwasm_value::value::Type;
/// use rwasm_value::format::arguments_from_line;
///
/// let params = [("n".to_owned(), Type::U8), ("text".to_owned(), Type::String)];
/// let values = vec![1_u8.into(), "a".into()];
/// for line in [r#"[1, "a"]"#, r#"(1, "a")"#, r#"1, "a""#] {
///     assert_eq!(arguments_from_line(&params, line)?, values);
/// }
/// assert_eq!(arguments_from_line(&params[1..], "as it is")?, ["as it is".into()]);
/// # Ok::<(), rwasm_value::value::ArgumentError>(())
/// ```
///
/// # Errors
///
/// Returns an error if the line is not a list of arguments, or if [`arguments_from_text`] would
/// return one.
pub fn arguments_from_line(
    params: &[(String, Type)],
    line: &str,
) -> Result<Vec<Value>, ArgumentError> {
    let is_empty = line.trim().is_empty();
    let read = match params {
        [] if is_empty => Ok(Vec::new()),
        [] => Err(ArgumentError::line(
            shown(line),
            params,
            "the line is not empty".to_owned(),
        )),
        [_] => arguments_from_text(params, &[line]),
        _ => several(params, line),
    };
    match read {
        // What the parsers report of no text at all helps nobody.
        Err(_) if is_empty => Err(ArgumentError::line(
            shown(line),
            params,
            "the line is empty".to_owned(),
        )),
        read => read,
    }
}

fn several(params: &[(String, Type)], line: &str) -> Result<Vec<Value>, ArgumentError> {
    let json = match parse(line) {
        Ok(Tree::Array(items)) => {
            let items: Vec<(usize, Tree)> = items.into_iter().enumerate().collect();
            let read = |(index, item): &(usize, Tree), ty: &Type| {
                let index = Step::Index(*index);
                from_json(item, ty).map_err(|error| as_written(error, line, Some(&index)))
            };
            let text = |(_, item): &(usize, Tree)| shown(&item.to_string());
            let values = each(params, &items, read, text);
            // A text that is JSON but does not fit may still fit as WAVE, where `5` stands for a
            // result's `ok(5)`.
            return values.or_else(|error| match wave::line(line, params) {
                Ok(Ok(values)) => Ok(values),
                _ => Err(error),
            });
        }
        Ok(_) => "not an array".to_owned(),
        Err(error) if error.is_ambiguous => {
            return Err(ArgumentError::line(shown(line), params, error.reason));
        }
        Err(error) => error.reason,
    };
    wave::line(line, params).unwrap_or_else(|error| {
        let wave = match error {
            FormatError::Wave { reason, offset } => wave::at(&reason, offset),
            other => other.to_string(),
        };
        let reason = format!("neither JSON ({json}) nor WAVE ({wave})");
        Err(ArgumentError::line(shown(line), params, reason))
    })
}

/// Reads the text for each parameter; `text` makes what an error repeats of it.
pub(super) fn each<T>(
    params: &[(String, Type)],
    given: &[T],
    read: impl Fn(&T, &Type) -> Result<Value, FormatError>,
    text: impl Fn(&T) -> String,
) -> Result<Vec<Value>, ArgumentError> {
    let optional = |(_, ty): &(String, Type)| matches!(ty, Type::Option(_));
    let left_out = params.get(given.len()..);
    if !left_out.is_some_and(|params| params.iter().all(optional)) {
        return Err(ArgumentError::count(given.len(), params));
    }
    let params = params.iter().enumerate();
    params
        .map(|(index, (name, ty))| {
            let Some(given) = given.get(index) else {
                return Ok(Value::Option(None));
            };
            let reason = match read(given, ty) {
                Ok(value) => return Ok(value),
                Err(FormatError::Mismatch(mismatch)) => {
                    return Err(ArgumentError::packing(index, name, mismatch.into()));
                }
                Err(FormatError::Neither { json, wave, .. }) => {
                    format!("neither JSON ({json}) nor WAVE ({wave})")
                }
                Err(error) => error.to_string(),
            };
            Err(ArgumentError::Text {
                position: index + 1,
                name: name.clone(),
                found: text(given),
                expected: ty.clone(),
                reason,
            })
        })
        .collect()
}

/// The text on one line, shortened if need be.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => in_line(&text[..end]) + "…",
        None => in_line(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{to_json, to_wave};
    use super::*;
    use crate::arbitrary::any_typed;
    use proptest::prelude::*;

    fn params(types: &[Type]) -> Vec<(String, Type)> {
        let names = ["a", "b", "c", "d"];
        let params = names.iter().zip(types);
        params
            .map(|(name, ty)| ((*name).to_owned(), ty.clone()))
            .collect()
    }

    #[test]
    fn one_text_for_each_parameter() {
        let params = params(&[Type::U64, Type::String, Type::option(Type::U8)]);
        let given = arguments_from_text(&params, &["30", "[1]"]).unwrap();
        assert_eq!(given, [30u64.into(), "[1]".into(), Value::Option(None)]);

        let refused = |texts: &[&str]| {
            let error = arguments_from_text(&params, texts).unwrap_err();
            error.to_string()
        };
        assert_eq!(
            refused(&["30"]),
            "expected 3 arguments (a: u64, b: string, c: option<u8>), found 1"
        );
        assert_eq!(
            refused(&["30", "", "1", "2"]),
            "expected 3 arguments (a: u64, b: string, c: option<u8>), found 4"
        );
        assert_eq!(
            refused(&["thirty", "x"]),
            "argument 1 (`a`): expected u64, found `thirty`"
        );
        assert_eq!(
            refused(&["1", "x", "300"]),
            "argument 3 (`c`): expected u8, found `300`"
        );
        let error = refused(&["3 \n0", "x"]);
        assert!(
            error.starts_with("argument 1 (`a`): expected u64, found `3 \\n0`: neither JSON ("),
            "{error}"
        );
    }

    #[test]
    fn a_line_is_the_value_of_one_parameter() {
        let line = |ty: Type, line| arguments_from_line(&params(&[ty]), line).unwrap();
        assert_eq!(line(Type::String, " [1], \"a\" "), [" [1], \"a\" ".into()]);
        assert_eq!(line(Type::bytes(), "[1]"), [b"[1]".to_vec().into()]);
        assert_eq!(line(Type::U32, "41"), [41u32.into()]);
        let pair = Type::tuple([Type::U8, Type::String]);
        let value = [Value::from((1u8, "a"))];
        assert_eq!(line(pair.clone(), "[1, \"a\"]"), value);
        assert_eq!(line(pair, "(1, \"a\")"), value);
    }

    #[test]
    fn a_line_lists_several_arguments() {
        let params = params(&[Type::U8, Type::String, Type::option(Type::Bool)]);
        let values = [1u8.into(), "a, b".into(), Some(true).into()];
        for line in [
            "[1, \"a, b\", true]",
            "(1, \"a, b\", some(true))",
            "[1, \"a, b\", some(true)]",
            " 1, \"a, b\", true",
        ] {
            assert_eq!(
                arguments_from_line(&params, line).unwrap(),
                values,
                "{line}"
            );
        }
        let values = [1u8.into(), "".into(), Value::Option(None)];
        for line in ["[1, \"\"]", "[1, \"\", null]", "(1, \"\")", "1, \"\", none"] {
            assert_eq!(
                arguments_from_line(&params, line).unwrap(),
                values,
                "{line}"
            );
        }
    }

    #[test]
    fn tuples_in_a_line_need_no_brackets_around_them() {
        let pair = Type::tuple([Type::U8, Type::U8]);
        let params = params(&[pair.clone(), pair]);
        let values = [(1u8, 2u8), (3, 4)].map(Value::from);
        for line in ["(1, 2), (3, 4)", "((1, 2), (3, 4))", "[[1, 2], [3, 4]]"] {
            assert_eq!(
                arguments_from_line(&params, line).unwrap(),
                values,
                "{line}"
            );
        }
    }

    #[test]
    fn a_line_that_does_not_fit_says_why() {
        let refused = |types: &[Type], line: &str| {
            let error = arguments_from_line(&params(types), line).unwrap_err();
            error.to_string()
        };
        let two = [Type::U8, Type::String];
        assert_eq!(
            refused(&two, "[1, 2]"),
            "argument 2 (`b`): expected string, found `2`"
        );
        assert_eq!(
            refused(&two, "1, blue"),
            "argument 2 (`b`): expected string, found `blue`"
        );
        let count = "expected 2 arguments (a: u8, b: string)";
        assert_eq!(refused(&two, "[1]"), format!("{count}, found 1"));
        assert_eq!(refused(&two, "1"), format!("{count}, found 1"));
        assert_eq!(
            refused(&two, " "),
            format!("{count}, found ` `: the line is empty")
        );
        assert_eq!(
            refused(&[], "1"),
            "expected no arguments, found `1`: the line is not empty"
        );
        let wide = [Type::F32, Type::U64];
        assert_eq!(
            refused(&wide, "[1e39, 1]"),
            "argument 1 (`a`): expected f32, found `1e39`"
        );
        assert_eq!(
            refused(&wide, "[1, 18446744073709551616]"),
            "argument 2 (`b`): expected u64, found `18446744073709551616`"
        );
        assert_eq!(
            refused(&wide, r#"[{"a": 1, "a": 1}, 1]"#),
            "expected 2 arguments (a: f32, b: u64), found `[{\"a\": 1, \"a\": 1}, 1]`: the name `a` occurs twice at line 1 column 13"
        );
        let error = refused(&two, "1, \"a");
        assert!(
            error.starts_with(
                "expected 2 arguments (a: u8, b: string), found `1, \"a`: neither JSON ("
            ),
            "{error}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_back(
            (first, one) in any_typed(),
            (second, two) in any_typed(),
        ) {
            let params = params(&[first, second]);
            let values = [one, two];
            let waves = values.each_ref().map(to_wave).join(", ");
            prop_assert_eq!(&arguments_from_line(&params, &waves).unwrap(), &values);
            let waves = format!("({waves})");
            prop_assert_eq!(&arguments_from_line(&params, &waves).unwrap(), &values);
            let json = Tree::Array(values.each_ref().map(to_json).into());
            prop_assert_eq!(&arguments_from_line(&params, &json.to_string()).unwrap(), &values);
        }

        #[test]
        fn any_line_gives_values_or_an_error(line in "[ -~é]{0,40}", (ty, _) in any_typed()) {
            let params = params(&[ty, Type::U8]);
            if let Ok(values) = arguments_from_line(&params, &line) {
                prop_assert_eq!(values.len(), params.len());
            }
        }
    }
}
