//! Tells whether a reducer gives the same result for every way to merge a few neighboring parts.
//!
//! Pure: the reducer is handed in. For every run of neighbors, the call on all of its parts at once is compared with
//! the calls on each grouping of it, in which a group of several parts is represented by its own merge. If all of
//! these agree, so do all bracketings, since each is made of such steps.

use super::difference::same;
use crate::Value;
use std::fmt;

/// The most parts that are grouped: the 45 bracketings of five show little that those of four do not.
pub(super) const PARTS: usize = 4;

/// How the reducer is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// With a list of parts, even of a single one.
    List,
    /// With two parts.
    Pair,
}

/// Two ways to merge the same parts that have different results.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conflict {
    /// The plain way, and its result.
    pub(super) plain: (String, Value),
    /// The other way, and its result or failure.
    pub(super) other: (String, Result<Value, String>),
}

/// What was found out about a reducer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Findings {
    /// The number of groupings that were compared.
    pub(super) groupings: usize,
    /// The number of results that were merged again on their own.
    pub(super) repeats: usize,
    /// The smallest grouping that changes the result.
    pub(super) grouping: Option<Conflict>,
    /// The smallest result that changes when it is merged on its own.
    pub(super) repeat: Option<Conflict>,
    /// A plain call that failed, and why.
    pub(super) failure: Option<(String, String)>,
}

/// Neighbors that are merged: where they begin and end, and whether they are a single original part.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Group {
    from: usize,
    to: usize,
    is_raw: bool,
}

/// A call of the reducer: its value or failure, or an error that ends the search.
pub(super) type Reduce<'r, E> = dyn FnMut(&[&Value]) -> Result<Result<Value, String>, E> + 'r;

/// Tries all ways to merge `parts`, which are [`PARTS`] at most, in order.
pub(super) fn explore<E>(
    name: &str,
    parts: &[Value],
    shape: Shape,
    reduce: &mut Reduce<'_, E>,
) -> Result<Findings, E> {
    let count = parts.len().min(PARTS);
    let mut search = Search {
        name,
        parts: &parts[..count],
        shape,
        // What neighbors come to, by where they begin and by how many they are.
        merged: vec![Vec::new(); count],
        found: Findings::default(),
    };
    for len in 1..=count {
        for from in 0..=count - len {
            if !search.merge(from, len, reduce)? {
                return Ok(search.found);
            }
        }
        for from in 0..=count - len {
            search.compare(from, len, reduce)?;
        }
    }
    Ok(search.found)
}

struct Search<'s> {
    name: &'s str,
    parts: &'s [Value],
    shape: Shape,
    merged: Vec<Vec<Value>>,
    found: Findings,
}

