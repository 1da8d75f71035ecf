//! Rust's own types against [`Value`], which the packed form was made for.

use super::super::{Argument, PackedArgument, Reference, Value};
use super::*;
use crate::arbitrary::{any_type, any_typed};
use crate::arguments;
use bytes::Bytes;
use proptest::collection::{btree_map, hash_map, vec};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

/// Written as this type it is what the value is, and it is read back as what it was.
fn check<T>(rust: &T, value: &Value, ty: &Type) -> Result<(), TestCaseError>
where
    T: ToWit + FromWit + PartialEq + Debug,
{
    let packed = Packed::pack(value, ty).unwrap();
    prop_assert_eq!(&Packed::pack_from(rust, ty).unwrap(), &packed);
    prop_assert_eq!(&packed.unpack_as::<T>().unwrap(), rust);
    prop_assert_eq!(T::wit(), ty.to_string());
    Ok(())
}

fn list<T: Clone + Into<Value>>(items: &[T]) -> Value {
    Value::List(items.iter().cloned().map(Into::into).collect())
}

fn boxed(value: impl Into<Value>) -> Box<Value> {
    Box::new(value.into())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scalars_are_what_values_are(
        truth: bool, letter: char, text: String,
        (s8, s16, s32, s64) in any::<(i8, i16, i32, i64)>(),
        (u8, u16, u32, u64) in any::<(u8, u16, u32, u64)>(),
        (f32, f64) in (prop::num::f32::NORMAL, prop::num::f64::NORMAL),
        shift in 0..64,
    ) {
        check(&truth, &truth.into(), &Type::Bool)?;
        check(&letter, &letter.into(), &Type::Char)?;
        check(&text, &text.clone().into(), &Type::String)?;
        check(&Arc::<str>::from(&*text), &text.into(), &Type::String)?;
        check(&s8, &s8.into(), &Type::S8)?;
        check(&s16, &s16.into(), &Type::S16)?;
        check(&s32, &s32.into(), &Type::S32)?;
        check(&(s64 >> shift), &Value::from(s64 >> shift), &Type::S64)?;
        check(&u8, &u8.into(), &Type::U8)?;
        check(&u16, &u16.into(), &Type::U16)?;
        check(&u32, &u32.into(), &Type::U32)?;
        check(&(u64 >> shift), &Value::from(u64 >> shift), &Type::U64)?;
        check(&f32, &f32.into(), &Type::F32)?;
        check(&f64, &f64.into(), &Type::F64)?;
    }

    #[test]
    fn lists_and_bytes_are_what_values_are(bytes: Vec<u8>, texts: Vec<String>, many: Vec<Vec<u8>>) {
        let value = Value::from(bytes.clone());
        check(&bytes, &value, &Type::bytes())?;
        check(&Bytes::from(bytes), &value, &Type::bytes())?;
        check(&texts, &list(&texts), &Type::list(Type::String))?;
        check(&many, &list(&many), &Type::list(Type::bytes()))?;
        check(&Box::new(texts.clone()), &list(&texts), &Type::list(Type::String))?;
    }

    #[test]
    fn options_and_results_are_what_values_are(
        option: Option<Option<u16>>, result: Result<u64, String>, bare: Result<(), ()>,
        half: Result<(), char>, other_half: Result<char, ()>,
    ) {
        let ty = Type::option(Type::option(Type::U16));
        check(&option, &option.into(), &ty)?;
        let value = Value::Result(match &result {
            Ok(number) => Ok(Some(boxed(*number))),
            Err(text) => Err(Some(boxed(text.clone()))),
        });
        check(&result, &value, &Type::result(Some(Type::U64), Some(Type::String)))?;
        let value = Value::Result(bare.map(|()| None).map_err(|()| None));
        check(&bare, &value, &Type::result(None, None))?;
        let value = Value::Result(half.map(|()| None).map_err(|char| Some(boxed(char))));
        check(&half, &value, &Type::result(None, Some(Type::Char)))?;
        let value = Value::Result(other_half.map(|char| Some(boxed(char))).map_err(|()| None));
        check(&other_half, &value, &Type::result(Some(Type::Char), None))?;
    }

    #[test]
    fn maps_are_what_values_are(
        sorted in btree_map(any::<String>(), any::<u64>(), 0..6),
        hashed in hash_map(any::<char>(), any::<Vec<u8>>(), 0..6),
    ) {
        let pairs = sorted.iter().map(|(key, value)| Value::from((key.clone(), *value)));
        let ty = Type::list(Type::tuple([Type::String, Type::U64]));
        check(&sorted, &Value::List(pairs.collect()), &ty)?;

        let entries = sorted.iter().map(|(key, value)| (key.clone().into(), (*value).into()));
        let packed = Packed::pack_from(&sorted, &map(Type::String, Type::U64)).unwrap();
        prop_assert_eq!(packed.unpack().unwrap(), Value::Map(entries.collect()));
        prop_assert_eq!(packed.unpack_as::<BTreeMap<String, u64>>().unwrap(), sorted);

        let ty = map(Type::Char, Type::bytes());
        let packed = Packed::pack_from(&hashed, &ty).unwrap();
        prop_assert_eq!(packed.unpack_as::<HashMap<char, Vec<u8>>>().unwrap(), hashed);
    }

    #[test]
    fn tuples_of_every_size_are_what_values_are(
        (a, b, c, d, e, f, g, h) in any::<(u8, String, bool, i64, char, Vec<u8>, Option<u32>, i8)>(),
    ) {
        let (b, f) = (b.clone(), f.clone());
        let values: [Value; 8] = [
            a.into(), b.clone().into(), c.into(), d.into(), e.into(), f.clone().into(), g.into(), h.into(),
        ];
        let types = [
            Type::U8, Type::String, Type::Bool, Type::S64, Type::Char, Type::bytes(),
            Type::option(Type::U32), Type::S8,
        ];
        let tuple = |size: usize| {
            (Value::Tuple(values[..size].to_vec()), Type::tuple(types[..size].iter().cloned()))
        };
        macro_rules! check_tuple {
            ($size:literal: $($field:ident),+) => {
                let (value, ty) = tuple($size);
                check(&($($field.clone(),)+), &value, &ty)?;
            };
        }
        check_tuple!(1: a);
        check_tuple!(2: a, b);
        check_tuple!(3: a, b, c);
        check_tuple!(4: a, b, c, d);
        check_tuple!(5: a, b, c, d, e);
        check_tuple!(6: a, b, c, d, e, f);
        check_tuple!(7: a, b, c, d, e, f, g);
        check_tuple!(8: a, b, c, d, e, f, g, h);
    }

    #[test]
    fn values_stand_for_any_type((ty, value) in any_typed()) {
        let packed = Packed::pack(&value, &ty).unwrap();
        prop_assert_eq!(&Packed::pack_from(&value, &ty).unwrap(), &packed);
        prop_assert_eq!(&packed.unpack_as::<Value>().unwrap(), &value);

        let pairs = Type::list(Type::tuple([ty, Type::U8]));
        let list = vec![(value.clone(), 1u8), (value, 2)];
        let packed = Packed::pack_from(&list, &pairs).unwrap();
        prop_assert_eq!(packed.unpack_as::<Vec<(Value, u8)>>().unwrap(), list);
    }

    /// Whatever the type: it is refused, or the value is one of it and is read back.
    #[test]
    fn a_type_that_fits_is_written_and_read(ty in any_type(), words in words()) {
        if let Ok(packed) = Packed::pack_from(&words, &ty) {
            packed.unpack().unwrap();
            prop_assert_eq!(packed.unpack_as::<Vec<(String, u64)>>().unwrap(), words);
        }
    }

    #[test]
    fn counts_of_words_read_as_values_do(words in words()) {
        let pairs = words.iter().map(|(word, count)| Value::from((&**word, *count)));
        let value = Value::List(pairs.collect());
        let ty = Type::list(Type::tuple([Type::String, Type::U64]));
        check(&words, &value, &ty)?;
        let borrowed: Vec<(&str, &u64)> = words.iter().map(|(word, count)| (&**word, count)).collect();
        prop_assert_eq!(Packed::pack_from(&&borrowed[..], &ty), Packed::pack(&value, &ty));
    }
}

