//! Reading JSON as values of a type.

use super::narrowed;
use crate::format::FormatError;
use crate::value::{Case, Field, Mismatch, Step, Type, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Tree;
use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

/// Converts `json` to a value of type `ty`.
///
/// # Errors
///
/// Returns an error if it does not fit the type. The error has the path, what was found and what
/// was wanted.
pub fn from_json(json: &Tree, ty: &Type) -> Result<Value, FormatError> {
    Ok(read(json, ty)?)
}

fn read(json: &Tree, ty: &Type) -> Result<Value, Mismatch> {
    let mismatch = || Mismatch::of_type(found(json), ty);
    Ok(match ty {
        Type::Bool => Value::Bool(json.as_bool().ok_or_else(mismatch)?),
        Type::S8 => Value::S8(integer(json).ok_or_else(mismatch)?),
        Type::U8 => Value::U8(integer(json).ok_or_else(mismatch)?),
        Type::S16 => Value::S16(integer(json).ok_or_else(mismatch)?),
        Type::U16 => Value::U16(integer(json).ok_or_else(mismatch)?),
        Type::S32 => Value::S32(integer(json).ok_or_else(mismatch)?),
        Type::U32 => Value::U32(integer(json).ok_or_else(mismatch)?),
        Type::S64 => Value::S64(integer(json).ok_or_else(mismatch)?),
        Type::U64 => Value::U64(integer(json).ok_or_else(mismatch)?),
        Type::F32 => {
            let wide = float(json).ok_or_else(mismatch)?;
            let number = narrowed(wide);
            if number.is_infinite() && wide.is_finite() {
                return Err(mismatch());
            }
            Value::F32(number)
        }
        Type::F64 => Value::F64(float(json).ok_or_else(mismatch)?),
        Type::Char => {
            let mut chars = json.as_str().ok_or_else(mismatch)?.chars();
            match (chars.next(), chars.next()) {
                (Some(char), None) => Value::Char(char),
                _ => return Err(mismatch()),
            }
        }
        Type::String => Value::String(json.as_str().ok_or_else(mismatch)?.to_owned()),
        Type::List(_) if ty.is_bytes() => bytes(json, ty)?,
        Type::List(element) => {
            let items = json.as_array().ok_or_else(mismatch)?;
            let items = items.iter().enumerate();
            let items = items.map(|(index, item)| inside(read(item, element), Step::Index(index)));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        Type::FixedList(list) => fixed(json, list, ty)?,
        Type::Tuple(types) => {
            let items = array_of(json, types.len()).ok_or_else(mismatch)?;
            let items = items.iter().zip(types.iter()).enumerate();
            let items = items.map(|(index, (item, ty))| inside(read(item, ty), Step::Field(index)));
            Value::Tuple(items.collect::<Result<_, _>>()?)
        }
        Type::Record(fields) => record(json, fields, ty)?,
        Type::Variant(cases) => variant(json, cases, ty)?,
        Type::Enum(names) => {
            let name = json.as_str().ok_or_else(mismatch)?;
            let known = names.iter().find(|known| ***known == *name);
            Value::Enum(Arc::clone(known.ok_or_else(mismatch)?))
        }
        Type::Flags(names) => flags(json, names, ty)?,
        Type::Option(inner) => Value::Option(match (json, &**inner) {
            (Tree::Null, _) => None,
            (_, Type::Option(_)) => match single_entry(json) {
                Some((name, json)) if name == "some" => {
                    Some(Box::new(inside(read(json, inner), Step::Part("some"))?))
                }
                _ => return Err(mismatch()),
            },
            _ => Some(Box::new(read(json, inner)?)),
        }),
        Type::Result(sides) => Value::Result(match single_entry(json) {
            Some((name, json)) if name == "ok" => Ok(side(json, sides.ok.as_ref(), "ok")?),
            Some((name, json)) if name == "err" => Err(side(json, sides.err.as_ref(), "err")?),
            _ => return Err(mismatch()),
        }),
        Type::Map(types) => map(json, types, ty)?,
    })
}

fn fixed(json: &Tree, (element, count): &(Type, u32), ty: &Type) -> Result<Value, Mismatch> {
    let items = json.as_array();
    let items = items.ok_or_else(|| Mismatch::of_type(found(json), ty))?;
    if items.len() != *count as usize {
        let found = format!("an array of {}", items.len());
        return Err(Mismatch::of_type(found, ty));
    }
    let items = items.iter().enumerate();
    let items = items.map(|(index, item)| inside(read(item, element), Step::Index(index)));
    Ok(Value::List(items.collect::<Result<_, _>>()?))
}

/// A map is an array of pairs, or an object if its keys are strings.
fn map(json: &Tree, (key, value): &(Type, Type), ty: &Type) -> Result<Value, Mismatch> {
    if let (Some(object), Type::String) = (json.as_object(), key) {
        let entries = object.iter().map(|(key, json)| {
            let value = inside(read(json, value), Step::Name(key.as_str().into()))?;
            Ok((Value::String(key.clone()), value))
        });
        return Ok(Value::Map(entries.collect::<Result<_, _>>()?));
    }
    let entries = json.as_array();
    let entries = entries.ok_or_else(|| Mismatch::of_type(found(json), ty))?;
    let entries = entries.iter().enumerate();
    let entries = entries.map(|(index, json)| inside(entry(json, key, value), Step::Index(index)));
    Ok(Value::Map(entries.collect::<Result<_, _>>()?))
}

fn record(json: &Tree, fields: &[Field], ty: &Type) -> Result<Value, Mismatch> {
    let object = json
        .as_object()
        .ok_or_else(|| Mismatch::of_type(found(json), ty))?;
    let is_known = |name: &String| fields.iter().any(|field| *field.name == **name);
    if let Some(name) = object.keys().find(|name| !is_known(name)) {
        let known = fields.iter().map(|field| &*field.name);
        return Err(Mismatch::of_name("field", name, known, ty));
    }
    let fields = fields.iter().map(|field| {
        let value = match (object.get(&*field.name), &field.ty) {
            (Some(value), ty) => read(value, ty),
            (None, Type::Option(_)) => Ok(Value::Option(None)),
            (None, ty) => Err(Mismatch::of_type("nothing", ty)),
        };
        let value = inside(value, Step::Name(Arc::clone(&field.name)))?;
        Ok((Arc::clone(&field.name), value))
    });
    Ok(Value::Record(fields.collect::<Result<_, _>>()?))
}

fn variant(json: &Tree, cases: &[Case], ty: &Type) -> Result<Value, Mismatch> {
    let mismatch = || Mismatch::of_type(found(json), ty);
    let (name, payload) = match json {
        Tree::String(name) => (name, None),
        _ => single_entry(json)
            .map(|(name, payload)| (name, Some(payload)))
            .ok_or_else(mismatch)?,
    };
    let case = cases.iter().find(|case| *case.name == **name);
    let case = case.ok_or_else(mismatch)?;
    let payload = match (payload, &case.ty) {
        (None, None) => None,
        (Some(payload), Some(ty)) => {
            let payload = inside(read(payload, ty), Step::Name(Arc::clone(&case.name)))?;
            Some(Box::new(payload))
        }
        _ => return Err(mismatch()),
    };
    Ok(Value::Variant(Arc::clone(&case.name), payload))
}

fn flags(json: &Tree, names: &[Arc<str>], ty: &Type) -> Result<Value, Mismatch> {
    let Some(set) = json.as_array() else {
        return Err(Mismatch::of_type(found(json), ty));
    };
    let is = |json: &Tree, name: &str| json.as_str() == Some(name);
    let is_known = |json: &Tree| names.iter().any(|name| is(json, name));
    if let Some(other) = set.iter().find(|json| !is_known(json)) {
        return Err(Mismatch::of_type(found(other), ty));
    }
    let is_set = |name: &str| set.iter().any(|json| is(json, name));
    let names = names.iter().filter(|name| is_set(name));
    Ok(Value::Flags(names.map(Arc::clone).collect()))
}

/// Reads the payload of one side of a result.
fn side(
    json: &Tree,
    ty: Option<&Type>,
    name: &'static str,
) -> Result<Option<Box<Value>>, Mismatch> {
    let payload = match ty {
        Some(ty) => read(json, ty).map(|payload| Some(Box::new(payload))),
        None if json.is_null() => Ok(None),
        None => Err(Mismatch::new(found(json), "null")),
    };
    payload.map_err(|error| error.within(Step::Part(name)))
}

/// A key and a value of a map.
fn entry(json: &Tree, key: &Type, value: &Type) -> Result<(Value, Value), Mismatch> {
    let Some([key_json, value_json]) = array_of(json, 2) else {
        return Err(Mismatch::new(found(json), format!("[{key}, {value}]")));
    };
    let key = inside(read(key_json, key), Step::Part("key"))?;
    Ok((key, inside(read(value_json, value), Step::Part("value"))?))
}

fn bytes(json: &Tree, ty: &Type) -> Result<Value, Mismatch> {
    match json {
        Tree::String(text) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(bytes.into()),
            Err(_) => Err(Mismatch::new("a string that is not base64", ty.to_string())),
        },
        Tree::Array(items) => {
            let items = items.iter().enumerate().map(|(index, item)| {
                let byte = integer(item).ok_or_else(|| Mismatch::of_type(found(item), &Type::U8));
                byte.map_err(|error| error.within(Step::Index(index)))
            });
            Ok(items.collect::<Result<Vec<u8>, _>>()?.into())
        }
        _ => Err(Mismatch::of_type(found(json), ty)),
    }
}

fn integer<T: FromStr>(json: &Tree) -> Option<T> {
    match json {
        // From the number's own digits, so that no range is lost; `1.0` is not an integer.
        Tree::Number(number) => number.to_string().parse().ok(),
        Tree::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn float(json: &Tree) -> Option<f64> {
    match json {
        Tree::Number(number) => number.as_f64(),
        Tree::String(text) => match &**text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            // Only decimal strings that fit: Rust would also parse "inf" and "nan", and parse 1e400
            // as infinity.
            _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
        },
        _ => None,
    }
}

fn array_of(json: &Tree, len: usize) -> Option<&[Tree]> {
    json.as_array()
        .map(Vec::as_slice)
        .filter(|items| items.len() == len)
}

fn single_entry(json: &Tree) -> Option<(&String, &Tree)> {
    let object = json.as_object().filter(|object| object.len() == 1)?;
    object.iter().next()
}

fn inside<T>(result: Result<T, Mismatch>, step: Step) -> Result<T, Mismatch> {
    result.map_err(|mismatch| mismatch.within(step))
}

/// Describes what was found in a few words.
fn found(json: &Tree) -> Cow<'static, str> {
    match json {
        Tree::Null => "`null`".into(),
        Tree::Bool(flag) => format!("`{flag}`").into(),
        Tree::Number(number) => format!("`{number}`").into(),
        Tree::String(text) if text.len() <= 40 => format!("`{text:?}`").into(),
        Tree::String(_) => "a string".into(),
        Tree::Array(items) => format!("an array of {}", items.len()).into(),
        Tree::Object(entries) => {
            let names: Vec<_> = entries.keys().take(4).map(String::as_str).collect();
            format!("an object of `{}`", names.join("`, `")).into()
        }
    }
}