impl Search<'_> {
    /// Merges a run of neighbors in the plain way; returns `false` if that fails.
    fn merge<E>(&mut self, from: usize, len: usize, reduce: &mut Reduce<'_, E>) -> Result<bool, E> {
        let value = match self.shape {
            Shape::Pair if len == 1 => Ok(self.parts[from].clone()),
            Shape::Pair => {
                let last = &self.parts[from + len - 1];
                reduce(&[&self.merged[from][len - 2], last])?
            }
            Shape::List => reduce(&self.parts[from..from + len].iter().collect::<Vec<_>>())?,
        };
        match value {
            Ok(value) => {
                self.merged[from].push(value);
                Ok(true)
            }
            Err(message) => {
                self.found.failure = Some((self.plain(from, from + len), message));
                Ok(false)
            }
        }
    }

    /// Compares each grouping of a run with the plain way.
    fn compare<E>(&mut self, from: usize, len: usize, reduce: &mut Reduce<'_, E>) -> Result<(), E> {
        for groups in groupings(from, len, self.shape) {
            let is_repeat = groups.len() == 1;
            let broken = if is_repeat {
                &self.found.repeat
            } else {
                &self.found.grouping
            };
            if broken.is_some() {
                continue;
            }
            let values: Vec<&Value> = groups.iter().map(|group| self.value(*group)).collect();
            let given = reduce(&values)?;
            let plain = &self.merged[from][len - 1];
            let conflict = match &given {
                Ok(value) if same(value, plain) => None,
                _ => Some(Conflict {
                    plain: (self.plain(from, from + len), plain.clone()),
                    other: (self.written(&groups), given),
                }),
            };
            if is_repeat {
                self.found.repeats += 1;
                self.found.repeat = conflict;
            } else {
                self.found.groupings += 1;
                self.found.grouping = conflict;
            }
        }
        Ok(())
    }

    fn value(&self, group: Group) -> &Value {
        if group.is_raw {
            &self.parts[group.from]
        } else {
            &self.merged[group.from][group.to - group.from - 1]
        }
    }

    /// Formats the plain way as a call.
    fn plain(&self, from: usize, to: usize) -> String {
        match self.shape {
            Shape::List => {
                let parts: Vec<String> = (from..to).map(letter).collect();
                self.call(&parts)
            }
            Shape::Pair if to - from == 1 => letter(from),
            Shape::Pair => self.call(&[self.plain(from, to - 1), letter(to - 1)]),
        }
    }

    fn written(&self, groups: &[Group]) -> String {
        let written = groups.iter().map(|group| {
            if group.is_raw {
                letter(group.from)
            } else {
                self.plain(group.from, group.to)
            }
        });
        self.call(&written.collect::<Vec<_>>())
    }

    fn call(&self, arguments: &[String]) -> String {
        let arguments = arguments.join(", ");
        match self.shape {
            Shape::List => format!("{}([{arguments}])", self.name),
            Shape::Pair => format!("{}({arguments})", self.name),
        }
    }
}

/// The name of a part.
pub(super) fn letter(part: usize) -> String {
    u8::try_from(part)
        .ok()
        .and_then(|part| b'a'.checked_add(part))
        .map_or_else(
            || format!("part {part}"),
            |letter| char::from(letter).to_string(),
        )
}

/// The ways to group a run of neighbors, except the plain one.
fn groupings(from: usize, len: usize, shape: Shape) -> Vec<Vec<Group>> {
    if shape == Shape::Pair {
        // Two groups; that with the last part alone is the plain way.
        let borders = from + 1..(from + len).saturating_sub(1);
        return borders
            .map(|border| vec![group(from, border, true), group(border, from + len, true)])
            .collect();
    }
    let mut all: Vec<Vec<Group>> = Vec::new();
    // Each bit says whether there is a border behind a part. With all of them it is the plain way, but for a part alone.
    let plain = (1_u32 << (len - 1)) - 1;
    for borders in (0..1 << (len - 1)).filter(|borders| len == 1 || *borders != plain) {
        let mut groups = Vec::new();
        let mut begun = from;
        for part in from..from + len {
            let is_last = part + 1 == from + len;
            if is_last || borders >> (part - from) & 1 == 1 {
                groups.push(group(begun, part + 1, len > 1));
                begun = part + 1;
            }
        }
        all.push(groups);
    }
    all
}

