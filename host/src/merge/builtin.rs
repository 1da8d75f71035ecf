//! The built-in merges: `collect`, `concat`, `sum`, `min`, `max`, `count`.
//!
//! A [`Fold`] is made for one type of value, and refuses a type that its merge cannot take before anything runs. It
//! works on packed values and unpacks none. It does not order its input: the caller pushes values in the order of the
//! chunks.

use super::number::{Number, SumByKey};
use super::order;
use rwasm_value::value::codec::{Malformed, Reader, Writer};
use rwasm_value::value::{Packed, Type};
use std::cmp::Ordering;
use std::fmt;

/// A merge that needs no function of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Builtin {
    /// The list of all values.
    Collect,
    /// Strings, bytes or lists, joined.
    Concat,
    /// The sum of numbers, or for (key, number) pairs the sum for each key.
    Sum,
    /// The smallest value; the first of equal ones. NaN only if there is nothing else.
    Min,
    /// The largest value; the first of equal ones. NaN only if there is nothing else.
    Max,
    /// The number of values.
    Count,
}

impl Builtin {
    /// Every built-in merge, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Collect,
        Self::Concat,
        Self::Sum,
        Self::Min,
        Self::Max,
        Self::Count,
    ];

    /// Returns its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Concat => "concat",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
        }
    }

    /// Returns whether it can merge the outputs of WASI commands, which are bytes without further meaning.
    pub(crate) const fn merges_outputs(self) -> bool {
        match self {
            Self::Collect | Self::Concat | Self::Count => true,
            Self::Sum | Self::Min | Self::Max => false,
        }
    }

    /// What it does, in a few words.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Collect => "All values in a list",
            Self::Concat => "Strings, bytes or lists joined",
            Self::Sum => "The sum of numbers, or of the numbers under equal keys",
            Self::Min => "The smallest value",
            Self::Max => "The largest value",
            Self::Count => "The number of results",
        }
    }
}

impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A built-in merge cannot take values of this type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot merge by {merge}: expected {expected}, found {found}")]
pub struct MergeTypeError {
    /// The merge.
    pub merge: Builtin,
    /// The type of the values.
    pub found: Type,
    /// What the merge takes.
    pub expected: &'static str,
}

/// Why a value cannot be merged with those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The value is not of the type that the fold was made for.
    #[error("expected a value of type {expected}, found {found}")]
    Type {
        /// The type of the value.
        found: Type,
        /// The type of the fold.
        expected: Type,
    },
    /// A sum is too large for its type.
    #[error("sum{} overflows {ty}: {left} + {right}", Of(key.as_deref()))]
    Overflow {
        /// The type of the numbers.
        ty: Type,
        /// The key in WAVE, if there are keys.
        key: Option<String>,
        /// The sum so far.
        left: String,
        /// The number that was to be added.
        right: String,
    },
    /// The packed value is malformed; values made by this library never are.
    #[error("malformed packed value: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: Malformed,
    },
}

/// ` of KEY`, or nothing.
struct Of<'a>(Option<&'a str>);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => write!(f, " of {key}"),
            None => Ok(()),
        }
    }
}

/// A merge in progress.
#[derive(Debug)]
pub(crate) struct Fold {
    merge: Builtin,
    ty: Type,
    state: Accumulator,
}

#[derive(Debug)]
enum Accumulator {
    Joined(Joined),
    Sum(Number),
    SumByKey(SumByKey),
    Best(Option<Best>),
    Count(u64),
}

/// A list in construction: the number of elements, and their bytes.
#[derive(Debug, Default)]
struct Joined {
    count: usize,
    elements: Writer,
}

#[derive(Debug)]
struct Best {
    value: Packed,
    has_nan: bool,
}

impl Fold {
    /// A merge of values of type `ty`.
    ///
    /// # Errors
    ///
    /// If the merge cannot take values of this type.
    pub(crate) fn new(merge: Builtin, ty: &Type) -> Result<Self, MergeTypeError> {
        let refuse = |expected| MergeTypeError {
            merge,
            found: ty.clone(),
            expected,
        };
        let state = match merge {
            Builtin::Collect => Accumulator::Joined(Joined::default()),
            Builtin::Concat => match ty {
                Type::String | Type::List(_) => Accumulator::Joined(Joined::default()),
                _ => return Err(refuse("string or a list")),
            },
            Builtin::Sum => match (Number::zero(ty), SumByKey::new(ty)) {
                (Some(zero), _) => Accumulator::Sum(zero),
                (None, Some(sums)) => Accumulator::SumByKey(sums),
                (None, None) => {
                    return Err(refuse(
                        "a number, or a list of pairs or a map from keys without floats to numbers",
                    ));
                }
            },
            Builtin::Min | Builtin::Max if order::is_ordered(ty) => Accumulator::Best(None),
            Builtin::Min | Builtin::Max => {
                return Err(refuse(
                    "a number, bool, char, string, list<u8>, enum or a tuple or record of those",
                ));
            }
            Builtin::Count => Accumulator::Count(0),
        };
        Ok(Self {
            merge,
            ty: ty.clone(),
            state,
        })
    }

