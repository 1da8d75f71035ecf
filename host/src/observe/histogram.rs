//! A histogram of times or sizes: a bucket for each power of two.

use serde_json::{Value as Json, json};

const BUCKETS: usize = 65;

/// How many times or sizes fall between powers of two.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    count: u64,
    largest: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            count: 0,
            largest: 0,
        }
    }
}

impl Histogram {
    /// Adds a value.
    pub fn add(&mut self, value: u64) {
        let bucket = (u64::BITS - value.leading_zeros()) as usize;
        self.counts[bucket] += 1;
        self.count += 1;
        self.largest = self.largest.max(value);
    }

    /// Returns the largest value.
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.largest
    }

    /// Returns the bound of the bucket in which that part of all values ends, such as 0.5 for the median; none without values.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let mut before = 0;
        for (least, count) in self.buckets() {
            before += count;
            #[expect(
                clippy::cast_precision_loss,
                reason = "a part of many is about that part"
            )]
            if before as f64 >= self.count as f64 * part {
                return Some(least.saturating_mul(2).max(1).min(self.largest));
            }
        }
        None
    }

    /// Returns the buckets between the first and the last that have values: the least value of each, and how many it has.
    #[must_use]
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let has_some = |count: &u64| *count > 0;
        let Some(first) = self.counts.iter().position(has_some) else {
            return Vec::new();
        };
        let last = self.counts.iter().rposition(has_some).unwrap_or(first);
        let least = |bucket: usize| match bucket {
            0 => 0,
            bucket => 1 << (bucket - 1),
        };
        (first..=last)
            .map(|bucket| (least(bucket), self.counts[bucket]))
            .collect()
    }

    pub(crate) fn json(&self) -> Json {
        json!({ "count": self.count, "largest": self.largest, "buckets": self.buckets() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_powers_of_two() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.buckets(), []);
        for value in [4, 5, 7, 8, 31] {
            histogram.add(value);
        }
        assert_eq!(histogram.buckets(), [(4, 3), (8, 1), (16, 1)]);
        assert_eq!(histogram.quantile(0.5), Some(8));
        assert_eq!(histogram.quantile(1.0), Some(31));
        histogram.add(0);
        histogram.add(u64::MAX);
        assert_eq!(histogram.buckets().first(), Some(&(0, 1)));
        assert_eq!(histogram.buckets().last(), Some(&(1 << 63, 1)));
    }
}
