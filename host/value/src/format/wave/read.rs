//! Assigns types to parsed WAVE.

use super::not_wave;
use crate::format::FormatError;
use crate::value::{Case, Field, Mismatch, ResultType, Step, Type, Value};
use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;
use wasm_wave::ast::{Node, NodeType};

/// Assigns types to the nodes that were parsed from `text`.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
}

impl Reader<'_> {
    pub(super) fn value(&self, node: &Node, ty: &Type) -> Result<Value, FormatError> {
        let mismatch = |_| self.mismatch(node, ty);
        Ok(match ty {
            Type::Bool => Value::Bool(node.as_bool().map_err(mismatch)?),
            Type::S8 => Value::S8(self.number(node, ty)?),
            Type::U8 => Value::U8(self.number(node, ty)?),
            Type::S16 => Value::S16(self.number(node, ty)?),
            Type::U16 => Value::U16(self.number(node, ty)?),
            Type::S32 => Value::S32(self.number(node, ty)?),
            Type::U32 => Value::U32(self.number(node, ty)?),
            Type::S64 => Value::S64(self.number(node, ty)?),
            Type::U64 => Value::U64(self.number(node, ty)?),
            Type::F32 => {
                let number: f32 = self.number(node, ty)?;
                self.check_range(number.is_infinite(), node, ty)?;
                Value::F32(number)
            }
            Type::F64 => {
                let number: f64 = self.number(node, ty)?;
                self.check_range(number.is_infinite(), node, ty)?;
                Value::F64(number)
            }
            Type::Char => Value::Char(node.as_char(self.text).map_err(mismatch)?),
            Type::String => match node.ty() {
                // Of the right type, so that an error here is one of the text.
                NodeType::String | NodeType::MultilineString => {
                    let text = node.as_str(self.text).map_err(|error| not_wave(&error))?;
                    Value::String(text.into_owned())
                }
                _ => return Err(self.mismatch(node, ty)),
            },
            Type::List(_) if ty.is_bytes() => {
                let items = node.as_list().map_err(mismatch)?.enumerate();
                let items = items.map(|(index, item)| {
                    inside(self.number(item, &Type::U8), || Step::Index(index))
                });
                Value::from(items.collect::<Result<Vec<u8>, _>>()?)
            }
            Type::List(element) => {
                let items = node.as_list().map_err(mismatch)?.enumerate();
                let items = items
                    .map(|(index, item)| inside(self.value(item, element), || Step::Index(index)));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            Type::FixedList(list) => self.fixed(node, list, ty)?,
            Type::Tuple(types) => {
                let items = node.as_tuple().map_err(mismatch)?;
                if items.len() != types.len() {
                    return Err(self.mismatch(node, ty));
                }
                let items = items.zip(types.iter()).enumerate();
                let items = items
                    .map(|(index, (item, ty))| inside(self.value(item, ty), || Step::Field(index)));
                Value::Tuple(items.collect::<Result<_, _>>()?)
            }
            Type::Record(fields) => self.record(node, fields, ty)?,
            Type::Variant(cases) => self.variant(node, cases, ty)?,
            Type::Enum(names) => match self.label(node, ty)? {
                (name, None) => {
                    let known = names.iter().find(|known| ***known == *name);
                    Value::Enum(Arc::clone(known.ok_or_else(|| self.mismatch(node, ty))?))
                }
                _ => return Err(self.mismatch(node, ty)),
            },
            Type::Flags(names) => self.flags(node, names, ty)?,
            Type::Option(inner) => self.option(node, inner, ty)?,
            Type::Result(sides) => self.result(node, sides, ty)?,
            Type::Map(types) => {
                let entries = node.as_list().map_err(mismatch)?.enumerate();
                let entries = entries.map(|(index, node)| {
                    inside(self.entry(node, &types.0, &types.1), || Step::Index(index))
                });
                Value::Map(entries.collect::<Result<_, _>>()?)
            }
        })
    }

    fn fixed(&self, node: &Node, list: &(Type, u32), ty: &Type) -> Result<Value, FormatError> {
        let count = node.as_list().map_err(|_| self.mismatch(node, ty))?.len();
        if count != list.1 as usize {
            return Err(self.mismatch(node, ty));
        }
        Ok(match self.value(node, &Type::list(list.0.clone()))? {
            Value::Bytes(bytes) => Value::List(bytes.iter().copied().map(Value::U8).collect()),
            items => items,
        })
    }

    fn option(&self, node: &Node, inner: &Type, ty: &Type) -> Result<Value, FormatError> {
        Ok(Value::Option(match node.ty() {
            NodeType::OptionSome => {
                let payload = node.as_option().map_err(|_| self.mismatch(node, ty))?;
                let payload = self.payload(payload, Some(inner), node, ty);
                inside(payload, || Step::Part("some"))?
            }
            NodeType::OptionNone => None,
            // A node that is marked as a result is not an option, so it can stand for its `some`.
            NodeType::ResultOk | NodeType::ResultErr if matches!(inner, Type::Result(_)) => {
                Some(Box::new(self.value(node, inner)?))
            }
            _ if stands_alone(inner) => Some(Box::new(self.value(node, inner)?)),
            _ => return Err(self.mismatch(node, ty)),
        }))
    }

    fn result(&self, node: &Node, sides: &ResultType, ty: &Type) -> Result<Value, FormatError> {
        Ok(Value::Result(match (node.as_result(), &sides.ok) {
            (Ok(Ok(payload)), ok) => {
                let payload = self.payload(payload, ok.as_ref(), node, ty);
                Ok(inside(payload, || Step::Part("ok"))?)
            }
            (Ok(Err(payload)), _) => {
                let payload = self.payload(payload, sides.err.as_ref(), node, ty);
                Err(inside(payload, || Step::Part("err"))?)
            }
            (Err(_), Some(ok)) if stands_alone(ok) => Ok(Some(Box::new(self.value(node, ok)?))),
            _ => return Err(self.mismatch(node, ty)),
        }))
    }

    fn number<T: FromStr>(&self, node: &Node, ty: &Type) -> Result<T, FormatError> {
        node.as_number(self.text)
            .map_err(|_| self.mismatch(node, ty))
    }

    /// A number with digits that parses as infinite does not fit.
    fn check_range(&self, is_infinite: bool, node: &Node, ty: &Type) -> Result<(), FormatError> {
        let text = self.text.get(node.span()).unwrap_or_default();
        if is_infinite && text.bytes().any(|byte| byte.is_ascii_digit()) {
            return Err(self.mismatch(node, ty));
        }
        Ok(())
    }

    fn record(&self, node: &Node, fields: &[Field], ty: &Type) -> Result<Value, FormatError> {
        let Ok(given) = node.as_record(self.text) else {
            return Err(self.mismatch(node, ty));
        };
        let given: Vec<_> = given.collect();
        let is_known = |name: &str| fields.iter().any(|field| *field.name == *name);
        if let Some((name, _)) = given.iter().find(|(name, _)| !is_known(name)) {
            let known = fields.iter().map(|field| &*field.name);
            return Err(Mismatch::of_name("field", name, known, ty).into());
        }
        let fields = fields.iter().map(|field| {
            let node = given.iter().find(|(name, _)| **name == *field.name);
            let value = match (node, &field.ty) {
                (Some((_, node)), ty) => self.value(node, ty),
                (None, Type::Option(_)) => Ok(Value::Option(None)),
                (None, ty) => Err(Mismatch::of_type("nothing", ty).into()),
            };
            let value = inside(value, || Step::Name(Arc::clone(&field.name)))?;
            Ok((Arc::clone(&field.name), value))
        });
        Ok(Value::Record(fields.collect::<Result<_, FormatError>>()?))
    }

    fn variant(&self, node: &Node, cases: &[Case], ty: &Type) -> Result<Value, FormatError> {
        let (name, payload) = self.label(node, ty)?;
        let case = cases.iter().find(|case| *case.name == *name);
        let case = case.ok_or_else(|| self.mismatch(node, ty))?;
        let payload = self.payload(payload, case.ty.as_ref(), node, ty);
        let payload = inside(payload, || Step::Name(Arc::clone(&case.name)))?;
        Ok(Value::Variant(Arc::clone(&case.name), payload))
    }

    fn flags(&self, node: &Node, names: &[Arc<str>], ty: &Type) -> Result<Value, FormatError> {
        let Ok(set) = node.as_flags(self.text) else {
            return Err(self.mismatch(node, ty));
        };
        let unmarked = |label: &'_ str| label.strip_prefix('%').unwrap_or(label).to_owned();
        let set: Vec<String> = set.map(unmarked).collect();
        let is_known = |name: &str| names.iter().any(|known| **known == *name);
        if let Some(name) = set.iter().find(|name| !is_known(name)) {
            return Err(Mismatch::of_type(format!("flag `{name}`"), ty).into());
        }
        let is_set = |name: &str| set.iter().any(|known| known == name);
        let names = names.iter().filter(|name| is_set(name));
        Ok(Value::Flags(names.map(Arc::clone).collect()))
    }

    fn entry(&self, node: &Node, key: &Type, value: &Type) -> Result<(Value, Value), FormatError> {
        let pair: Vec<&Node> = node.as_tuple().map(Iterator::collect).unwrap_or_default();
        let [key_node, value_node] = pair[..] else {
            let expected = format!("({key}, {value})");
            return Err(Mismatch::new(self.found(node), expected).into());
        };
        let key = inside(self.value(key_node, key), || Step::Part("key"))?;
        Ok((
            key,
            inside(self.value(value_node, value), || Step::Part("value"))?,
        ))
    }

    /// Returns the name and the payload of a case. A keyword counts as a name if the text marks it.
    fn label<'n>(
        &self,
        node: &'n Node,
        ty: &Type,
    ) -> Result<(&str, Option<&'n Node>), FormatError> {
        // Of a type that has such a case, a keyword cannot mean anything else.
        let (keyword, payload) = match node.ty() {
            NodeType::OptionNone => ("none", None),
            NodeType::OptionSome => ("some", node.as_option().ok().flatten()),
            NodeType::ResultOk => ("ok", node.as_result().ok().and_then(Result::ok).flatten()),
            NodeType::ResultErr => ("err", node.as_result().ok().and_then(Result::err).flatten()),
            NodeType::BoolTrue => ("true", None),
            NodeType::BoolFalse => ("false", None),
            _ => {
                let label = node.as_variant(self.text);
                return label.map_err(|_| self.mismatch(node, ty));
            }
        };
        Ok((keyword, payload))
    }

    fn payload(
        &self,
        payload: Option<&Node>,
        payload_ty: Option<&Type>,
        node: &Node,
        ty: &Type,
    ) -> Result<Option<Box<Value>>, FormatError> {
        match (payload, payload_ty) {
            (Some(payload), Some(ty)) => Ok(Some(Box::new(self.value(payload, ty)?))),
            (None, None) => Ok(None),
            _ => Err(self.mismatch(node, ty)),
        }
    }

    fn mismatch(&self, node: &Node, ty: &Type) -> FormatError {
        Mismatch::of_type(self.found(node), ty).into()
    }

    /// The text of a node, if it is short.
    fn found(&self, node: &Node) -> Cow<'static, str> {
        let text = self.text.get(node.span()).unwrap_or_default();
        if text.len() <= 40 {
            return format!("`{text}`").into();
        }
        match node.ty() {
            NodeType::List => "a list".into(),
            NodeType::Tuple => "a tuple".into(),
            NodeType::Record => "a record".into(),
            NodeType::String | NodeType::MultilineString => "a string".into(),
            _ => "a long text".into(),
        }
    }
}

/// Whether a value may stand for `some` or `ok` of itself: WAVE's own rule.
fn stands_alone(ty: &Type) -> bool {
    !matches!(ty, Type::Option(_) | Type::Result(_))
}

pub(super) fn inside<T>(
    result: Result<T, FormatError>,
    step: impl FnOnce() -> Step,
) -> Result<T, FormatError> {
    result.map_err(|error| match error {
        FormatError::Mismatch(mismatch) => mismatch.within(step()).into(),
        other => other,
    })
}
