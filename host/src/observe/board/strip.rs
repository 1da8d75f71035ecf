//! The strip: which engine ran what, when. Short tasks that follow each other are one tile, and when there are too many
//! tiles, neighbours become one. So a strip of bounded size covers a job of any length, and nothing of it is left out.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// The tiles of all engines at most, and the engines that have some.
const MOST_TILES: usize = 16 << 10;
const MOST_ENGINES: usize = 1024;

/// What is shorter than this is put together from the start, in nanoseconds.
const SHORTEST: u64 = 1_000_000;

/// Tasks of one engine that followed each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    /// In nanoseconds since the strip began.
    start: u64,
    end: u64,
    /// How much of that the engine ran tasks.
    busy: u64,
    tasks: u64,
    failed: u64,
    /// The function of the longest part of it.
    function: u16,
    longest: u64,
    /// When it was changed last.
    change: u64,
}

/// See the [module](self).
pub(super) struct Strip {
    engines: BTreeMap<u32, Vec<Tile>>,
    tiles: usize,
    /// Tiles that are shorter grow.
    shortest: u64,
    changes: u64,
    /// What was merged when the strip became too large: whoever knows older tiles starts anew.
    generation: u64,
}

impl Default for Strip {
    fn default() -> Self {
        Self {
            engines: BTreeMap::new(),
            tiles: 0,
            shortest: SHORTEST,
            changes: 0,
            generation: 0,
        }
    }
}

impl Strip {
    /// Adds a task.
    pub(super) fn add(
        &mut self,
        engine: u32,
        function: u16,
        (start, length): (u64, u64),
        failed: bool,
    ) {
        if self.engines.len() >= MOST_ENGINES && !self.engines.contains_key(&engine) {
            return;
        }
        self.changes += 1;
        let tile = Tile {
            start,
            end: start + length,
            busy: length,
            tasks: 1,
            failed: failed.into(),
            function,
            longest: length,
            change: self.changes,
        };
        let tiles = self.engines.entry(engine).or_default();
        if let Some(last) = tiles.last_mut()
            && joins(last, &tile, self.shortest)
        {
            join(last, &tile);
        } else {
            tiles.push(tile);
            self.tiles += 1;
        }
        if self.tiles > MOST_TILES {
            self.thin();
        }
    }

    /// Puts neighbours together until there are half as many.
    fn thin(&mut self) {
        self.generation += 1;
        while self.tiles > MOST_TILES / 2 {
            self.shortest = self.shortest.saturating_mul(2);
            self.tiles = 0;
            for tiles in self.engines.values_mut() {
                let mut kept: Vec<Tile> = Vec::with_capacity(tiles.len() / 2 + 1);
                for tile in tiles.drain(..) {
                    match kept.last_mut() {
                        Some(last) if joins(last, &tile, self.shortest) => join(last, &tile),
                        _ => kept.push(tile),
                    }
                }
                self.tiles += kept.len();
                *tiles = kept;
            }
            if self.shortest == u64::MAX {
                break;
            }
        }
    }

    /// The tiles that have changed since: all of them for whoever has others of an earlier generation.
    pub(super) fn since(&self, (generation, change): (u64, u64)) -> Json {
        let is_whole = generation != self.generation;
        let from = if is_whole { 0 } else { change };
        let mut tiles = Vec::new();
        for (engine, all) in &self.engines {
            for tile in all.iter().filter(|tile| tile.change > from) {
                let micros = |time: u64| time / 1000;
                tiles.push(json!([
                    engine,
                    micros(tile.start),
                    micros(tile.end - tile.start),
                    micros(tile.busy),
                    tile.tasks,
                    tile.failed,
                    tile.function,
                ]));
            }
        }
        json!({
            "generation": self.generation,
            "change": self.changes,
            "whole": is_whole,
            "tiles": tiles,
        })
    }
}

/// Whether a tile becomes a part of the one before: what failed stands out, and so does what takes long.
fn joins(last: &Tile, next: &Tile, shortest: u64) -> bool {
    let has_failed = |tile: &Tile| tile.failed > 0;
    let length = next.end.max(last.end) - last.start;
    length < shortest && (has_failed(last) == has_failed(next) || shortest > 1000 * SHORTEST)
}

fn join(last: &mut Tile, next: &Tile) {
    last.end = last.end.max(next.end);
    last.busy += next.busy;
    last.tasks += next.tasks;
    last.failed += next.failed;
    last.change = last.change.max(next.change);
    if next.longest > last.longest {
        (last.function, last.longest) = (next.function, next.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(strip: &Strip) -> u64 {
        strip
            .engines
            .values()
            .flatten()
            .map(|tile| tile.tasks)
            .sum()
    }

    #[test]
    fn a_strip_of_any_length_is_bounded_and_has_every_task() {
        let mut strip = Strip::default();
        for task in 0..200_000_u64 {
            let engine = u32::try_from(task % 7).expect("it is small");
            strip.add(engine, 0, (task * 1_000_000, 900_000), task % 1000 == 0);
            assert!(strip.tiles <= MOST_TILES);
        }
        assert_eq!(tasks(&strip), 200_000);
        assert!(strip.tiles > MOST_TILES / 8);
        for tiles in strip.engines.values() {
            assert!(tiles.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
        let all = strip.since((u64::MAX, 0));
        let count = all["tiles"].as_array().map(Vec::len);
        assert_eq!((count, &all["whole"]), (Some(strip.tiles), &true.into()));
        let seen = (strip.generation, strip.changes);
        strip.add(3, 0, (1 << 50, 1), false);
        let news = strip.since(seen);
        assert_eq!(news["tiles"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_failed_task_stands_out_and_engines_are_bounded() {
        let mut strip = Strip::default();
        strip.add(0, 0, (0, 10), false);
        strip.add(0, 0, (20, 10), true);
        strip.add(0, 1, (40, 20), false);
        assert_eq!(strip.engines[&0].len(), 3);
        strip.add(0, 0, (70, 10), false);
        assert_eq!(strip.engines[&0].len(), 3);
        assert_eq!(
            (strip.engines[&0][2].function, strip.engines[&0][2].busy),
            (1, 30)
        );
        for engine in 0..5000 {
            strip.add(engine, 0, (0, 10), false);
        }
        assert_eq!(strip.engines.len(), MOST_ENGINES);
    }
}
