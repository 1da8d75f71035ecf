//! Which engines a view stands for.

use crate::backend::ids;
use rwasm_value::ids::EngineId;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

/// The engines of a view.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::{Cluster, Targets};
///
/// let cluster = Cluster::builder().engines(4).start()?;
/// let engines = |targets: Targets| cluster.direct_view(targets)?.engines();
/// assert_eq!(engines(Targets::All)?.len(), 4);
/// assert_eq!(engines([0, -1].into())?.len(), 2);
/// assert_eq!(engines((0..3).into())?.len(), 3);
/// // Ranges in text include their end.
/// assert_eq!(engines("1..3".parse()?)?.len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Targets {
    /// All engines present whenever the view is used, later ones included.
    #[default]
    All,
    /// These engines, whatever engines come later.
    Only(Vec<EngineId>),
    /// Engines among those present when the view is made: by id, or from the last one backwards as -1, -2. Made from
    /// `2`, `-1`, `0..4`, `1..=3` or `[0, 2]` by `into`, or from text by `parse`.
    Places(Vec<EngineRange>),
}

/// Engines by id, or by position from the last: see [`Targets::Places`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineRange {
    first: i64,
    /// Included.
    last: i64,
}

/// Why targets are not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// There is no such engine.
    #[error("there is no engine {engine}: the engines are {}", ids(.engines))]
    Unknown {
        /// What was named: an id, or a position from the end.
        engine: i64,
        /// The present engines.
        engines: Vec<EngineId>,
    },
    /// No engine is named, or there is none.
    #[error("no engine is named: name at least one")]
    Empty,
    /// An engine is named twice.
    #[error("engine {0} is named twice")]
    Twice(EngineId),
    /// The text is not a valid list of engines.
    #[error(
        "`{0}` is not a valid list of engines: write `all`, ids like `0,2` or `-1` for the last, or ranges like `1..3` (3 included)"
    )]
    Text(String),
}

impl Targets {
    /// The engines that are meant, of those there are.
    pub(crate) fn resolve(&self, engines: &[EngineId]) -> Result<Vec<EngineId>, TargetError> {
        let unknown = |engine: i64| TargetError::Unknown {
            engine,
            engines: engines.to_vec(),
        };
        let targets = match self {
            Self::All => engines.to_vec(),
            Self::Only(targets) => {
                if let Some(missing) = targets.iter().find(|target| !engines.contains(target)) {
                    return Err(unknown(missing.0.into()));
                }
                targets.clone()
            }
            Self::Places(places) => {
                let mut targets = Vec::new();
                for place in places {
                    for id in place.first..=place.last {
                        targets.push(at(id, engines).ok_or_else(|| unknown(id))?);
                    }
                }
                targets
            }
        };
        if targets.is_empty() {
            return Err(TargetError::Empty);
        }
        let mut seen = std::collections::HashSet::new();
        match targets.iter().find(|target| !seen.insert(**target)) {
            Some(twice) => Err(TargetError::Twice(*twice)),
            None => Ok(targets),
        }
    }
}

/// A number from 0 is an id; one below counts from the last engine, which is -1.
fn at(id: i64, engines: &[EngineId]) -> Option<EngineId> {
    if id < 0 {
        let back = usize::try_from(id.unsigned_abs()).ok()?;
        return engines.get(engines.len().checked_sub(back)?).copied();
    }
    let id = EngineId(u32::try_from(id).ok()?);
    engines.contains(&id).then_some(id)
}

impl From<EngineId> for Targets {
    fn from(engine: EngineId) -> Self {
        Self::Only(vec![engine])
    }
}

impl From<Vec<EngineId>> for Targets {
    fn from(engines: Vec<EngineId>) -> Self {
        Self::Only(engines)
    }
}

/// An id; or below 0, a place from the end.
impl From<i64> for Targets {
    fn from(id: i64) -> Self {
        Self::from(id..=id)
    }
}

impl From<i32> for Targets {
    fn from(id: i32) -> Self {
        Self::from(i64::from(id))
    }
}

impl From<Range<i64>> for Targets {
    fn from(ids: Range<i64>) -> Self {
        Self::from(ids.start..=ids.end.saturating_sub(1))
    }
}