fn group(from: usize, to: usize, leaves_raw: bool) -> Group {
    Group {
        from,
        to,
        is_raw: leaves_raw && to - from == 1,
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.other.1 {
            Ok(_) => write!(f, "{} is not {}", self.other.0, self.plain.0),
            Err(message) => write!(f, "{} fails: {message}", self.other.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn numbers(values: &[&Value]) -> Vec<u64> {
        let number = |value: &&Value| match value {
            Value::U64(number) => *number,
            other => panic!("{other:?}"),
        };
        values.iter().map(number).collect()
    }

    fn found(parts: &[u64], shape: Shape, reduce: impl Fn(Vec<u64>) -> u64) -> Findings {
        let parts: Vec<Value> = parts.iter().map(|number| (*number).into()).collect();
        let mut reduce =
            |values: &[&Value]| Ok::<_, Infallible>(Ok(reduce(numbers(values)).into()));
        match explore("r", &parts, shape, &mut reduce) {
            Ok(found) => found,
        }
    }

    #[test]
    fn all_groupings_are_tried() {
        let written = |len, shape| {
            let search = Search {
                name: "r",
                parts: &[],
                shape,
                merged: Vec::new(),
                found: Findings::default(),
            };
            let all = groupings(0, len, shape);
            all.iter()
                .map(|groups| search.written(groups))
                .collect::<Vec<_>>()
        };
        assert_eq!(written(1, Shape::List), ["r([r([a])])"]);
        assert_eq!(
            written(3, Shape::List),
            [
                "r([r([a, b, c])])",
                "r([a, r([b, c])])",
                "r([r([a, b]), c])"
            ]
        );
        assert_eq!(
            written(4, Shape::Pair),
            ["r(a, r(r(b, c), d))", "r(r(a, b), r(c, d))"]
        );
        assert!(written(2, Shape::Pair).is_empty());
    }

    #[test]
    fn a_sum_keeps_the_laws() {
        for shape in [Shape::List, Shape::Pair] {
            let found = found(&[1, 2, 3, 4], shape, |numbers| numbers.iter().sum());
            assert_eq!(
                (found.grouping, found.repeat, found.failure),
                (None, None, None)
            );
            assert!(found.groupings > 3, "{}", found.groupings);
        }
    }

    #[test]
    fn the_smallest_grouping_that_breaks_a_law_is_told() {
        let mean = |numbers: Vec<u64>| numbers.iter().sum::<u64>() / numbers.len() as u64;
        let of_lists = found(&[2, 4, 60, 0], Shape::List, mean);
        assert_eq!(of_lists.repeat, None);
        assert_eq!(
            of_lists.grouping.unwrap().to_string(),
            "r([a, r([b, c])]) is not r([a, b, c])"
        );
        let of_pairs = found(&[2, 4, 60, 0], Shape::Pair, mean);
        assert_eq!(
            of_pairs.grouping.unwrap().to_string(),
            "r(a, r(b, c)) is not r(r(a, b), c)"
        );
        let counting = |numbers: Vec<u64>| numbers.iter().sum::<u64>() + 1;
        let found = found(&[1], Shape::List, counting);
        assert_eq!(
            found.repeat.unwrap().to_string(),
            "r([r([a])]) is not r([a])"
        );
    }

    #[test]
    fn a_reducer_that_fails_is_told() {
        let mut calls = 0;
        let mut reduce = |values: &[&Value]| {
            calls += 1;
            let is_long = values.len() > 2;
            let sum = numbers(values).iter().sum::<u64>();
            Ok::<_, Infallible>(if is_long {
                Err("too many".to_owned())
            } else {
                Ok(sum.into())
            })
        };
        let parts: Vec<Value> = [1_u64, 2, 3].map(Value::from).into();
        let Ok(found) = explore("r", &parts, Shape::List, &mut reduce);
        assert_eq!(
            found.failure,
            Some(("r([a, b, c])".to_owned(), "too many".to_owned()))
        );
        assert!(calls < 20);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn what_is_associative_is_found_so(parts in proptest::collection::vec(0_u64..1000, 1..5), which in 0_usize..3) {
            let merge = |left: u64, right: u64| match which {
                0 => left.wrapping_add(right),
                1 => left.max(right),
                _ => left.wrapping_mul(right) % 1009,
            };
            let unit = [0, 0, 1][which];
            for shape in [Shape::List, Shape::Pair] {
                let found = found(&parts, shape, |numbers| numbers.into_iter().fold(unit, merge));
                prop_assert_eq!(found.grouping, None);
                prop_assert_eq!(found.repeat, None);
            }
        }
    }
}