fn words() -> impl Strategy<Value = Vec<(String, u64)>> {
    vec(("[a-zé']{0,9}", any::<u64>()), 0..20)
}

fn map(key: Type, value: Type) -> Type {
    Type::Map(Arc::new((key, value)))
}

#[test]
fn bytes_share_the_memory_of_what_they_are_read_from() {
    let packed = Packed::pack_from(&[1u8, 2, 3], &Type::bytes()).unwrap();
    let bytes: Bytes = packed.unpack_as().unwrap();
    assert_eq!(bytes.as_ptr(), packed.payload()[1..].as_ptr());
}

#[test]
fn a_type_that_does_not_fit_is_refused() {
    let ty = Type::list(Type::tuple([Type::String, Type::U64]));
    let packed = Packed::pack_from(&vec![("a", 1u64)], &ty).unwrap();
    let error = packed.unpack_as::<Vec<(String, u32)>>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the value: expected list<tuple<string, u32>>, found list<tuple<string, u64>>"
    );
    let error = Packed::pack_from(&1u32, &Type::S32).unwrap_err();
    assert_eq!(error.to_string(), "the value: expected s32, found u32");
    let list = vec![(Value::from("a"), 1u64), (1u8.into(), 2)];
    let error = Packed::pack_from(&list, &ty).unwrap_err();
    assert_eq!(error.to_string(), "[1].0: expected string, found u8");
    assert!(!<()>::fits(&Type::U8) && <()>::fits(&Type::tuple([])));
}