impl From<RangeInclusive<i64>> for Targets {
    fn from(ids: RangeInclusive<i64>) -> Self {
        let (first, last) = ids.into_inner();
        Self::Places(vec![EngineRange { first, last }])
    }
}

impl From<Range<i32>> for Targets {
    fn from(ids: Range<i32>) -> Self {
        Self::from(i64::from(ids.start)..i64::from(ids.end))
    }
}

impl From<RangeInclusive<i32>> for Targets {
    fn from(ids: RangeInclusive<i32>) -> Self {
        Self::from(i64::from(*ids.start())..=i64::from(*ids.end()))
    }
}

impl<const N: usize> From<[i64; N]> for Targets {
    fn from(ids: [i64; N]) -> Self {
        Self::Places(
            ids.map(|id| EngineRange {
                first: id,
                last: id,
            })
            .to_vec(),
        )
    }
}

impl<const N: usize> From<[i32; N]> for Targets {
    fn from(ids: [i32; N]) -> Self {
        Self::from(ids.map(i64::from))
    }
}

/// `all`, ids like `0,2` or `-1` for the last, ranges like `1..3` with 3.
impl FromStr for Targets {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.trim() == "all" {
            return Ok(Self::All);
        }
        let wrong = || TargetError::Text(text.to_owned());
        let number = |text: &str| text.trim().parse::<i64>().map_err(|_| wrong());
        let mut places = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once("..") {
                None => (number(part)?, number(part)?),
                Some((first, last)) => (
                    number(first)?,
                    number(last.strip_prefix('=').unwrap_or(last))?,
                ),
            };
            let most = i64::from(rwasm_sandbox::limits::MAX_ENGINES);
            if last < first || last >= most || first < -most || (first < 0 && last >= 0) {
                return Err(wrong());
            }
            places.push(EngineRange { first, last });
        }
        Ok(Self::Places(places))
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Only(engines) => f.write_str(&ids(engines).replace(", ", ",")),
            Self::Places(places) => {
                for (idx, EngineRange { first, last }) in places.iter().enumerate() {
                    let comma = if idx > 0 { "," } else { "" };
                    if first == last {
                        write!(f, "{comma}{first}")?;
                    } else {
                        write!(f, "{comma}{first}..{last}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u32]) -> Vec<EngineId> {
        ids.iter().copied().map(EngineId).collect()
    }

    #[test]
    fn ids_places_and_ranges_are_understood() {
        let there = ids(&[0, 2, 3, 7]);
        let resolve = |targets: Targets| targets.resolve(&there);
        assert_eq!(resolve(Targets::All), Ok(there.clone()));
        assert_eq!(resolve(2.into()), Ok(ids(&[2])));
        assert_eq!(resolve((-1).into()), Ok(ids(&[7])));
        assert_eq!(resolve((2..4).into()), Ok(ids(&[2, 3])));
        assert_eq!(resolve([7, 0].into()), Ok(ids(&[7, 0])));
        for (text, wanted) in [
            ("all", vec![0, 2, 3, 7]),
            ("0,2..3", vec![0, 2, 3]),
            ("-2..-1", vec![3, 7]),
            ("7", vec![7]),
        ] {
            let targets: Targets = text.parse().unwrap();
            assert_eq!(targets.to_string(), text);
            assert_eq!(resolve(targets), Ok(ids(&wanted)), "{text}");
        }
    }

    #[test]
    fn what_names_no_engine_is_refused() {
        let there = ids(&[0, 1]);
        let refused = |targets: Targets| targets.resolve(&there).unwrap_err().to_string();
        assert_eq!(
            refused(2.into()),
            "there is no engine 2: the engines are 0, 1"
        );
        assert_eq!(
            refused((-3).into()),
            "there is no engine -3: the engines are 0, 1"
        );
        assert_eq!(refused([0, -2].into()), "engine 0 is named twice");
        let empty = Targets::Only(vec![]).resolve(&there).unwrap_err();
        assert_eq!(empty, TargetError::Empty);
        assert_eq!(Targets::All.resolve(&[]), Err(TargetError::Empty));
        for text in ["", "x", "1..", "3..1", "0..99999", "-1..1", "0,,1", "1.5"] {
            assert!(text.parse::<Targets>().is_err(), "{text}");
        }
    }
}
