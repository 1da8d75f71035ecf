//! Values go to a host and come back the same: by memory, as core values, and through whole calls.

#![expect(unsafe_code, reason = "calls are made as a host makes them")]

mod support;

use rwasm_task::rt::{self, Export, Function};
use rwasm_task::{Lift, Lower, Type, Typed};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use support::{Passed, by_memory, by_values, result};

#[derive(Type, Clone, Debug, PartialEq)]
struct Point {
    x: i8,
    y: f64,
}

#[derive(Type, Clone, Debug, PartialEq)]
enum Shape {
    Empty,
    Small(f32),
    Large(u64),
    Named(String),
    Many(Vec<Point>),
    Nothing(()),
}

#[derive(Type, Clone, Copy, Debug, PartialEq)]
enum Suit {
    Clubs,
    Spades,
}

#[derive(Type, Clone, Copy, Debug, PartialEq)]
#[wit(flags)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
struct Access {
    read: bool,
    write: bool,
    a: bool,
    b: bool,
    c: bool,
    d: bool,
    e: bool,
    f: bool,
    ninth: bool,
}

#[derive(Type, Clone, Debug, PartialEq)]
struct Meters(f64);

#[derive(Type, Clone, Debug, PartialEq)]
struct Range(u8, u64);

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "it is made for the check")]
fn check<T: Lower + Lift + Debug + PartialEq>(value: T) {
    assert_eq!(by_memory(&value), value);
    if let Some(lifted) = by_values(&value) {
        assert_eq!(lifted, value);
    }
}

#[test]
fn scalars_come_back() {
    check(true);
    check(false);
    for number in [i8::MIN, -1, 0, i8::MAX] {
        check(number);
        check(i16::from(number) * 256);
        check(i32::from(number) << 24);
        check(i64::from(number) << 56);
    }
    check((u8::MAX, u16::MAX, u32::MAX, u64::MAX));
    check((0.1_f32, f64::MIN_POSITIVE, f64::NEG_INFINITY));
    check(('a', 'é', '\u{10ffff}'));
    let nan = f32::from_bits(0x7fc0_1234);
    assert_eq!(by_memory(&nan).to_bits(), nan.to_bits());
}

#[test]
fn lists_and_texts_come_back() {
    check(String::new());
    check("Ελλάδα".to_owned());
    check(Vec::<u64>::new());
    check(vec![1_u64, u64::MAX]);
    check(vec![true, false]);
    check(vec![String::new(), "b".repeat(1000)]);
    check(vec![
        vec![],
        vec![vec![(1_u8, -2_i64)]; 3],
        vec![vec![], vec![]],
    ]);
    check(
        (0..5000)
            .map(|number| (number.to_string(), number))
            .collect::<Vec<_>>(),
    );
    check(HashMap::from([
        ("a".to_owned(), 1_u64),
        ("b".to_owned(), 2),
    ]));
    check(BTreeMap::from([(1_u8, vec!["x".to_owned()]), (2, vec![])]));
    check(Box::new((vec!['x'], Box::new(1_u8))));
}

#[test]
fn options_and_results_come_back() {
    check(None::<u8>);
    check(Some(7_u64));
    check(vec![Some("a".to_owned()), None]);
    check([Some(None), None, Some(Some(1_u16))].to_vec());
    check(Ok::<_, String>(5_u64));
    check(Err::<u64, _>("no".to_owned()));
    check(Err::<(), _>(Typed(Suit::Spades)));
    check(Ok::<(), Typed<()>>(()));
    check(Err::<Vec<u8>, Typed<()>>(Typed(())));
    check(vec![Ok::<f32, Typed<f64>>(1.5), Err(Typed(-2.5))]);
}

#[test]
fn derived_types_come_back() {
    let shapes = vec![
        Shape::Empty,
        Shape::Small(-0.5),
        Shape::Large(u64::MAX),
        Shape::Named("n".to_owned()),
        Shape::Many(vec![Point { x: -1, y: 0.25 }; 2]),
        Shape::Nothing(()),
    ];
    shapes.iter().cloned().for_each(check);
    check(shapes);
    check(vec![Suit::Clubs, Suit::Spades]);
    let access = Access {
        read: true,
        write: false,
        a: false,
        b: true,
        c: false,
        d: false,
        e: false,
        f: true,
        ninth: true,
    };
    check(access);
    check(vec![(access, Suit::Clubs); 3]);
    check((Meters(1.5), Range(1, 2)));
    check(vec![Meters(-1.0)]);
}

/// Calls `E` as a host does, by the core values of these arguments.
unsafe fn call<E: Export, T: Lower>(arguments: &T, is_spilled: bool) -> u64 {
    let passed = Passed::new(arguments);
    let values = if is_spilled {
        passed.spilled()
    } else {
        passed.flat()
    };
    // SAFETY: they were made of arguments of the function.
    unsafe { rt::run::<E>(values) }
}

/// A function as the attribute makes one, which cannot be called by tests.
struct Joined;

impl Export for Joined {
    const FUNCTION: Function = Function {
        name: "joined",
        params: &["texts", "by"],
        types: const { &[rt::argument::<Vec<String>>(), rt::argument::<String>()] },
        result: rt::given::<String>(),
    };
    type Result = String;

    unsafe fn call(arguments: &mut impl rt::Arguments) -> String {
        // SAFETY: handed on.
        let (texts, by) = unsafe { (arguments.take::<Vec<String>>(), arguments.take::<String>()) };
        texts.join(&by)
    }
}

/// One whose arguments are too many for core values.
struct Sum;

type Eight = (u64, u32, u8, i64, u16, i8, f64, f32);

impl Export for Sum {
    const FUNCTION: Function = Function {
        name: "sum",
        params: &["a", "b", "c"],
        types: const {
            &[
                rt::argument::<Eight>(),
                rt::argument::<u8>(),
                rt::argument::<Eight>(),
            ]
        },
        result: rt::given::<i16>(),
    };
    type Result = i16;

    unsafe fn call(arguments: &mut impl rt::Arguments) -> i16 {
        // SAFETY: handed on.
        let (a, b, c) = unsafe {
            let a = arguments.take::<Eight>();
            let b = arguments.take::<u8>();
            (a, b, arguments.take::<Eight>())
        };
        assert_eq!(a, c);
        i16::from(a.5) - i16::from(b)
    }
}

#[test]
fn calls_give_what_the_function_gives_and_free_it() {
    for _ in 0..100 {
        let texts = vec!["a".to_owned(), "b".repeat(99), String::new()];
        let expected = texts.join("; ");
        // SAFETY: the arguments are of its types, and the result is freed once.
        unsafe {
            let given = call::<Joined, _>(&(texts, "; ".to_owned()), false);
            assert_eq!(result::<String>(given), expected);
            rt::free::<Joined>(given);
        }
    }
}

#[test]
fn many_arguments_come_by_memory() {
    let eight: Eight = (u64::MAX, 1, 2, i64::MIN, 3, -4, 0.5, 0.25);
    // SAFETY: the arguments are of its types.
    let given = unsafe { call::<Sum, _>(&(eight, 7_u8, eight), true) };
    assert_eq!(given, u64::from((-11_i32).cast_unsigned()));
}
