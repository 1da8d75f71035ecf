//! The lanes that a process with engines serves: one before the other, or each with a part of the engine time.

use crate::account::Account;
use crate::cluster::{Cluster, Tenant};
use crate::nats::LaneUsage;
use crate::nats::names::{self, Class};
use crate::placement::TenantId;
use crate::view::Budget;
use rwasm_value::ids::not_a_name;
use rwasm_value::plain;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A lane that engines serve. Its text is `NAME`, or `NAME=WEIGHT`.
///
/// Lanes without weights go one before the other. Among lanes with weights, engine time is shared: each gets its part in
/// proportion to its weight as long as it has tasks, and what it does not use goes to the others.
///
/// # Examples
///
/// ```
/// use rwasm_cluster::join::ServedLane;
///
/// let lane: ServedLane = "reports=3".parse()?;
/// assert_eq!(lane.name, "reports");
/// assert_eq!(lane.weight.map(u32::from), Some(3));
/// # Ok::<(), rwasm_cluster::join::LaneError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedLane {
    /// Its name.
    pub name: String,
    /// Its part of the engine time; `None` if lanes go one before the other.
    pub weight: Option<NonZeroU32>,
}

impl ServedLane {
    /// The main lane, without a weight.
    #[must_use]
    pub fn main() -> Self {
        Self {
            name: names::MAIN_LANE.to_owned(),
            weight: None,
        }
    }
}

impl fmt::Display for ServedLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.weight {
            None => f.write_str(&self.name),
            Some(weight) => write!(f, "{}={weight}", self.name),
        }
    }
}

/// Why a text or a list of lanes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaneError {
    /// A name is not valid.
    #[error("{}", not_a_name("lane", .0))]
    Name(String),
    /// A weight is not a number from 1.
    #[error(
        "`{}` is not a weight: expected a number from 1 after `=`, such as `gpu=3`",
        plain::in_line(.0)
    )]
    Weight(String),
    /// Some lanes have weights and others have none.
    #[error(
        "the lane `{0}` has no weight, but others have: give all a weight (`{0}=1`), or none to serve one before the other"
    )]
    Mixed(String),
    /// A lane has a weight, and engines are shared among several clusters.
    #[error(
        "the lane `{0}` has a weight, but the engines serve several clusters, which share them by weights of their own: name the lane without one"
    )]
    OfSeveral(String),
    /// A lane is named twice.
    #[error("the lane `{0}` is named twice")]
    Twice(String),
}

impl FromStr for ServedLane {
    type Err = LaneError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, weight) = match text.split_once('=') {
            None => (text, None),
            Some((name, weight)) => {
                let number = weight.parse();
                let number = number.map_err(|_| LaneError::Weight(weight.to_owned()))?;
                (name, Some(number))
            }
        };
        if !names::is_token(name) {
            return Err(LaneError::Name(name.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            weight,
        })
    }
}

/// Checks lanes that are to be served together.
pub(super) fn check(lanes: &[ServedLane], clusters: usize) -> Result<(), LaneError> {
    let mut seen = BTreeSet::new();
    for lane in lanes {
        if !names::is_token(&lane.name) {
            return Err(LaneError::Name(lane.name.clone()));
        }
        if !seen.insert(&lane.name) {
            return Err(LaneError::Twice(lane.name.clone()));
        }
    }
    let weighted = lanes.iter().find(|lane| lane.weight.is_some());
    if let (Some(lane), 2..) = (weighted, clusters) {
        return Err(LaneError::OfSeveral(lane.name.clone()));
    }
    let without = lanes.iter().find(|lane| lane.weight.is_none());
    match without {
        Some(lane) if weighted.is_some() => Err(LaneError::Mixed(lane.name.clone())),
        _ => Ok(()),
    }
}

/// How the queues of the lanes, one for each class of each lane, relate to each other. A queue has a place: first all
/// lanes of the high class, then those of the middle one, then those of the low one.
pub(super) struct Shares {
    /// What each lane has used: on its account its tasks run, and for its tenant if lanes share engine time.
    accounts: Vec<(String, Arc<Account>)>,
    are_weighted: bool,
    /// That of the cluster among several.
    of_cluster: Option<Arc<Account>>,
    /// How long an engine has the tasks of a message of each queue, on average and in nanoseconds.
    paces: Vec<AtomicU64>,
}

