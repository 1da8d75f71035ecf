//! Strategies for types and values of bounded depth, for the property tests of every layer that
//! handles them. Each package includes this file in its own tests: what only tests want is not part of a package.
//!
//! Left out: NaN, which equals nothing, and empty tuples, records and flags, which WIT does not
//! have. Names include WAVE's keywords.

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rwasm_value::value::{Case, Field, ResultType, Type, Value};
use std::sync::Arc;

/// A type and a value of it.
pub(crate) fn any_typed() -> impl Strategy<Value = (Type, Value)> {
    any_type().prop_flat_map(|ty| {
        let value = value_of(&ty);
        (Just(ty), value)
    })
}

/// A type.
pub(crate) fn any_type() -> impl Strategy<Value = Type> {
    leaf_type().prop_recursive(4, 24, 5, |inner| {
        let maybe = prop::option::of(inner.clone());
        let tys = vec(inner.clone(), 1..5);
        prop_oneof![
            2 => inner.clone().prop_map(Type::list),
            2 => tys.clone().prop_map(Type::tuple),
            1 => (inner.clone(), 1..5_u32).prop_map(|list| Type::FixedList(Arc::new(list))),
            1 => (names(4), vec(inner.clone(), 4)).prop_map(|(names, tys)| record(names, tys)),
            1 => (names(4), vec(maybe.clone(), 4)).prop_map(|(names, tys)| variant(names, tys)),
            1 => inner.clone().prop_map(Type::option),
            1 => (maybe.clone(), maybe).prop_map(|(ok, err)| {
                Type::Result(Arc::new(ResultType { ok, err }))
            }),
            1 => (key_type(), inner).prop_map(|types| Type::Map(Arc::new(types))),
        ]
    })
}

/// A type that WIT allows as the key of a map.
fn key_type() -> impl Strategy<Value = Type> {
    select(vec![
        Type::Bool,
        Type::S8,
        Type::U16,
        Type::S32,
        Type::U64,
        Type::Char,
        Type::String,
    ])
}

fn leaf_type() -> impl Strategy<Value = Type> {
    prop_oneof![
        10 => select(Type::LEAVES.to_vec()),
        3 => Just(Type::String),
        2 => Just(Type::bytes()),
        1 => names(5).prop_map(|names| Type::Enum(names.into())),
        1 => names(40).prop_map(|names| Type::Flags(names.into())),
    ]
}

/// From one to `most` distinct names.
fn names(most: usize) -> impl Strategy<Value = Vec<Arc<str>>> {
    let keyword = select(vec![
        "some", "none", "ok", "err", "true", "false", "inf", "nan",
    ]);
    let name = prop_oneof![
        1 => keyword.prop_map(str::to_owned),
        4 => "[a-z][a-z0-9]{0,3}(-[a-z0-9]{1,3})?",
    ];
    btree_set(name, 1..=most)
        .prop_map(|names| names.into_iter().map(Arc::from).collect::<Vec<_>>())
        .prop_shuffle()
}

fn record(names: Vec<Arc<str>>, tys: Vec<Type>) -> Type {
    let fields = names.into_iter().zip(tys);
    Type::Record(fields.map(|(name, ty)| Field { name, ty }).collect())
}

fn variant(names: Vec<Arc<str>>, tys: Vec<Option<Type>>) -> Type {
    let cases = names.into_iter().zip(tys);
    Type::Variant(cases.map(|(name, ty)| Case { name, ty }).collect())
}

/// A value of this type.
pub(crate) fn value_of(ty: &Type) -> BoxedStrategy<Value> {
    match ty {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::S8 => any::<i8>().prop_map(Value::S8).boxed(),
        Type::U8 => any::<u8>().prop_map(Value::U8).boxed(),
        Type::S16 => any::<i16>().prop_map(Value::S16).boxed(),
        Type::U16 => any::<u16>().prop_map(Value::U16).boxed(),
        Type::S32 => any::<i32>().prop_map(Value::S32).boxed(),
        Type::U32 => any::<u32>().prop_map(Value::U32).boxed(),
        // Of every length that LEB128 has.
        Type::S64 => (any::<i64>(), 0..64)
            .prop_map(|(number, shift)| Value::S64(number >> shift))
            .boxed(),
        Type::U64 => (any::<u64>(), 0..64)
            .prop_map(|(number, shift)| Value::U64(number >> shift))
            .boxed(),
        Type::F32 => float32().prop_map(Value::F32).boxed(),
        Type::F64 => float64().prop_map(Value::F64).boxed(),
        Type::Char => any::<char>().prop_map(Value::Char).boxed(),
        Type::String => vec(any::<char>(), 0..8)
            .prop_map(|chars| Value::String(chars.into_iter().collect()))
            .boxed(),
        Type::List(_) if ty.is_bytes() => vec(any::<u8>(), 0..8).prop_map(Value::from).boxed(),
        Type::List(element) => vec(value_of(element), 0..4).prop_map(Value::List).boxed(),
        Type::FixedList(list) => vec(value_of(&list.0), list.1 as usize)
            .prop_map(Value::List)
            .boxed(),
        Type::Tuple(types) => {
            let values: Vec<_> = types.iter().map(value_of).collect();
            values.prop_map(Value::Tuple).boxed()
        }
        Type::Record(fields) => {
            let values: Vec<_> = fields
                .iter()
                .map(|field| (Just(Arc::clone(&field.name)), value_of(&field.ty)))
                .collect();
            values.prop_map(Value::Record).boxed()
        }
        Type::Variant(cases) => select(cases.to_vec())
            .prop_flat_map(|case| (Just(case.name), payload_of(case.ty.as_ref())))
            .prop_map(|(name, payload)| Value::Variant(name, payload))
            .boxed(),
        Type::Enum(names) => select(names.to_vec()).prop_map(Value::Enum).boxed(),
        Type::Flags(names) => subsequence(names.to_vec(), 0..=names.len())
            .prop_map(Value::Flags)
            .boxed(),
        Type::Option(inner) => prop::option::of(value_of(inner).prop_map(Box::new))
            .prop_map(Value::Option)
            .boxed(),
        Type::Result(sides) => {
            let ok = payload_of(sides.ok.as_ref()).prop_map(|value| Value::Result(Ok(value)));
            let err = payload_of(sides.err.as_ref()).prop_map(|value| Value::Result(Err(value)));
            prop_oneof![ok, err].boxed()
        }
        Type::Map(types) => vec((value_of(&types.0), value_of(&types.1)), 0..4)
            .prop_map(Value::Map)
            .boxed(),
    }
}

fn payload_of(ty: Option<&Type>) -> BoxedStrategy<Option<Box<Value>>> {
    match ty {
        Some(ty) => value_of(ty).prop_map(|value| Some(Box::new(value))).boxed(),
        None => Just(None).boxed(),
    }
}

fn float32() -> impl Strategy<Value = f32> {
    use prop::num::f32::{INFINITE, NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO | INFINITE
}

fn float64() -> impl Strategy<Value = f64> {
    use prop::num::f64::{INFINITE, NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO | INFINITE
}
