//! Types and values made of random bytes, and how a type is written in WIT.
//!
//! Left out: NaN, which equals nothing, and empty tuples, records and flags, which WIT does not have.

use arbitrary::{Result, Unstructured};
use rwasm_cluster::{Case, Field, ResultType, Type, Value};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// How deep types nest here: deeper ones are refused, and that is tested by itself.
const DEPTH: u32 = 5;

const NAMES: [&str; 12] = [
    "a",
    "b",
    "c",
    "some",
    "none",
    "ok",
    "err",
    "true",
    "inf",
    "a-b",
    "x1",
    "long-name-of-a-field",
];

/// A type.
pub(crate) fn any_type(bytes: &mut Unstructured) -> Result<Type> {
    nested(bytes, DEPTH)
}

fn nested(bytes: &mut Unstructured, depth: u32) -> Result<Type> {
    let leaf_only = depth == 0 || bytes.is_empty();
    Ok(
        match bytes.int_in_range(0..=if leaf_only { 15 } else { 25 })? {
            0 => Type::Bool,
            1 => Type::S8,
            2 => Type::U8,
            3 => Type::S16,
            4 => Type::U16,
            5 => Type::S32,
            6 => Type::U32,
            7 => Type::S64,
            8 => Type::U64,
            9 => Type::F32,
            10 => Type::F64,
            11 => Type::Char,
            12 => Type::String,
            13 => Type::bytes(),
            14 => Type::Enum(names(bytes, 12)?.into()),
            15 => Type::Flags(names(bytes, 12)?.into()),
            16 | 17 => Type::list(nested(bytes, depth - 1)?),
            18 | 19 => {
                let count = bytes.int_in_range(1..=4)?;
                let types: Result<Vec<_>> = (0..count).map(|_| nested(bytes, depth - 1)).collect();
                Type::tuple(types?)
            }
            20 => {
                let names = names(bytes, 4)?.into_iter();
                let fields = names.map(|name| {
                    Ok(Field {
                        name,
                        ty: nested(bytes, depth - 1)?,
                    })
                });
                Type::Record(fields.collect::<Result<_>>()?)
            }
            21 | 22 => {
                let names = names(bytes, 5)?.into_iter();
                let cases = names.map(|name| {
                    Ok(Case {
                        name,
                        ty: maybe(bytes, depth)?,
                    })
                });
                Type::Variant(cases.collect::<Result<_>>()?)
            }
            23 => Type::option(nested(bytes, depth - 1)?),
            24 => {
                let ok = maybe(bytes, depth)?;
                let err = maybe(bytes, depth)?;
                Type::Result(Arc::new(ResultType { ok, err }))
            }
            _ => {
                let keys = [
                    Type::Bool,
                    Type::S8,
                    Type::U16,
                    Type::S32,
                    Type::U64,
                    Type::Char,
                    Type::String,
                ];
                let key = bytes.choose(&keys)?.clone();
                Type::Map(Arc::new((key, nested(bytes, depth - 1)?)))
            }
        },
    )
}

fn maybe(bytes: &mut Unstructured, depth: u32) -> Result<Option<Type>> {
    if bytes.arbitrary()? {
        nested(bytes, depth - 1).map(Some)
    } else {
        Ok(None)
    }
}

/// From one to `most` distinct names.
fn names(bytes: &mut Unstructured, most: usize) -> Result<Vec<Arc<str>>> {
    let first = bytes.choose_index(NAMES.len())?;
    let count = bytes.int_in_range(1..=most)?;
    let names = NAMES.iter().cycle().skip(first).take(count);
    Ok(names.map(|name| Arc::from(*name)).collect())
}

