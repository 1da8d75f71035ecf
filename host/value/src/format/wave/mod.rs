//! Values as WAVE, the text form of the WebAssembly tools, and calls like `fib(30)` written in it.
//!
//! The crate `wasm-wave` parses. Types are checked here, so that an error names the place in the
//! value, and values are written here, so that bulk data is not copied value by value. WAVE has no
//! maps: they are lists of pairs.

mod read;
mod write;

pub(super) use write::Wave;

use super::FormatError;
use super::arguments::{each, shown};
use crate::value::{ArgumentError, Type, Value};
use read::Reader;
use std::fmt;
use wasm_wave::ast::{Node, NodeType};
use wasm_wave::parser::ParserError;
use wasm_wave::untyped::{UntypedFuncCall, UntypedValue};

/// Returns the value as WAVE, on one line.
#[must_use]
pub fn to_wave(value: &Value) -> String {
    Wave(value).to_string()
}

/// Parses WAVE as a value of type `ty`.
///
/// # Errors
///
/// Returns an error if the text is not WAVE, or does not fit the type.
pub fn from_wave(text: &str, ty: &Type) -> Result<Value, FormatError> {
    let parsed = UntypedValue::parse(text).map_err(|error| not_wave(&error))?;
    Reader { text }.value(parsed.node(), ty)
}

/// A call in WAVE, such as `fib(30)`. Its arguments are typed later, when the function is known.
pub struct Call<'a> {
    text: &'a str,
    parsed: UntypedFuncCall<'a>,
}

impl<'a> Call<'a> {
    /// Parses a call.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a name followed by arguments in parentheses.
    pub fn parse(text: &'a str) -> Result<Self, FormatError> {
        match UntypedFuncCall::parse(text) {
            Ok(parsed) => Ok(Self { text, parsed }),
            Err(error) => Err(not_wave(&error)),
        }
    }

    /// Returns the name of the function.
    #[must_use]
    pub fn name(&self) -> &str {
        self.parsed.name()
    }

    /// Returns the arguments as values for these parameters of a function. Trailing options may be
    /// omitted.
    ///
    /// # Errors
    ///
    /// Returns an error if there are too many or too few arguments, or if one does not fit its
    /// parameter. The error has its position, the parameter, the type that was wanted and what was
    /// found.
    pub fn arguments(&self, params: &[(String, Type)]) -> Result<Vec<Value>, ArgumentError> {
        let nodes = self.parsed.params_node();
        // The arguments are always a tuple.
        let nodes = nodes.and_then(|node| node.as_tuple().ok());
        values(self.text, nodes.into_iter().flatten(), params)
    }
}

/// What the parser reports and where, for an error that says that it concerns WAVE.
pub(super) fn at(reason: &str, offset: usize) -> String {
    format!("{reason} at byte {offset}")
}

/// Prepended to a line that is parsed as the arguments of a call.
const NAME: &str = "f(";

/// Parses a line as the values of several parameters: `[1, "a"]`, `(1, "a")` or `1, "a"`.
///
/// # Errors
///
/// The outer error if the line is not WAVE; the inner one if it is, but the values do not fit.
pub(super) fn line(
    line: &str,
    params: &[(String, Type)],
) -> Result<Result<Vec<Value>, ArgumentError>, FormatError> {
    if let Ok(whole) = UntypedValue::parse(line) {
        match whole.node().ty() {
            NodeType::Tuple => {
                let nodes = whole.node().as_tuple().into_iter().flatten();
                return Ok(values(line, nodes, params));
            }
            NodeType::List => {
                let nodes = whole.node().as_list().into_iter().flatten();
                return Ok(values(line, nodes, params));
            }
            _ => {}
        }
    }
    let call = format!("{NAME}{line})");
    match Call::parse(&call) {
        Ok(call) => Ok(call.arguments(params)),
        Err(FormatError::Wave { reason, offset }) => Err(FormatError::Wave {
            reason,
            offset: offset.saturating_sub(NAME.len()),
        }),
        Err(other) => Err(other),
    }
}

fn values<'n>(
    text: &str,
    nodes: impl Iterator<Item = &'n Node>,
    params: &[(String, Type)],
) -> Result<Vec<Value>, ArgumentError> {
    let reader = Reader { text };
    let nodes: Vec<&Node> = nodes.collect();
    each(
        params,
        &nodes,
        |node, ty| reader.value(node, ty),
        |node| shown(text.get(node.span()).unwrap_or_default()),
    )
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.text).finish()
    }
}

