//! The stored form of a [`Type`] as JSON. The packed form of a value does not describe its type, so
//! a record that another program can read has to.
//!
//! A type without parts is its name in WIT. Any other is an object with one key: `{"list": T}`,
//! `{"tuple": [T, …]}`, `{"record": [["name", T], …]}`, `{"variant": [["name", T or null], …]}`,
//! `{"enum": ["name", …]}`, `{"flags": ["name", …]}`, `{"option": T}`, `{"result": [T or null, T or
//! null]}`, `{"map": [K, V]}`.

use super::error::Damage;
use rwasm_value::value::{Case, Field, ResultType, Type};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// The maximum nesting depth of a stored type. A level takes up to three levels of JSON, of which
/// the parser allows 127; types written by people stay far below.
pub(super) const MAX_DEPTH: usize = 40;

/// Returns the stored form; none if the type nests too deeply.
pub(super) fn to_json(ty: &Type) -> Option<Json> {
    write(ty, 1)
}

/// Reads the stored form of a type.
pub(super) fn from_json(json: &Json) -> Result<Type, Damage> {
    read(json, 1)
}

fn write(ty: &Type, depth: usize) -> Option<Json> {
    if depth > MAX_DEPTH {
        return None;
    }
    let part = |ty: &Type| write(ty, depth + 1);
    let maybe = |ty: &Option<Type>| match ty {
        Some(ty) => part(ty),
        None => Some(Json::Null),
    };
    Some(match ty {
        Type::List(element) => json!({ "list": part(element)? }),
        Type::FixedList(list) => json!({ "fixed-list": [part(&list.0)?, list.1] }),
        Type::Option(inner) => json!({ "option": part(inner)? }),
        Type::Tuple(types) => {
            json!({ "tuple": types.iter().map(part).collect::<Option<Vec<_>>>()? })
        }
        Type::Record(fields) => {
            let fields = fields
                .iter()
                .map(|field| Some(json!([&*field.name, part(&field.ty)?])));
            json!({ "record": fields.collect::<Option<Vec<_>>>()? })
        }
        Type::Variant(cases) => {
            let cases = cases
                .iter()
                .map(|case| Some(json!([&*case.name, maybe(&case.ty)?])));
            json!({ "variant": cases.collect::<Option<Vec<_>>>()? })
        }
        Type::Enum(names) => json!({ "enum": texts(names) }),
        Type::Flags(names) => json!({ "flags": texts(names) }),
        Type::Result(sides) => json!({ "result": [maybe(&sides.ok)?, maybe(&sides.err)?] }),
        Type::Map(types) => json!({ "map": [part(&types.0)?, part(&types.1)?] }),
        leaf => Json::String(leaf.to_string()),
    })
}