    /// The type of the value that [`finish`](Self::finish) returns.
    pub(crate) fn result_type(&self) -> Type {
        match self.merge {
            Builtin::Collect => Type::list(self.ty.clone()),
            Builtin::Count => Type::U64,
            Builtin::Concat | Builtin::Sum | Builtin::Min | Builtin::Max => self.ty.clone(),
        }
    }

    /// Merges the next value, in input order.
    ///
    /// # Errors
    ///
    /// If the value has another type, or a sum overflows. The fold is of no use after that.
    pub(crate) fn push(&mut self, value: &Packed) -> Result<(), MergeError> {
        if *value.ty() != self.ty {
            return Err(MergeError::Type {
                found: value.ty().clone(),
                expected: self.ty.clone(),
            });
        }
        let malformed = |reason| MergeError::Malformed { reason };
        let mut reader = Reader::new(value.payload());
        match &mut self.state {
            Accumulator::Joined(joined) => {
                // A string's length counts its bytes as a list's counts its elements.
                joined.count += match self.merge {
                    Builtin::Collect => 1,
                    _ => reader.count(0).map_err(malformed)?,
                };
                joined.elements.put_raw(reader.rest());
            }
            Accumulator::Sum(sum) => {
                let number = Number::read(&mut reader, &self.ty).map_err(malformed)?;
                *sum = sum
                    .plus(number, &self.ty)
                    .ok_or_else(|| MergeError::Overflow {
                        ty: self.ty.clone(),
                        key: None,
                        left: sum.to_string(),
                        right: number.to_string(),
                    })?;
            }
            Accumulator::SumByKey(sums) => sums.push(value.payload())?,
            Accumulator::Best(best) => {
                let has_nan = order::has_nan(&self.ty, &mut reader).map_err(malformed)?;
                let is_better = match best {
                    None => true,
                    Some(best) if best.has_nan || has_nan => best.has_nan && !has_nan,
                    Some(best) => {
                        let mut old = Reader::new(best.value.payload());
                        let mut new = Reader::new(value.payload());
                        let order = order::compare(&self.ty, &mut new, &mut old);
                        let wanted = match self.merge {
                            Builtin::Min => Ordering::Less,
                            _ => Ordering::Greater,
                        };
                        order.map_err(malformed)? == wanted
                    }
                };
                if is_better {
                    let value = value.clone();
                    *best = Some(Best { value, has_nan });
                }
            }
            Accumulator::Count(count) => *count += 1,
        }
        Ok(())
    }

