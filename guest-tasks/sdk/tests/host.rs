//! What a task asks of its host, where there is none.

use rwasm_task::host::{self, Level};
use rwasm_task::{Type, testing};
use std::collections::BTreeMap;

#[test]
fn what_is_told_can_be_looked_at() {
    host::info("one");
    host::log(Level::Warn, format!("{}", 2));
    host::progress(1, 3);
    host::progress(2, None);
    host::publish("latest", "text");
    let reported = testing::reported();
    let lines = [
        (Level::Info, "one".to_owned()),
        (Level::Warn, "2".to_owned()),
    ];
    assert_eq!(reported.log, lines);
    assert_eq!(reported.progress, [(1, Some(3)), (2, None)]);
    assert_eq!(
        reported.published,
        [("latest".to_owned(), b"text".to_vec())]
    );
    assert_eq!(testing::reported(), testing::Reported::default());
    assert_eq!((host::engine_id(), host::engine_count()), (0, 1));
}

#[derive(Type, Debug, PartialEq)]
enum Shape {
    Empty,
    Circle(f32),
}

#[derive(Type, Debug, PartialEq)]
#[wit(flags)]
struct Style {
    bold: bool,
    italic: bool,
}

#[derive(Type, Debug, PartialEq)]
#[expect(clippy::option_option, reason = "it has a form of its own")]
struct Drawing {
    first_name: String,
    shapes: Vec<Shape>,
    style: Style,
    #[wit(name = "maybe")]
    note: Option<Option<u8>>,
    raw: Vec<u8>,
    last: Result<(u64, i64), String>,
    absent: Option<char>,
}

#[track_caller]
fn pushed<T: rwasm_task::Lift>(value: impl Into<Vec<u8>>) -> Result<Option<T>, String> {
    testing::push("it", value);
    host::pushed("it").map_err(|error| error.to_string())
}

#[test]
fn pushed_values_are_of_the_type_that_is_asked_for() {
    assert_eq!(pushed::<String>("[1]"), Ok(Some("[1]".to_owned())));
    assert_eq!(pushed::<Vec<u8>>([0xff, 0]), Ok(Some(vec![0xff, 0])));
    assert_eq!(
        pushed::<Vec<u64>>("[1, \"18446744073709551615\"]"),
        Ok(Some(vec![1, u64::MAX]))
    );
    let floats = pushed::<(f64, f32, f64)>("[\"NaN\", \"-Infinity\", 0.1]");
    let (nan, infinity, tenth) = floats.unwrap().unwrap();
    assert!(nan.is_nan() && infinity == f32::NEG_INFINITY && tenth.to_bits() == 0.1_f64.to_bits());
    let map = pushed::<BTreeMap<String, bool>>("[[\"a\", true]]");
    assert_eq!(map, Ok(Some(BTreeMap::from([("a".to_owned(), true)]))));
    let drawing = r#"{"first-name": "Ada", "shapes": ["empty", {"circle": 1.5}], "style": ["italic"],
        "maybe": {"some": null}, "raw": "/wA=", "last": {"err": "none"}}"#;
    let expected = Drawing {
        first_name: "Ada".to_owned(),
        shapes: vec![Shape::Empty, Shape::Circle(1.5)],
        style: Style {
            bold: false,
            italic: true,
        },
        note: Some(None),
        raw: vec![0xff, 0],
        last: Err("none".to_owned()),
        absent: None,
    };
    assert_eq!(pushed::<Drawing>(drawing), Ok(Some(expected)));
    assert_eq!(host::pushed::<u8>("nothing"), Ok(None));
}

#[test]
fn a_pushed_value_that_does_not_fit_says_where() {
    let error = |found: Result<Option<Drawing>, String>| found.unwrap_err();
    assert_eq!(
        error(pushed("{\"first-name\": 1}")),
        "pushed value `it`: .first-name: expected string, found 1"
    );
    assert_eq!(
        error(pushed(
            "{\"first-name\": \"a\", \"shapes\": [\"empty\", {\"circle\": true}]}"
        )),
        "pushed value `it`: .shapes[1].circle: expected a float, found true"
    );
    assert_eq!(
        pushed::<Vec<i8>>("[1, 128]").unwrap_err(),
        "pushed value `it`: [1]: expected i8, found 128"
    );
    assert_eq!(
        pushed::<u32>("1.0").unwrap_err(),
        "pushed value `it`: the value: expected u32, found 1.0"
    );
    assert_eq!(
        pushed::<String>([0xff]).unwrap_err(),
        "pushed value `it`: the value: expected string, found bytes that are not UTF-8"
    );
    assert!(
        pushed::<(Vec<u8>,)>("[\"?\"]")
            .unwrap_err()
            .contains("[0]: expected base64, found \"?\"")
    );
    assert!(pushed::<u8>("{").unwrap_err().contains("expected JSON"));
}