/// A function `f(a: u32, b: string)`.
fn two() -> [(String, Type); 2] {
    [("a".into(), Type::U32), ("b".into(), Type::String)]
}

fn fits<P: Params>(params: &[(String, Type)]) -> Result<(), Unfit> {
    P::check(params)
}

#[test]
fn parameters_are_checked_once() {
    let params = two();
    assert_eq!(fits::<(u32, &str)>(&params), Ok(()));
    assert_eq!(fits::<(Reference, String)>(&params), Ok(()));
    assert_eq!(fits::<(Argument, Value)>(&params), Ok(()));
    assert_eq!(fits::<Vec<Argument>>(&params), Ok(()));
    assert_eq!(fits::<(u32, &str)>(&params[..1]), Err(Unfit::Count(2)));
    assert_eq!(fits::<()>(&params), Err(Unfit::Count(0)));
    assert_eq!(fits::<()>(&[]), Ok(()));
    let expected = "list<u8>".to_owned();
    assert_eq!(
        fits::<(u32, &[u8])>(&params),
        Err(Unfit::Type { index: 1, expected })
    );
    // One parameter needs no tuple.
    assert_eq!(fits::<u32>(&params[..1]), Ok(()));
    assert_eq!(fits::<&str>(&params[1..]), Ok(()));
    assert_eq!(fits::<Reference>(&params[1..]), Ok(()));
    assert_eq!(fits::<u32>(&params), Err(Unfit::Count(1)));
    let list = [("a".to_owned(), Type::list(Type::String))];
    assert_eq!(fits::<Vec<&str>>(&list), Ok(()));
}

#[test]
fn arguments_are_packed_or_named() {
    let params = two();
    let number = PackedArgument::Value(Packed::pack(&7u32.into(), &Type::U32).unwrap());
    let name = PackedArgument::Reference {
        name: "x".into(),
        ty: Type::String,
    };
    let packed = Ok(vec![number, name]);
    assert_eq!((7u32, Reference::new("x")).pack(&params), packed);
    assert_eq!(
        (Value::U32(7), Argument::from(Reference::new("x"))).pack(&params),
        packed
    );
    let dynamic: Vec<Argument> = arguments![7u32, Reference::new("x")];
    assert_eq!(dynamic.pack(&params), packed);
    assert_eq!(7u32.pack(&params[..1]), (7u32,).pack(&params[..1]));
}

#[test]
fn arguments_that_do_not_fit_say_which() {
    let params = two();
    let refused = |arguments: Vec<Argument>| arguments.pack(&params).unwrap_err().to_string();
    assert_eq!(
        refused(arguments![7u32, 1u8]),
        "argument 2 (`b`): expected string, found u8"
    );
    assert_eq!(
        refused(arguments!["a"]),
        "expected 2 arguments (a: u32, b: string), found 1"
    );
    let error = vec![Argument::from(1u8)].pack(&[]).unwrap_err();
    assert_eq!(error.to_string(), "expected no arguments, found 1");

    let nested = [("list".to_owned(), Type::list(Type::U8)), params[0].clone()];
    let error = (vec![Value::U8(1), Value::Bool(true)], 1u32)
        .pack(&nested)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "argument 1 (`list`): [1]: expected u8, found bool"
    );
}

/// Stands for a function whose parameters were checked: each call may borrow anew.
fn call<P: Params>(params: P::At<'_>, of: &[(String, Type)]) -> usize {
    params.pack(of).unwrap().len()
}

#[test]
fn each_call_borrows_for_as_long_as_it_likes() {
    fn twice<P: for<'a> Params<At<'a> = (u32, &'a str)>>(of: &[(String, Type)]) {
        for number in 0..2 {
            let line = number.to_string();
            assert_eq!(call::<P>((number, &line), of), 2);
        }
    }
    twice::<(u32, &str)>(&two());
    twice::<(u32, &'static str)>(&two());
}
