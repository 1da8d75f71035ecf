//! Parses text to a JSON tree, more strictly than `serde_json` does: a duplicate field is an error,
//! not silently dropped. Also finds the text at a given place in a document.

use crate::value::Step;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Tree};
use std::fmt;

/// The error for a text that is not JSON.
pub(in crate::format) struct NotJson {
    /// What the parser reports, with the place.
    pub(in crate::format) reason: String,
    /// Whether the text is JSON except for a duplicate name: then it is not tried as anything else.
    pub(in crate::format) is_ambiguous: bool,
}

/// Parses the document.
pub(in crate::format) fn parse(text: &str) -> Result<Tree, NotJson> {
    match serde_json::from_str(text) {
        Ok(Strict(tree)) => Ok(tree),
        Err(error) => Err(NotJson {
            reason: error.to_string(),
            is_ambiguous: error.is_data(),
        }),
    }
}

/// A tree without duplicate names.
struct Strict(Tree);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Strict)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Tree, E> {
        let number = Number::from_f64(number);
        // JSON has no other numbers.
        number
            .map(Tree::Number)
            .ok_or_else(|| E::custom("the number is not finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Tree, E> {
        Ok(Tree::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Tree::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("the name `{name}` occurs twice")));
            }
            let Strict(value) = entries.next_value()?;
            object.insert(name, value);
        }
        Ok(Tree::Object(object))
    }
}

/// Returns the number at that place of a document as it is written there, or nothing if there is
/// something else. In the tree, `1e3` is a float, and a number beyond 64 bits has lost digits.
pub(in crate::format) fn number_at<'a>(
    text: &str,
    place: impl IntoIterator<Item = &'a Step>,
) -> Option<&str> {
    let mut scan = Scan { text };
    for step in place {
        match step {
            Step::Index(index) | Step::Field(index) => scan.enter_array(*index)?,
            Step::Name(name) => scan.enter_object(name)?,
            Step::Part("key") => scan.enter_array(0)?,
            Step::Part("value") => scan.enter_array(1)?,
            Step::Part(part) => scan.enter_object(part)?,
        }
    }
    let value = scan.value()?;
    value
        .starts_with(|first: char| first == '-' || first.is_ascii_digit())
        .then_some(value)
}

/// The rest of a text that is known to be JSON.
struct Scan<'t> {
    text: &'t str,
}

impl<'t> Scan<'t> {
    fn skip_blanks(&mut self) {
        self.text = self.text.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn eat(&mut self, what: char) -> Option<()> {
        self.skip_blanks();
        self.text = self.text.strip_prefix(what)?;
        Some(())
    }

    /// Returns the following value as it is written.
    fn value(&mut self) -> Option<&'t str> {
        self.skip_blanks();
        let mut depth = 0_usize;
        let mut is_string = false;
        let mut is_escaped = false;
        let mut end = self.text.len();
        for (place, byte) in self.text.bytes().enumerate() {
            if is_string {
                match byte {
                    _ if is_escaped => is_escaped = false,
                    b'\\' => is_escaped = true,
                    b'"' => is_string = false,
                    _ => {}
                }
                continue;
            }
            let is_end = matches!(
                byte,
                b',' | b':' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n'
            );
            if depth == 0 && is_end {
                end = place;
                break;
            }
            match byte {
                b'"' => is_string = true,
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth -= 1,
                _ => {}
            }
        }
        let (value, rest) = self.text.split_at_checked(end)?;
        self.text = rest;
        Some(value)
    }

    fn enter_array(&mut self, index: usize) -> Option<()> {
        self.eat('[')?;
        for _ in 0..index {
            self.value()?;
            self.eat(',')?;
        }
        Some(())
    }

    fn enter_object(&mut self, wanted: &str) -> Option<()> {
        self.eat('{')?;
        loop {
            let name: String = serde_json::from_str(self.value()?).ok()?;
            self.eat(':')?;
            if name == wanted {
                return Some(());
            }
            self.value()?;
            self.eat(',')?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbitrary::any_typed;
    use crate::format::to_json;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_is_there_twice_is_refused() {
        let refused = |text| {
            parse(text)
                .err()
                .map(|error| (error.reason, error.is_ambiguous))
        };
        assert_eq!(
            refused(r#"[{"x": 1, "y": 2, "x": 3}]"#),
            Some((
                "the name `x` occurs twice at line 1 column 21".to_owned(),
                true
            ))
        );
        assert!(matches!(refused("[1,"), Some((_, false))));
        assert!(matches!(refused("1e400"), Some((_, false))));
    }

    #[test]
    fn numbers_are_found_as_they_are_written() {
        let text =
            r#" { "a\u0062" : [1, "]\"", {"c": 1e3 }], "ok": [[-0, 18446744073709551616 ], []] } "#;
        let name = |name: &str| Step::Name(name.into());
        let at = |place: &[Step]| number_at(text, place);
        assert_eq!(at(&[name("ab"), Step::Index(2), name("c")]), Some("1e3"));
        assert_eq!(at(&[name("ab"), Step::Field(0)]), Some("1"));
        assert_eq!(at(&[name("ab"), Step::Index(1)]), None);
        let ok = |part| [Step::Part("ok"), Step::Index(0), Step::Part(part)];
        assert_eq!(at(&ok("key")), Some("-0"));
        assert_eq!(at(&ok("value")), Some("18446744073709551616"));
        for place in [
            &[Step::Index(0)][..],
            &[name("x")],
            &[name("ab"), Step::Index(7)],
            &[],
        ] {
            assert_eq!(at(place), None);
        }
        assert_eq!(number_at("\t-1.50\n", &[]), Some("-1.50"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn trees_are_those_of_serde_json((_, value) in any_typed()) {
            let tree = to_json(&value);
            prop_assert_eq!(parse(&tree.to_string()).ok(), Some(tree));
        }

        #[test]
        fn any_text_and_place_is_bounded(text in "[\\[\\]{}:,\"\\\\0-9a. é-]{0,30}", index in 0usize..4) {
            let places = [Step::Index(index), Step::Part("a"), Step::Index(0)];
            for end in 0..=places.len() {
                let _ = number_at(&text, &places[..end]);
            }
        }
    }
}