/// A value of this type.
pub(crate) fn value_of(bytes: &mut Unstructured, ty: &Type) -> Result<Value> {
    Ok(match ty {
        Type::Bool => Value::Bool(bytes.arbitrary()?),
        Type::S8 => Value::S8(bytes.arbitrary()?),
        Type::U8 => Value::U8(bytes.arbitrary()?),
        Type::S16 => Value::S16(bytes.arbitrary()?),
        Type::U16 => Value::U16(bytes.arbitrary()?),
        Type::S32 => Value::S32(bytes.arbitrary()?),
        Type::U32 => Value::U32(bytes.arbitrary()?),
        Type::S64 => Value::S64(bytes.arbitrary()?),
        Type::U64 => Value::U64(bytes.arbitrary()?),
        Type::F32 => {
            let number: f32 = bytes.arbitrary()?;
            Value::F32(if number.is_nan() {
                f32::INFINITY
            } else {
                number
            })
        }
        Type::F64 => {
            let number: f64 = bytes.arbitrary()?;
            Value::F64(if number.is_nan() { -0.0 } else { number })
        }
        Type::Char => Value::Char(bytes.arbitrary()?),
        Type::String => Value::String(bytes.arbitrary()?),
        Type::List(_) if ty.is_bytes() => Value::from(bytes.arbitrary::<Vec<u8>>()?),
        Type::List(element) => {
            let count = length(bytes)?;
            let items = (0..count).map(|_| value_of(bytes, element));
            Value::List(items.collect::<Result<_>>()?)
        }
        Type::FixedList(list) => {
            let items = (0..list.1).map(|_| value_of(bytes, &list.0));
            Value::List(items.collect::<Result<_>>()?)
        }
        Type::Tuple(types) => {
            let values = types.iter().map(|ty| value_of(bytes, ty));
            Value::Tuple(values.collect::<Result<_>>()?)
        }
        Type::Record(fields) => {
            let values = fields
                .iter()
                .map(|field| Ok((Arc::clone(&field.name), value_of(bytes, &field.ty)?)));
            Value::Record(values.collect::<Result<_>>()?)
        }
        Type::Variant(cases) => {
            let case = bytes.choose(cases)?;
            Value::Variant(Arc::clone(&case.name), payload(bytes, case.ty.as_ref())?)
        }
        Type::Enum(names) => Value::Enum(Arc::clone(bytes.choose(names)?)),
        Type::Flags(names) => {
            let mut set = Vec::new();
            for name in names.iter() {
                if bytes.arbitrary()? {
                    set.push(Arc::clone(name));
                }
            }
            Value::Flags(set)
        }
        Type::Option(inner) => {
            let inner = bytes.arbitrary::<bool>()?.then_some(&**inner);
            Value::Option(payload(bytes, inner)?)
        }
        Type::Result(sides) => Value::Result(if bytes.arbitrary()? {
            Ok(payload(bytes, sides.ok.as_ref())?)
        } else {
            Err(payload(bytes, sides.err.as_ref())?)
        }),
        Type::Map(types) => {
            let count = length(bytes)?;
            let entries =
                (0..count).map(|_| Ok((value_of(bytes, &types.0)?, value_of(bytes, &types.1)?)));
            Value::Map(entries.collect::<Result<_>>()?)
        }
    })
}

fn length(bytes: &mut Unstructured) -> Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    bytes.int_in_range(0..=6)
}

fn payload(bytes: &mut Unstructured, ty: Option<&Type>) -> Result<Option<Box<Value>>> {
    ty.map(|ty| value_of(bytes, ty).map(Box::new)).transpose()
}

/// Types as WIT has them: records, variants and their like are declared first and then named.
#[derive(Default)]
pub(crate) struct Wit {
    pub(crate) declared: String,
    known: HashMap<Type, String>,
}

impl Wit {
    /// What the type is called, once what is declared stands before it.
    pub(crate) fn name(&mut self, ty: &Type) -> String {
        if let Some(name) = self.known.get(ty) {
            return name.clone();
        }
        let written = match ty {
            Type::List(element) => format!("list<{}>", self.name(element)),
            Type::FixedList(list) => format!("list<{}, {}>", self.name(&list.0), list.1),
            Type::Option(inner) => format!("option<{}>", self.name(inner)),
            Type::Map(types) => format!("map<{}, {}>", self.name(&types.0), self.name(&types.1)),
            Type::Tuple(types) => {
                let types: Vec<String> = types.iter().map(|ty| self.name(ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            Type::Result(sides) => {
                let mut side = |ty: &Option<Type>| {
                    ty.as_ref()
                        .map_or_else(|| "_".to_owned(), |ty| self.name(ty))
                };
                let (ok, err) = (side(&sides.ok), side(&sides.err));
                match (&*ok, &*err) {
                    ("_", "_") => "result".to_owned(),
                    (_, "_") => format!("result<{ok}>"),
                    _ => format!("result<{ok}, {err}>"),
                }
            }
            Type::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|field| format!("%{}: {}", field.name, self.name(&field.ty)));
                let fields: Vec<String> = fields.collect();
                self.declare("record", &fields)
            }
            Type::Variant(cases) => {
                let cases = cases.iter().map(|case| match &case.ty {
                    Some(ty) => format!("%{}({})", case.name, self.name(ty)),
                    None => format!("%{}", case.name),
                });
                let cases: Vec<String> = cases.collect();
                self.declare("variant", &cases)
            }
            Type::Enum(names) => self.declare("enum", &marked(names)),
            Type::Flags(names) => self.declare("flags", &marked(names)),
            scalar => scalar.to_string(),
        };
        self.known.insert(ty.clone(), written.clone());
        written
    }

    fn declare(&mut self, kind: &str, parts: &[String]) -> String {
        let name = format!("t{}", self.known.len());
        writeln!(self.declared, "{kind} {name} {{ {} }}", parts.join(", "))
            .expect("written to a string");
        name
    }
}

fn marked(names: &[Arc<str>]) -> Vec<String> {
    names.iter().map(|name| format!("%{name}")).collect()
}
