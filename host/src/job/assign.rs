//! The engine of each chunk in the direct view.

use rwasm_value::ids::{ChunkIndex, EngineId};

/// Consecutive chunks per engine if the input's length is not known: enough to be worth a dispatch, and few enough
/// that a round of large chunks fits in memory.
const ROUND: u64 = 4;

/// Returns the engine of chunk `index`, which begins at byte `position` of all inputs; one of `targets`, of which
/// there is at least one.
///
/// If the total length is known, each target gets one contiguous block of the input; otherwise targets take turns,
/// with a few consecutive chunks each.
pub(crate) fn blocks(
    position: u64,
    total: Option<u64>,
    index: ChunkIndex,
    targets: &[EngineId],
) -> EngineId {
    debug_assert!(!targets.is_empty(), "chunk {index} has no targets");
    let count = targets.len() as u64;
    let at = match total {
        Some(total) => u128::from(position) * u128::from(count) / u128::from(total.max(1)),
        None => u128::from(index.0 / ROUND % count.max(1)),
    };
    // An input may have grown since its length was taken; what is past the end is the last one's.
    let at = usize::try_from(at)
        .unwrap_or(usize::MAX)
        .min(targets.len().saturating_sub(1));
    targets.get(at).copied().unwrap_or(EngineId(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn targets(count: u32) -> Vec<EngineId> {
        (0..count).map(|id| EngineId(id * 3)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn blocks_are_contiguous_and_equal(count in 1_u32..20, size in 1_u64..100, chunks in 20_u64..500) {
            let targets = targets(count);
            let total = size * chunks;
            let engine = |n: u64| blocks(n * size, Some(total), ChunkIndex(n), &targets);
            let engines: Vec<_> = (0..chunks).map(engine).collect();
            prop_assert!(engines.is_sorted());
            for target in &targets {
                let got = engines.iter().filter(|engine| *engine == target).count() as u64;
                prop_assert!(got.abs_diff(chunks / u64::from(count)) <= 1, "{} got {} of {}", target, got, chunks);
            }
        }

        #[test]
        fn rounds_give_each_the_same(count in 1_u32..20, rounds in 1_u64..5) {
            let targets = targets(count);
            let chunks = rounds * ROUND * u64::from(count);
            let mut got = vec![0; targets.len()];
            for n in 0..chunks {
                let engine = blocks(n * 10, None, ChunkIndex(n), &targets);
                prop_assert_eq!(engine, blocks(0, None, ChunkIndex(n / ROUND * ROUND), &targets));
                got[engine.0 as usize / 3] += 1;
            }
            prop_assert!(got.iter().all(|got| *got == rounds * ROUND));
        }
    }

    #[test]
    fn the_ends_are_safe() {
        let targets = targets(3);
        assert_eq!(blocks(0, Some(0), ChunkIndex(0), &targets), EngineId(0));
        assert_eq!(
            blocks(u64::MAX, Some(u64::MAX), ChunkIndex(7), &targets),
            EngineId(6)
        );
        assert_eq!(blocks(900, Some(10), ChunkIndex(7), &targets), EngineId(6));
    }
}
