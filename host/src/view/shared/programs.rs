//! The modules that a cluster has made ready to run, kept for whoever comes back to them.
//!
//! Those in use stay; of the others only the last used do, so that a cluster that runs ever new modules does not grow.

use crate::placement::TenantId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

/// How many programs that nobody uses are kept.
const MOST: usize = 128;

/// The most that they have together. A program that has more is kept only while it is used.
const MOST_SIZE: Size = Size {
    module: 1 << 30,
    known: 24 << 20,
};

/// What a program takes, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    /// Its module's bytes, which it does not hold. Compiled code is a few times as large, but most of it is mapped from the
    /// cache and in memory only where it ran.
    pub(crate) module: u64,
    /// What is known of its module.
    pub(crate) known: u64,
}

impl Size {
    fn plus(self, other: Self) -> Self {
        Self {
            module: self.module.saturating_add(other.module),
            known: self.known.saturating_add(other.known),
        }
    }

    fn is_within(self, most: Self) -> bool {
        self.module <= most.module && self.known <= most.known
    }
}

/// Programs by what they were made of.
pub(crate) struct Programs<K, P> {
    kept: HashMap<K, Kept<P>>,
    /// What is being made.
    making: HashSet<K>,
    /// Counts uses, to know the last.
    now: u64,
}

struct Kept<P> {
    program: Arc<P>,
    size: Size,
    used: u64,
    /// For whom it is kept, and when each has used it last.
    holders: BTreeMap<TenantId, u64>,
}

impl<K, P> Default for Programs<K, P> {
    fn default() -> Self {
        Self {
            kept: HashMap::new(),
            making: HashSet::new(),
            now: 0,
        }
    }
}

impl<K: Copy + Eq + Hash, P> Programs<K, P> {
    /// Returns a program for this tenant, if it is kept, whoever it was made for, and whether it is another one for it.
    pub(crate) fn get(&mut self, key: &K, tenant: TenantId) -> Option<(Arc<P>, bool)> {
        self.now += 1;
        let kept = self.kept.get_mut(key)?;
        kept.used = self.now;
        let is_new = kept.holders.insert(tenant, self.now).is_none();
        Some((Arc::clone(&kept.program), is_new))
    }

    /// The number of programs that are kept for a tenant.
    pub(crate) fn held_by(&self, tenant: TenantId) -> usize {
        let kept = self.kept.values();
        kept.filter(|kept| kept.holders.contains_key(&tenant))
            .count()
    }

    /// Keeps only so many for a tenant, those that it used last. Gives those that are kept for nobody else.
    pub(crate) fn bound(&mut self, tenant: TenantId, most: usize) -> Vec<Arc<P>> {
        let used = |(key, kept): (&K, &Kept<P>)| Some((*kept.holders.get(&tenant)?, *key));
        let mut held: Vec<(u64, K)> = self.kept.iter().filter_map(used).collect();
        held.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        let mut gone = Vec::new();
        for (_, key) in held.into_iter().skip(most) {
            if let Some(kept) = self.kept.get_mut(&key) {
                kept.holders.remove(&tenant);
                if kept.holders.is_empty() {
                    gone.extend(self.kept.remove(&key).map(|kept| kept.program));
                }
            }
        }
        gone
    }

    /// Whether nobody makes it yet; then whoever asks does, until [`Programs::end`].
    pub(crate) fn begin(&mut self, key: K) -> bool {
        self.making.insert(key)
    }

    pub(crate) fn end(&mut self, key: &K) {
        self.making.remove(key);
    }

    /// Keeps a program of this size, unless there is one by now. Returns the one that is kept.
    ///
    /// Also gives those that are let go: freeing code takes its time, and is best done without a lock.
    pub(crate) fn keep(
        &mut self,
        key: K,
        program: Arc<P>,
        size: Size,
        tenant: TenantId,
    ) -> (Arc<P>, Vec<Arc<P>>) {
        self.now += 1;
        let used = self.now;
        let kept = self.kept.entry(key).or_insert(Kept {
            program,
            size,
            used,
            holders: BTreeMap::new(),
        });
        kept.used = used;
        kept.holders.insert(tenant, used);
        let program = Arc::clone(&kept.program);
        (program, self.let_go())
    }

