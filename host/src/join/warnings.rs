//! Warnings about what others send: a few at a time, since whoever sends it decides how many there are.

use rwasm_sandbox::lock::lock;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The most warnings in a [`SPAN`]; the next one after it says how many were left out.
const MOST: u32 = 10;
const SPAN: Duration = Duration::from_secs(10);

/// See the [module](self).
#[derive(Default)]
pub(super) struct Warnings(Mutex<Option<Span>>);

struct Span {
    begun: Instant,
    count: u32,
    left_out: u64,
}

impl Warnings {
    /// Whether to warn now, and how many warnings were left out before.
    pub(super) fn next(&self) -> Option<u64> {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Option<u64> {
        let mut span = lock(&self.0);
        let is_over = |span: &Span| now.duration_since(span.begun) >= SPAN;
        match &mut *span {
            Some(span) if !is_over(span) => {
                if span.count < MOST {
                    span.count += 1;
                    return Some(0);
                }
                span.left_out += 1;
                None
            }
            _ => {
                let before = span.as_ref().map_or(0, |span| span.left_out);
                *span = Some(Span {
                    begun: now,
                    count: 1,
                    left_out: 0,
                });
                Some(before)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_told_and_the_next_says_how_many_were_not() {
        let warnings = Warnings::default();
        let begun = Instant::now();
        let told = (0..1000).filter_map(|_| warnings.at(begun));
        assert_eq!(told.collect::<Vec<_>>(), [0; MOST as usize]);
        assert_eq!(warnings.at(begun + SPAN), Some(1000 - u64::from(MOST)));
        assert_eq!(warnings.at(begun + SPAN), Some(0));
        assert_eq!(warnings.at(begun + 3 * SPAN), Some(0));
    }
}