    /// Returns the merged value; `None` if `min` or `max` had no values.
    pub(crate) fn finish(self) -> Option<Packed> {
        let ty = self.result_type();
        let mut out = Writer::default();
        let payload = match self.state {
            Accumulator::Joined(joined) => {
                out.reserve(joined.elements.len() + 10);
                out.put_len(joined.count);
                out.put_raw(&joined.elements.into_vec());
                out.into_vec()
            }
            Accumulator::Sum(sum) => {
                sum.write(&mut out, &ty);
                out.into_vec()
            }
            Accumulator::SumByKey(sums) => sums.finish(),
            Accumulator::Best(best) => return best.map(|best| best.value),
            Accumulator::Count(count) => {
                out.put_u64_leb(count);
                out.into_vec()
            }
        };
        Some(Packed::from_payload(ty, payload.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbitrary::{any_type, value_of};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rwasm_value::value::{Field, Value};

    fn fold(merge: Builtin, ty: &Type, values: &[Value]) -> Result<Option<Value>, MergeError> {
        let mut fold = Fold::new(merge, ty).unwrap();
        let result_type = fold.result_type();
        for value in values {
            fold.push(&Packed::pack(value, ty).unwrap())?;
        }
        let merged = fold.finish();
        assert!(merged.iter().all(|merged| *merged.ty() == result_type));
        Ok(merged.map(|merged| merged.unpack().unwrap()))
    }

    fn pairs(ty: Type) -> Type {
        Type::list(Type::tuple([Type::String, ty]))
    }

    fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Value {
        Value::List(items.into_iter().map(Into::into).collect())
    }

    #[test]
    fn merges_of_nothing() {
        let empty = |merge, ty| fold(merge, &ty, &[]).unwrap();
        assert_eq!(
            empty(Builtin::Collect, Type::U8),
            Some(Value::from(vec![0u8; 0]))
        );
        assert_eq!(
            empty(Builtin::Collect, Type::Bool),
            Some(Value::List(vec![]))
        );
        assert_eq!(empty(Builtin::Concat, Type::String), Some("".into()));
        assert_eq!(empty(Builtin::Sum, Type::S16), Some(0i16.into()));
        assert_eq!(
            empty(Builtin::Sum, pairs(Type::F64)),
            Some(Value::List(vec![]))
        );
        assert_eq!(empty(Builtin::Min, Type::U8), None);
        assert_eq!(
            empty(Builtin::Count, Type::option(Type::U8)),
            Some(0u64.into())
        );
    }

    #[test]
    fn types_without_meaning_are_refused() {
        let refused = |merge, ty: Type| Fold::new(merge, &ty).unwrap_err().to_string();
        assert_eq!(
            refused(Builtin::Concat, Type::U8),
            "cannot merge by concat: expected string or a list, found u8"
        );
        let error = refused(Builtin::Sum, Type::list(Type::U8));
        assert!(error.starts_with("cannot merge by sum: expected"));
        refused(Builtin::Sum, Type::list(Type::tuple([Type::F32, Type::U8])));
        refused(Builtin::Sum, pairs(Type::Bool));
        refused(Builtin::Min, Type::option(Type::U8));
        refused(Builtin::Max, Type::tuple([Type::U8, Type::list(Type::U16)]));
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let mut fold = Fold::new(Builtin::Count, &Type::U8).unwrap();
        let error = fold.push(&Packed::pack(&1u16.into(), &Type::U16).unwrap());
        let error = error.unwrap_err().to_string();
        assert_eq!(error, "expected a value of type u8, found u16");
    }

    #[test]
    fn overflow_names_the_type_the_numbers_and_the_key() {
        let error = fold(Builtin::Sum, &Type::U8, &[200u8.into(), 56u8.into()]).unwrap_err();
        assert_eq!(error.to_string(), "sum overflows u8: 200 + 56");
        let error = fold(Builtin::Sum, &Type::S64, &[i64::MIN.into(), (-1i64).into()]);
        let error = error.unwrap_err().to_string();
        assert_eq!(error, "sum overflows s64: -9223372036854775808 + -1");

        let parts = [list([("a", -100i8), ("b", 1)]), list([("a", -29i8)])];
        let error = fold(Builtin::Sum, &pairs(Type::S8), &parts).unwrap_err();
        assert_eq!(error.to_string(), "sum of \"a\" overflows s8: -100 + -29");
    }

    #[test]
    fn keys_stay_in_the_order_of_first_appearance() {
        let parts = [
            list([("the", 2u64), ("a", 1)]),
            list([("of", 1u64), ("the", 300)]),
        ];
        let sums = fold(Builtin::Sum, &pairs(Type::U64), &parts).unwrap();
        assert_eq!(sums, Some(list([("the", 302u64), ("a", 1), ("of", 1)])));

        let map = Type::Map((Type::Char, Type::F32).into());
        let parts = [Value::Map(vec![
            ('x'.into(), 0.5f32.into()),
            ('x'.into(), 1f32.into()),
        ])];
        let sums = fold(Builtin::Sum, &map, &parts).unwrap();
        assert_eq!(sums, Some(Value::Map(vec![('x'.into(), 1.5f32.into())])));

        let field = |name: &str, ty| Field {
            name: name.into(),
            ty,
        };
        let fields = [field("word", Type::option(Type::U8)), field("n", Type::U16)];
        let record = |key: Option<u8>, n: u16| {
            Value::Record(vec![("word".into(), key.into()), ("n".into(), n.into())])
        };
        let parts = [
            list([record(None, 1), record(Some(0), 2)]),
            list([record(None, 4)]),
        ];
        let ty = Type::list(Type::Record(fields.into()));
        let sums = fold(Builtin::Sum, &ty, &parts).unwrap();
        assert_eq!(sums, Some(list([record(None, 5), record(Some(0), 2)])));
    }

    #[test]
    fn nan_wins_only_where_there_is_nothing_else() {
        let values = [f64::NAN, 2.0, f64::NAN, 1.0].map(Value::from);
        assert_eq!(
            fold(Builtin::Min, &Type::F64, &values),
            Ok(Some(1.0.into()))
        );
        assert_eq!(
            fold(Builtin::Max, &Type::F64, &values),
            Ok(Some(2.0.into()))
        );
        let nan = fold(Builtin::Max, &Type::F64, &values[..1]).unwrap();
        assert!(nan.unwrap().as_f64().unwrap().is_nan());
    }

    #[test]
    fn enums_are_ordered_by_index_and_tuples_by_field() {
        let ty = Type::Enum(["low".into(), "high".into()].into());
        let values = ["high", "low"].map(|name| Value::Enum(name.into()));
        assert_eq!(
            fold(Builtin::Max, &ty, &values),
            Ok(Some(values[0].clone()))
        );
        let ty = Type::tuple([Type::String, Type::S8]);
        let values = [("b", 0i8), ("a", 1), ("a", -1)].map(Value::from);
        assert_eq!(
            fold(Builtin::Min, &ty, &values),
            Ok(Some(values[2].clone()))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn collect_and_count_take_any_type(
            (ty, values) in any_type().prop_flat_map(|ty| {
                let values = vec(value_of(&ty), 0..5);
                (Just(ty), values)
            }),
        ) {
            prop_assert_eq!(
                fold(Builtin::Count, &ty, &values),
                Ok(Some(Value::U64(values.len() as u64)))
            );
            let bytes = values.iter().map(Value::as_u64);
            let bytes: Option<Vec<u8>> = bytes.map(|byte| u8::try_from(byte?).ok()).collect();
            let expected = match bytes {
                Some(bytes) if ty == Type::U8 => bytes.into(),
                _ => Value::List(values.clone()),
            };
            prop_assert_eq!(fold(Builtin::Collect, &ty, &values), Ok(Some(expected)));
        }

        #[test]
        fn concat_is_concat(texts in vec(".{0,5}", 0..6), lists in vec(vec(any::<u16>(), 0..5), 0..6)) {
            let values: Vec<Value> = texts.iter().map(|text| text.as_str().into()).collect();
            let concat = fold(Builtin::Concat, &Type::String, &values);
            prop_assert_eq!(concat, Ok(Some(texts.concat().into())));

            let values: Vec<Value> = texts.iter().map(|text| text.as_bytes().to_vec().into()).collect();
            let concat = fold(Builtin::Concat, &Type::bytes(), &values);
            prop_assert_eq!(concat, Ok(Some(texts.concat().into_bytes().into())));

            let values: Vec<Value> = lists.iter().cloned().map(list).collect();
            let concat = fold(Builtin::Concat, &Type::list(Type::U16), &values);
            prop_assert_eq!(concat, Ok(Some(list(lists.concat()))));
        }

        #[test]
        fn sums_are_sums(
            bytes in vec(0u8..100, 0..5),
            signed in vec(-40i16..40, 0..9),
            floats in vec(any::<f32>(), 0..9),
        ) {
            let sum = |ty, values: Vec<Value>| fold(Builtin::Sum, &ty, &values);
            let expected = bytes.iter().try_fold(0u8, |sum, byte| sum.checked_add(*byte));
            let found = sum(Type::U8, bytes.into_iter().map(Value::from).collect());
            prop_assert_eq!(found.ok(), expected.map(|sum| Some(sum.into())));

            let expected = signed.iter().sum::<i16>();
            let found = sum(Type::S16, signed.into_iter().map(Value::from).collect());
            prop_assert_eq!(found, Ok(Some(expected.into())));

            let expected = floats.iter().fold(0f32, |sum, number| sum + number);
            let found = sum(Type::F32, floats.into_iter().map(Value::from).collect());
            let Ok(Some(Value::F32(found))) = found else { panic!("{found:?}") };
            prop_assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan());
        }

        #[test]
        fn sums_by_key_are_sums_by_key(parts in vec(vec(("[a-c]{0,2}", 0u32..9), 0..9), 0..5)) {
            let mut model: Vec<(String, u32)> = Vec::new();
            for (key, number) in parts.iter().flatten() {
                match model.iter_mut().find(|(known, _)| known == key) {
                    Some((_, sum)) => *sum += number,
                    None => model.push((key.clone(), *number)),
                }
            }
            let values: Vec<Value> = parts.into_iter().map(list).collect();
            prop_assert_eq!(fold(Builtin::Sum, &pairs(Type::U32), &values), Ok(Some(list(model))));
        }

        #[test]
        fn min_and_max_are_min_and_max(
            signed in vec(any::<i32>(), 0..6),
            pairs in vec((any::<char>(), ".{0,2}"), 0..6),
            unsigned in vec(any::<u64>(), 0..6),
        ) {
            fn check<T: Clone + Ord + Into<Value>>(ty: &Type, items: &[T]) {
                let values: Vec<Value> = items.iter().cloned().map(Into::into).collect();
                let expected = items.iter().min().cloned().map(Into::into);
                assert_eq!(fold(Builtin::Min, ty, &values), Ok(expected));
                let expected = items.iter().max().cloned().map(Into::into);
                assert_eq!(fold(Builtin::Max, ty, &values), Ok(expected));
            }
            check(&Type::S32, &signed);
            check(&Type::U64, &unsigned);
            check(&Type::tuple([Type::Char, Type::String]), &pairs);
        }
    }
}