fn texts(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

fn read(json: &Json, depth: usize) -> Result<Type, Damage> {
    if depth > MAX_DEPTH {
        return Err(Damage(format!(
            "a type nests deeper than {MAX_DEPTH} levels"
        )));
    }
    let bad = || Damage(format!("`{}` is not a valid type", cut(&json.to_string())));
    if let Json::String(name) = json {
        let leaf = Type::LEAVES.iter().find(|leaf| leaf.to_string() == *name);
        return leaf.cloned().ok_or_else(bad);
    }
    let object = json.as_object().filter(|object| object.len() == 1);
    let (shape, inner) = object
        .and_then(|object| object.iter().next())
        .ok_or_else(bad)?;
    let part = |json: &Json| read(json, depth + 1);
    let maybe = |json: &Json| match json {
        Json::Null => Ok(None),
        json => part(json).map(Some),
    };
    let items = || inner.as_array().map(Vec::as_slice).ok_or_else(bad);
    let pair = || match items()? {
        [first, second] => Ok((first, second)),
        _ => Err(bad()),
    };
    Ok(match shape.as_str() {
        "list" => Type::list(part(inner)?),
        "option" => Type::option(part(inner)?),
        "tuple" => Type::Tuple(items()?.iter().map(part).collect::<Result<_, _>>()?),
        "record" => {
            let fields = items()?.iter().map(|field| {
                let (name, ty) = named(field).ok_or_else(bad)?;
                Ok(Field {
                    name,
                    ty: part(ty)?,
                })
            });
            Type::Record(fields.collect::<Result<_, Damage>>()?)
        }
        "variant" => {
            let cases = items()?.iter().map(|case| {
                let (name, ty) = named(case).ok_or_else(bad)?;
                Ok(Case {
                    name,
                    ty: maybe(ty)?,
                })
            });
            Type::Variant(cases.collect::<Result<_, Damage>>()?)
        }
        "enum" => Type::Enum(names(items()?).ok_or_else(bad)?),
        "flags" => Type::Flags(names(items()?).ok_or_else(bad)?),
        "result" => {
            let (ok, err) = pair()?;
            Type::Result(Arc::new(ResultType {
                ok: maybe(ok)?,
                err: maybe(err)?,
            }))
        }
        "fixed-list" => {
            let (element, count) = pair()?;
            let count = count.as_u64().and_then(|count| u32::try_from(count).ok());
            Type::FixedList(Arc::new((part(element)?, count.ok_or_else(bad)?)))
        }
        "map" => {
            let (key, value) = pair()?;
            Type::Map(Arc::new((part(key)?, part(value)?)))
        }
        _ => return Err(bad()),
    })
}

fn named(json: &Json) -> Option<(Arc<str>, &Json)> {
    match json.as_array()?.as_slice() {
        [Json::String(name), ty] => Some((name.as_str().into(), ty)),
        _ => None,
    }
}

fn names(items: &[Json]) -> Option<Arc<[Arc<str>]>> {
    items
        .iter()
        .map(|name| name.as_str().map(Arc::from))
        .collect()
}

/// Truncates a text for an error.
fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbitrary::any_type;
    use proptest::prelude::*;

    fn nested(depth: usize) -> Type {
        let field = |ty| Field {
            name: "a".into(),
            ty,
        };
        (1..depth).fold(Type::U8, |ty, _| Type::Record([field(ty)].into()))
    }

    #[test]
    fn the_form_is_what_the_header_says() {
        let ty = Type::list(Type::tuple([Type::String, Type::U64]));
        let json = to_json(&ty).expect("shallow");
        assert_eq!(json.to_string(), r#"{"list":{"tuple":["string","u64"]}}"#);
    }

    #[test]
    fn the_deepest_type_survives_its_text_and_one_deeper_is_not_written() {
        let text = json!([to_json(&nested(MAX_DEPTH)).expect("allowed")]).to_string();
        let json: Json = serde_json::from_str(&text).expect("parsed");
        assert_eq!(from_json(&json[0]), Ok(nested(MAX_DEPTH)));
        assert_eq!(to_json(&nested(MAX_DEPTH + 1)), None);
    }

    #[test]
    fn what_is_no_type_is_refused() {
        let deep = (0..=MAX_DEPTH).fold(json!("u8"), |json, _| json!({ "list": json }));
        for json in [
            json!(null),
            json!("u128"),
            json!(7),
            json!({}),
            json!({ "list": "u8", "option": "u8" }),
            json!({ "tuple": "u8" }),
            json!({ "record": [["a"]] }),
            json!({ "variant": [[1, null]] }),
            json!({ "enum": [1] }),
            json!({ "result": ["u8"] }),
            json!({ "map": ["u8", "u8", "u8"] }),
            json!({ "future": "u8" }),
            deep,
        ] {
            assert!(from_json(&json).is_err(), "{json}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn types_round_trip(ty in any_type()) {
            let text = to_json(&ty).expect("shallow").to_string();
            let json: Json = serde_json::from_str(&text).expect("parsed");
            prop_assert_eq!(from_json(&json), Ok(ty));
        }
    }
}