fn not_wave(error: &ParserError) -> FormatError {
    let reason = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    FormatError::Wave {
        reason,
        offset: error.span().start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbitrary::{any_type, any_typed};
    use crate::value::{Case, Packed};
    use proptest::prelude::*;

    #[test]
    fn values_look_as_in_wave() {
        let record = Value::Record(vec![
            ("name".into(), "é\n\u{1b}'".into()),
            ("size".into(), Value::Option(None)),
            (
                "mode".into(),
                Value::Flags(vec!["read".into(), "some".into()]),
            ),
        ]);
        let map = Value::Map(vec![('a'.into(), record)]);
        let list = Value::Tuple(vec![map, vec![1, 2].into(), f32::NAN.into()]);
        assert_eq!(
            to_wave(&list),
            r#"([('a', {name: "é\n\u{1b}\'", mode: {read, some}})], [1, 2], nan)"#
        );
        assert_eq!(to_wave(&Value::Enum("none".into())), "%none");
    }

    #[test]
    fn a_mismatch_says_where_and_what() {
        let ty = Type::list(Type::tuple([Type::String, Type::option(Type::U8)]));
        let text = |text, ty: &Type| from_wave(text, ty).unwrap_err().to_string();
        assert_eq!(
            text("[(\"a\", some(256))]", &ty),
            "[0].1.some: expected u8, found `256`"
        );
        assert_eq!(
            text("[(\"a\")]", &ty),
            "[0]: expected tuple<string, option<u8>>, found `(\"a\")`"
        );
        assert_eq!(
            text("[(", &ty),
            "not WAVE: unexpected end of input at byte 2"
        );
        let case = Case {
            name: "a".into(),
            ty: Some(Type::U8),
        };
        let variant = Type::Variant([case].into());
        assert_eq!(
            text("a", &variant),
            ".a: expected variant { a(u8) }, found `a`"
        );
        assert_eq!(
            text("b", &variant),
            "the value: expected variant { a(u8) }, found `b`"
        );
    }

    #[test]
    fn words_of_wave_are_cases_of_types_that_have_them() {
        let names = ["ok", "err", "none", "some", "true", "inf"];
        let named = Type::Enum(names.iter().map(|name| (*name).into()).collect());
        for name in names {
            let wanted = Value::Enum(name.into());
            assert_eq!(crate::format::from_text(name, &named).unwrap(), wanted);
            assert_eq!(from_wave(&format!("%{name}"), &named).unwrap(), wanted);
        }
        assert_eq!(
            from_wave("[none, ok, true]", &Type::list(named.clone())).unwrap(),
            {
                let cases = ["none", "ok", "true"].map(|name| Value::Enum(name.into()));
                Value::List(cases.into())
            }
        );
        let option = Type::option(named);
        let ok = Value::Option(Some(Box::new(Value::Enum("ok".into()))));
        assert_eq!(from_wave("ok", &option).unwrap(), ok);
        assert_eq!(from_wave("none", &option).unwrap(), Value::Option(None));
        let case = |name: &str, ty| Case {
            name: name.into(),
            ty,
        };
        let cases = [case("ok", Some(Type::U8)), case("none", None)];
        let variant = Type::Variant(cases.into());
        let five = Value::Variant("ok".into(), Some(Box::new(5u8.into())));
        assert_eq!(from_wave("ok(5)", &variant).unwrap(), five);
        assert!(from_wave("err(5)", &variant).is_err());
    }

    #[test]
    fn what_is_marked_stands_for_the_inside_of_an_option() {
        let result = Type::result(Some(Type::U8), Some(Type::String));
        let some = |value: Value| Value::Option(Some(Box::new(value)));
        let ok = Value::Result(Ok(Some(Box::new(5u8.into()))));
        let err = Value::Result(Err(Some(Box::new("why".into()))));
        let of_result = Type::option(result);
        let read = |text| from_wave(text, &of_result);
        for text in ["ok(5)", "some(ok(5))"] {
            assert_eq!(read(text).unwrap(), some(ok.clone()), "{text}");
        }
        assert_eq!(read("err(\"why\")").unwrap(), some(err));
        assert_eq!(read("none").unwrap(), Value::Option(None));
        // Which of the two is meant is not said.
        assert!(read("5").is_err());
        assert!(from_wave("ok(1)", &Type::option(Type::U8)).is_err());
    }

    #[test]
    fn calls_have_names_and_arguments() {
        let call = Call::parse("fib(30, \"a\")").unwrap();
        assert_eq!(call.name(), "fib");
        let mut params = [
            ("n".to_owned(), Type::U64),
            ("text".to_owned(), Type::String),
            ("size".to_owned(), Type::option(Type::U8)),
        ];
        let values = vec![30u64.into(), "a".into(), Value::Option(None)];
        assert_eq!(call.arguments(&params).unwrap(), values);
        let error = call.arguments(&params[..1]).unwrap_err();
        assert_eq!(error.to_string(), "expected 1 argument (n: u64), found 2");
        params[1].1 = Type::U64;
        let error = call.arguments(&params).unwrap_err();
        assert_eq!(
            error.to_string(),
            "argument 2 (`text`): expected u64, found `\"a\"`"
        );

        assert!(
            Call::parse("now()")
                .unwrap()
                .arguments(&[])
                .unwrap()
                .is_empty()
        );
        assert!(Call::parse("fib 30").is_err());
    }

    fn their_type(ty: &Type) -> wasm_wave::value::Type {
        use wasm_wave::value::Type as Their;
        let payload = |ty: &Option<Type>| ty.as_ref().map(their_type);
        match ty {
            Type::Bool => Their::BOOL,
            Type::S8 => Their::S8,
            Type::U8 => Their::U8,
            Type::S16 => Their::S16,
            Type::U16 => Their::U16,
            Type::S32 => Their::S32,
            Type::U32 => Their::U32,
            Type::S64 => Their::S64,
            Type::U64 => Their::U64,
            Type::F32 => Their::F32,
            Type::F64 => Their::F64,
            Type::Char => Their::CHAR,
            Type::String => Their::STRING,
            Type::List(element) => Their::list(their_type(element)),
            Type::FixedList(list) => Their::list(their_type(&list.0)),
            Type::Tuple(types) => {
                Their::tuple(types.iter().map(their_type).collect::<Vec<_>>()).unwrap()
            }
            Type::Record(fields) => {
                let fields = fields.iter();
                Their::record(fields.map(|field| (&*field.name, their_type(&field.ty)))).unwrap()
            }
            Type::Variant(cases) => {
                let cases = cases.iter();
                Their::variant(cases.map(|case| (&*case.name, payload(&case.ty)))).unwrap()
            }
            Type::Enum(names) => Their::enum_ty(names.iter().map(|name| &**name)).unwrap(),
            Type::Flags(names) => Their::flags(names.iter().map(|name| &**name)).unwrap(),
            Type::Option(inner) => Their::option(their_type(inner)),
            Type::Result(sides) => Their::result(payload(&sides.ok), payload(&sides.err)),
            Type::Map(types) => {
                let pair = [their_type(&types.0), their_type(&types.1)];
                Their::list(Their::tuple(pair).unwrap())
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn values_round_trip((ty, value) in any_typed()) {
            let text = to_wave(&value);
            prop_assert_eq!(from_wave(&text, &ty).unwrap(), value, "{}", text);
            // The crate reads the same and would have written the same.
            let theirs: wasm_wave::value::Value =
                wasm_wave::from_str(&their_type(&ty), &text).unwrap();
            prop_assert_eq!(wasm_wave::to_string(&theirs).unwrap(), text);
        }

        #[test]
        fn any_text_gives_a_value_of_the_type_or_an_error(
            ty in any_type(),
            text in "([\\[\\](){}:,\"'%a-z0-9. -]|some|none|ok|err|nan|\\PC){0,12}",
        ) {
            if let Ok(value) = from_wave(&text, &ty) {
                prop_assert!(Packed::pack(&value, &ty).is_ok());
            }
            drop(Call::parse(&text));
        }

        #[test]
        fn a_value_of_one_type_read_as_another_does_not_panic(
            (_, value) in any_typed(),
            ty in any_type(),
        ) {
            if let Ok(value) = from_wave(&to_wave(&value), &ty) {
                prop_assert!(Packed::pack(&value, &ty).is_ok());
            }
        }
    }
}