/// Messages that wait here per engine, beside the one that runs.
const AHEAD: usize = 1;

/// The same for lanes or clusters that share engine time, at least and at most. One whose tasks are short would lose its
/// turn while more of them are on their way, so as many wait as an engine needs for that long.
const AHEAD_OF_SHARES: usize = 3;
const MOST_AHEAD: usize = 64;
const ON_THE_WAY: Duration = Duration::from_millis(500);

/// One part in this many of the average follows the newest message.
const AVERAGED: u64 = 8;

impl Shares {
    /// Those of a cluster that has these engines, as this tenant if it shares them with others.
    pub(super) fn new(lanes: &[ServedLane], cluster: &Cluster, tenant: Option<&Tenant>) -> Self {
        let of_cluster = tenant.map(Tenant::account);
        let id = of_cluster
            .as_ref()
            .map_or_else(TenantId::default, |account| account.tenant);
        let account = |lane: &ServedLane| match lane.weight {
            Some(weight) => {
                let tenant = cluster.tenant(lane.name.as_str());
                tenant.set_budget(Budget {
                    weight: weight.get(),
                    ..Budget::default()
                });
                tenant.account()
            }
            // Counted by itself, and placed as all of its cluster.
            None => Arc::new(Account::new(id, lane.name.as_str().into())),
        };
        Self {
            accounts: lanes
                .iter()
                .map(|lane| (lane.name.clone(), account(lane)))
                .collect(),
            are_weighted: lanes.iter().any(|lane| lane.weight.is_some()),
            of_cluster,
            paces: (0..Class::ALL.len() * lanes.len().max(1))
                .map(|_| AtomicU64::new(u64::MAX))
                .collect(),
        }
    }

