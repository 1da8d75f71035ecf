//! Values as JSON. The JSON depends on the value alone; reading it back requires the type.
//!
//! | type | JSON |
//! |---|---|
//! | integers, floats | number, with all digits; a decimal string is accepted. `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | `char`, `string`, enum | string |
//! | `list<u8>` | base64 string; an array of numbers is accepted |
//! | list, tuple, flags | array; of flags, the names of those set |
//! | record | object; an `option` field may be missing when read |
//! | variant | `{"case": payload}`, or `"case"` without a payload |
//! | `option` | `null` or the value; `{"some": value}` if that value is itself an option |
//! | `result` | `{"ok": value}` or `{"err": value}`, `null` for a side without a payload |
//! | map | array of `[key, value]` |

mod parse;
mod read;
mod write;

pub(super) use parse::{number_at, parse};
pub use read::from_json;
pub(super) use write::write_line;
pub use write::{Json, to_json, write_json};

#[expect(
    clippy::cast_possible_truncation,
    reason = "the nearest f32 is what is wanted"
)]
fn narrowed(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbitrary::{any_type, any_typed};
    use crate::value::{Case, Packed, Type, Value};
    use proptest::prelude::*;
    use serde_json::{Value as Tree, json};

    #[test]
    fn the_mapping_is_what_the_table_says() {
        let case = |name: &str, ty| Case {
            name: name.into(),
            ty,
        };
        let variant = Type::Variant([case("none", None), case("some", Some(Type::U8))].into());
        let nested = Type::option(Type::option(Type::U8));
        let some = |value: Value| Value::Option(Some(Box::new(value)));
        let cases: [(Type, Value, Tree); 13] = [
            (
                Type::U64,
                u64::MAX.into(),
                json!(18_446_744_073_709_551_615_u64),
            ),
            (
                Type::S64,
                i64::MIN.into(),
                json!(-9_223_372_036_854_775_808_i64),
            ),
            (Type::F32, 0.1f32.into(), json!(0.1)),
            (Type::F64, f64::NEG_INFINITY.into(), json!("-Infinity")),
            (Type::Char, 'é'.into(), json!("é")),
            (Type::bytes(), vec![0xff, 0].into(), json!("/wA=")),
            (
                variant.clone(),
                Value::Variant("none".into(), None),
                json!("none"),
            ),
            (
                variant,
                Value::Variant("some".into(), Some(Box::new(1u8.into()))),
                json!({"some": 1}),
            ),
            (nested.clone(), Value::Option(None), json!(null)),
            (
                nested.clone(),
                some(Value::Option(None)),
                json!({"some": null}),
            ),
            (nested, some(some(1u8.into())), json!({"some": 1})),
            (
                Type::result(None, None),
                Value::Result(Ok(None)),
                json!({"ok": null}),
            ),
            (
                Type::Map((Type::String, Type::U8).into()),
                Value::Map(vec![("a".into(), 1u8.into())]),
                json!([["a", 1]]),
            ),
        ];
        for (ty, value, json) in cases {
            assert_eq!(to_json(&value), json, "{ty}");
            assert_eq!(from_json(&json, &ty).unwrap(), value, "{ty}");
        }
    }

    #[test]
    fn input_may_be_looser_than_output() {
        let read = |json, ty: &Type| from_json(&json, ty).unwrap();
        assert_eq!(
            read(json!("18446744073709551615"), &Type::U64),
            u64::MAX.into()
        );
        assert_eq!(read(json!("-1.5"), &Type::F32), (-1.5f32).into());
        assert_eq!(read(json!(3), &Type::F64), 3f64.into());
        assert_eq!(read(json!([1, 255]), &Type::bytes()), vec![1, 255].into());
        assert!(matches!(read(json!("NaN"), &Type::F64), Value::F64(nan) if nan.is_nan()));
    }

    #[test]
    fn a_mismatch_says_where_and_what() {
        let counts = Type::list(Type::tuple([Type::String, Type::U64]));
        let text = |json, ty: &Type| from_json(&json, ty).unwrap_err().to_string();
        assert_eq!(
            text(json!([["a", 1], ["b", -1]]), &counts),
            "[1].1: expected u64, found `-1`"
        );
        assert_eq!(
            text(json!([["a"]]), &counts),
            "[0]: expected tuple<string, u64>, found an array of 1"
        );
        assert_eq!(
            text(json!(1.0), &Type::U8),
            "the value: expected u8, found `1.0`"
        );
        assert_eq!(
            text(json!(1e300), &Type::F32),
            "the value: expected f32, found `1e+300`"
        );
        assert_eq!(
            text(json!("inf"), &Type::F64),
            "the value: expected f64, found `\"inf\"`"
        );
        assert_eq!(
            text(json!("?"), &Type::bytes()),
            "the value: expected list<u8>, found a string that is not base64"
        );
        assert_eq!(
            text(json!({"ok": 1}), &Type::result(None, None)),
            ".ok: expected null, found `1`"
        );
    }

    #[test]
    fn fields_are_written_in_their_order() {
        let fields = [("b".into(), 1_u8.into()), ("a".into(), 2_u8.into())];
        let mut text = Vec::new();
        write_json(&Value::Record(fields.into()), &mut text).unwrap();
        assert_eq!(text, br#"{"b":1,"a":2}"#);
    }

    #[test]
    fn control_characters_are_shown_on_request() {
        let value = Value::from("a\u{1b}b\u{9b}c\u{7f}");
        let write = |escape_control| {
            let mut out = Vec::new();
            write_line(&mut out, &value, escape_control).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write(true), "\"a\\u001bb\\u009bc\\u007f\"\n");
        assert_eq!(write(false), "\"a\\u001bb\u{9b}c\u{7f}\"\n");
        let shown: String = serde_json::from_str(&write(true)).unwrap();
        assert_eq!(value, shown.into());
    }

    fn any_json() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            Just(Tree::Null),
            any::<bool>().prop_map(Tree::from),
            any::<i64>().prop_map(Tree::from),
            any::<f64>().prop_map(Tree::from),
            "[a-z0-9]{0,3}".prop_map(Tree::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::from),
                prop::collection::vec(("some|ok|err|[a-z]", inner), 0..3)
                    .prop_map(|entries| Tree::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn values_round_trip((ty, value) in any_typed()) {
            let tree = to_json(&value);
            prop_assert_eq!(from_json(&tree, &ty).unwrap(), value.clone());

            let mut text = Vec::new();
            write_json(&value, &mut text).unwrap();
            // The order of fields is that of the value, which a tree keeps only with `preserve_order`.
            prop_assert_eq!(text.len(), tree.to_string().len());
            let parsed: Tree = serde_json::from_slice(&text).unwrap();
            prop_assert_eq!(&parsed, &tree);
            prop_assert_eq!(from_json(&parsed, &ty).unwrap(), value);
        }

        #[test]
        fn any_tree_gives_a_value_of_the_type_or_an_error(ty in any_type(), tree in any_json()) {
            if let Ok(value) = from_json(&tree, &ty) {
                prop_assert!(Packed::pack(&value, &ty).is_ok());
            }
        }
    }
}
