//! Engines with room, kept so that a policy finds the next one at once.
//!
//! A pool does not know why an engine is in it. Policies that choose by order need an ordered set; policies that draw
//! need the n-th engine, so they keep engines in buckets of equal load.

use super::count_step;
use super::policy::Policy;
use fastrand::Rng;
use rwasm_value::ids::EngineId;
use std::collections::{BTreeMap, BTreeSet};

/// The load of an engine. In the absence of other rules, engines are preferred in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Load {
    /// The number of dispatches that it has.
    pub(super) outstanding: usize,
    /// When it was last given one.
    pub(super) used: u64,
    /// The engine.
    pub(super) engine: EngineId,
}

/// See the [module](self).
pub(super) enum Pool {
    /// By load, then by time.
    ByLoad(BTreeSet<Load>),
    /// By time alone.
    ByTime(BTreeSet<(u64, EngineId)>),
    /// For one draw.
    Uniform(Buckets),
    /// For the better of two draws.
    TwoBin(Buckets),
    /// For the better of two draws that prefer the idle.
    Weighted(Buckets),
}

impl Pool {
    pub(super) fn new(policy: Policy) -> Self {
        match policy {
            Policy::LeastLoad => Self::ByLoad(BTreeSet::new()),
            Policy::LeastRecentlyUsed => Self::ByTime(BTreeSet::new()),
            Policy::Random => Self::Uniform(Buckets::default()),
            Policy::TwoBin => Self::TwoBin(Buckets::default()),
            Policy::Weighted => Self::Weighted(Buckets::default()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::ByLoad(loads) => loads.is_empty(),
            Self::ByTime(times) => times.is_empty(),
            Self::Uniform(buckets) | Self::TwoBin(buckets) | Self::Weighted(buckets) => {
                buckets.by_load.is_empty()
            }
        }
    }

    /// Adds an engine that is not in the pool.
    pub(super) fn insert(&mut self, load: Load) {
        match self {
            Self::ByLoad(loads) => {
                loads.insert(load);
            }
            Self::ByTime(times) => {
                times.insert((load.used, load.engine));
            }
            Self::Uniform(buckets) | Self::TwoBin(buckets) | Self::Weighted(buckets) => {
                buckets.insert(load);
            }
        }
    }

    /// Removes an engine; `load` is that with which it was added.
    pub(super) fn remove(&mut self, load: Load) {
        match self {
            Self::ByLoad(loads) => {
                loads.remove(&load);
            }
            Self::ByTime(times) => {
                times.remove(&(load.used, load.engine));
            }
            Self::Uniform(buckets) | Self::TwoBin(buckets) | Self::Weighted(buckets) => {
                buckets.remove(load);
            }
        }
    }

    /// Returns the engine that the policy prefers, which stays in the pool; `None` if the pool is empty.
    pub(super) fn choose(&self, rng: &mut Rng) -> Option<EngineId> {
        match self {
            Self::ByLoad(loads) => loads.first().map(|load| load.engine),
            Self::ByTime(times) => times.first().map(|(_, engine)| *engine),
            Self::Uniform(buckets) => buckets.draw(rng).map(|load| load.engine),
            Self::TwoBin(buckets) => {
                let two = [buckets.draw(rng)?, buckets.draw(rng)?];
                two.into_iter().min().map(|load| load.engine)
            }
            Self::Weighted(buckets) => {
                let two = [buckets.draw_weighted(rng)?, buckets.draw_weighted(rng)?];
                two.into_iter().min().map(|load| load.engine)
            }
        }
    }
}

/// Engines by load. There are few different loads, at most as many as an engine may have dispatches.
#[derive(Default)]
pub(super) struct Buckets {
    /// None of them empty.
    by_load: BTreeMap<usize, Vec<Load>>,
    /// The position of each engine in its bucket.
    places: BTreeMap<EngineId, usize>,
}

impl Buckets {
    fn insert(&mut self, load: Load) {
        let bucket = self.by_load.entry(load.outstanding).or_default();
        self.places.insert(load.engine, bucket.len());
        bucket.push(load);
    }

    fn remove(&mut self, load: Load) {
        let Some(bucket) = self.by_load.get_mut(&load.outstanding) else {
            return;
        };
        let Some(place) = self.places.remove(&load.engine) else {
            return;
        };
        bucket.swap_remove(place);
        if let Some(moved) = bucket.get(place) {
            self.places.insert(moved.engine, place);
        }
        if bucket.is_empty() {
            self.by_load.remove(&load.outstanding);
        }
    }

    /// Draws one of all engines.
    fn draw(&self, rng: &mut Rng) -> Option<Load> {
        if self.places.is_empty() {
            return None;
        }
        let mut nth = rng.usize(..self.places.len());
        for bucket in self.by_load.values() {
            count_step();
            if let Some(load) = bucket.get(nth) {
                return Some(*load);
            }
            nth -= bucket.len();
        }
        None
    }

    /// Draws one of all engines, with the weights of ipyparallel's scheme of this name.
    fn draw_weighted(&self, rng: &mut Rng) -> Option<Load> {
        let weight = |outstanding: usize| 1.0 / (1e-6 + real(outstanding));
        let of_bucket = |(load, bucket): (&usize, &Vec<Load>)| weight(*load) * real(bucket.len());
        let mut rest = rng.f64() * self.by_load.iter().map(of_bucket).sum::<f64>();
        let mut drawn = None;
        for entry in &self.by_load {
            count_step();
            drawn = Some(entry.1);
            rest -= of_bucket(entry);
            if rest < 0.0 {
                break;
            }
        }
        let bucket = drawn?;
        bucket.get(rng.usize(..bucket.len())).copied()
    }
}

/// Converts a number for weighing; no engine has more than fits.
fn real(number: usize) -> f64 {
    u32::try_from(number).unwrap_or(u32::MAX).into()
}