    fn let_go(&mut self) -> Vec<Arc<P>> {
        // Nobody else can begin to use one meanwhile: it would take it from here.
        let idle = |kept: &&Kept<P>| Arc::strong_count(&kept.program) == 1;
        let mut idle: Vec<(u64, Size, K)> = self
            .kept
            .iter()
            .filter(|(_, kept)| idle(kept))
            .map(|(key, kept)| (kept.used, kept.size, *key))
            .collect();
        let sizes = idle.iter().map(|(_, size, _)| *size);
        if idle.len() <= MOST && sizes.fold(Size::default(), Size::plus).is_within(MOST_SIZE) {
            return Vec::new();
        }
        idle.sort_unstable_by_key(|(used, ..)| std::cmp::Reverse(*used));
        let mut total = Size::default();
        let too_many = idle
            .into_iter()
            .enumerate()
            .filter_map(|(place, (_, size, key))| {
                total = total.plus(size);
                (place >= MOST || !total.is_within(MOST_SIZE)).then_some(key)
            });
        let gone = too_many.filter_map(|key| self.kept.remove(&key));
        gone.map(|kept| kept.program).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: TenantId = TenantId(0);
    const SMALL: Size = Size {
        module: 1,
        known: 1,
    };

    #[test]
    fn each_tenant_has_its_own_bound_and_takes_nothing_from_others() {
        let (one, other) = (TenantId(1), TenantId(2));
        let mut programs = Programs::default();
        for key in 0..4 {
            programs.keep(key, Arc::new(key), SMALL, one);
        }
        assert!(programs.get(&1, other).is_some());
        assert!(programs.get(&0, one).is_some());
        let gone = programs.bound(one, 2);
        assert_eq!(gone, [Arc::new(2)]);
        assert_eq!((programs.held_by(one), programs.held_by(other)), (2, 1));
        // A tenant that is closed.
        let gone = programs.bound(one, 0);
        assert_eq!(gone, [Arc::new(0), Arc::new(3)]);
        assert_eq!((programs.held_by(one), programs.held_by(other)), (0, 1));
        assert!(programs.get(&1, other).is_some());
    }

    #[test]
    fn the_last_used_are_kept_and_those_in_use_with_them() {
        let mut programs = Programs::default();
        let (in_use, _) = programs.keep(0, Arc::new(0), SMALL, OWN);
        let mut gone = Vec::new();
        for key in 1..=2 * MOST {
            gone.extend(programs.keep(key, Arc::new(key), SMALL, OWN).1);
            assert!(programs.get(&1, OWN).is_some());
        }
        assert_eq!(programs.kept.len(), MOST + 2);
        assert_eq!(*gone[0], 2);
        assert_eq!(programs.get(&0, OWN), Some((in_use, false)));
        assert_eq!(programs.get(&2, OWN), None);
        let last = Some((Arc::new(2 * MOST), false));
        assert_eq!(programs.get(&(2 * MOST), OWN), last);
    }

    #[test]
    fn large_modules_are_fewer() {
        let large = Size {
            module: MOST_SIZE.module / 4,
            ..SMALL
        };
        let well_known = Size {
            known: MOST_SIZE.known / 4,
            ..SMALL
        };
        for size in [large, well_known] {
            let mut programs = Programs::default();
            for key in 0..6 {
                let (kept, _) = programs.keep(key, Arc::new(key), size, OWN);
                assert_eq!(*kept, key);
            }
            // The newest is in use while others are let go.
            assert_eq!(programs.kept.len(), 5);
            assert_eq!(programs.get(&0, OWN), None);
        }
    }

    #[test]
    fn the_first_of_two_made_at_once_is_the_one() {
        let mut programs = Programs::default();
        let (first, _) = programs.keep('a', Arc::new(1), SMALL, OWN);
        let (second, _) = programs.keep('a', Arc::new(2), SMALL, OWN);
        assert!(Arc::ptr_eq(&first, &second));
    }
}