    /// Learns how long an engine had the tasks of a message of a queue.
    pub(super) fn learn(&self, queue: usize, time: Duration) {
        let Some(pace) = self.paces.get(queue) else {
            return;
        };
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1);
        let before = pace.load(Ordering::Relaxed);
        let after = match before {
            u64::MAX => time,
            before => before - before / AVERAGED + time / AVERAGED,
        };
        // One that is lost to another at the same time matters little.
        pace.store(after, Ordering::Relaxed);
    }

    /// How many messages of a queue wait here per engine, beside the one that runs. While none of its lane runs here, since
    /// others have the engines, they are for processes where some do: those would have nothing to do but what takes the
    /// engines longer.
    pub(super) fn ahead(&self, queue: usize, is_running: bool) -> usize {
        if !self.are_weighted && self.of_cluster.is_none() || !is_running {
            return AHEAD;
        }
        let pace = self.paces.get(queue);
        let pace = pace.map_or(u64::MAX, |pace| pace.load(Ordering::Relaxed));
        let wanted = ON_THE_WAY.as_nanos() / u128::from(pace.max(1));
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        wanted.clamp(AHEAD_OF_SHARES, MOST_AHEAD)
    }

    /// Whether two queues are of the same lane.
    pub(super) fn are_of_one_lane(&self, one: usize, other: usize) -> bool {
        one % self.count() == other % self.count()
    }

    /// Whether lanes share engine time.
    fn are_weighted(&self) -> bool {
        self.are_weighted
    }

    /// The account on which tasks for chosen engines run.
    pub(super) fn direct(&self) -> Arc<Account> {
        self.of_cluster.clone().unwrap_or_default()
    }

    fn count(&self) -> usize {
        self.accounts.len().max(1)
    }

    /// The account on which tasks of a queue run.
    pub(super) fn account(&self, queue: usize) -> Arc<Account> {
        let account = self.accounts.get(queue % self.count());
        account.map_or_else(Arc::default, |(_, account)| Arc::clone(account))
    }

    /// What the tasks of each lane have used, of those that had any.
    pub(super) fn usage(&self) -> BTreeMap<String, LaneUsage> {
        let usage = |(name, account): &(String, Arc<Account>)| {
            let usage = account.usage();
            (usage.tasks() > 0).then(|| (name.clone(), usage.into()))
        };
        self.accounts.iter().filter_map(usage).collect()
    }

    /// How many queues go before this one, as a priority: the lower, the later.
    pub(super) fn priority(&self, queue: usize) -> i32 {
        let before = if self.are_weighted() {
            queue / self.count()
        } else {
            queue
        };
        -i32::try_from(before).unwrap_or(i32::MAX)
    }

    /// Whether what is held of `other` takes room from `queue`: it goes before it, or shares nothing with it.
    pub(super) fn takes_room(&self, other: usize, queue: usize) -> bool {
        let is_of_its_lane = !self.are_weighted() || other % self.count() == queue % self.count();
        is_of_its_lane && other <= queue
    }

    /// The place of the middle class, to which tasks for chosen engines belong.
    pub(super) fn middle(&self) -> usize {
        let class = Class::ALL.iter().position(|class| *class == Class::Middle);
        self.count() * class.unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(texts: &[&str]) -> Vec<ServedLane> {
        let parse = |text: &&str| text.parse().expect("it is a lane");
        texts.iter().map(parse).collect()
    }

    #[test]
    fn lanes_have_names_and_perhaps_weights() {
        for text in ["a", "gpu=3"] {
            assert_eq!(lanes(&[text])[0].to_string(), text);
        }
        for (text, error) in [
            ("a b", LaneError::Name("a b".to_owned())),
            ("a=0", LaneError::Weight("0".to_owned())),
            ("a=x", LaneError::Weight("x".to_owned())),
            ("=1", LaneError::Name(String::new())),
        ] {
            assert_eq!(text.parse::<ServedLane>(), Err(error));
        }
        assert_eq!(check(&lanes(&["a", "b"]), 1), Ok(()));
        assert_eq!(check(&lanes(&["a", "b"]), 2), Ok(()));
        assert_eq!(check(&lanes(&["a=1", "b=2"]), 1), Ok(()));
        assert_eq!(
            check(&lanes(&["a=1", "b=2"]), 2),
            Err(LaneError::OfSeveral("a".to_owned()))
        );
        assert_eq!(
            check(&lanes(&["a=1", "b"]), 1),
            Err(LaneError::Mixed("b".to_owned()))
        );
        assert_eq!(
            check(&lanes(&["a", "a"]), 1),
            Err(LaneError::Twice("a".to_owned()))
        );
    }

    #[test]
    fn lanes_with_weights_have_room_of_their_own() {
        let cluster = Cluster::builder().engines(1).start().expect("it starts");
        let shared = Shares::new(&lanes(&["a=1", "b=2"]), &cluster, None);
        // Places: a and b of the high class, then of the middle one.
        assert!(shared.takes_room(0, 2) && shared.takes_room(2, 2));
        assert!(!shared.takes_room(1, 2) && !shared.takes_room(2, 0));
        assert_eq!((shared.priority(0), shared.priority(1)), (0, 0));
        assert_eq!((shared.priority(2), shared.priority(3)), (-1, -1));
        assert_eq!(shared.account(3).label.as_deref(), Some("b"));
        let ordered = Shares::new(&lanes(&["a", "b"]), &cluster, None);
        assert!(ordered.takes_room(1, 2) && !ordered.takes_room(3, 2));
        assert_eq!(ordered.priority(1), -1);
        assert_eq!(ordered.account(0).tenant, TenantId::default());
        assert_eq!(ordered.middle(), 2);
    }

    #[test]
    fn as_many_wait_as_the_way_takes_if_engine_time_is_shared() {
        let cluster = Cluster::builder().engines(1).start().expect("it starts");
        let shared = Shares::new(&lanes(&["a=1", "b=2"]), &cluster, None);
        assert_eq!((shared.ahead(0, true), shared.ahead(5, true)), (3, 3));
        shared.learn(2, Duration::from_millis(50));
        shared.learn(3, Duration::from_micros(50));
        shared.learn(4, Duration::from_secs(5));
        assert_eq!(
            [2, 3, 4].map(|queue| shared.ahead(queue, true)),
            [10, 64, 3]
        );
        for _ in 0..100 {
            shared.learn(2, Duration::from_secs(1));
        }
        assert_eq!((shared.ahead(2, true), shared.ahead(3, false)), (3, 1));
        let ordered = Shares::new(&lanes(&["a", "b"]), &cluster, None);
        ordered.learn(0, Duration::from_millis(1));
        assert_eq!(ordered.ahead(0, true), 1);
    }
}
