//! Inputs made of bytes: random ones, and seeds from the repository with something changed.

use fastrand::Rng;
use std::io::ErrorKind;
use std::path::Path;

/// Numbers at the borders of what formats count with.
const ODD: [u8; 9] = [0, 1, 0x40, 0x7e, 0x7f, 0x80, 0x81, 0xfe, 0xff];

/// LEB128 numbers that say more than there is.
const LARGE: [&[u8]; 4] = [
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0x80, 0x80, 0x80, 0x80, 0x08],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
];

/// The most that repeating a part may make of an input.
const LONGEST: usize = 1 << 20;

/// The seeds of a target, in the order of their names; a target may have none.
pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fuzz/seeds")
        .join(target);
    let listed = match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        listed => listed.unwrap_or_else(|error| panic!("the seeds in {}: {error}", dir.display())),
    };
    let mut paths: Vec<_> = listed
        .map(|entry| entry.expect("the directory can be listed").path())
        .collect();
    paths.sort();
    let read = |path| std::fs::read(path).expect("a seed can be read");
    paths.into_iter().map(read).collect()
}

/// Random bytes, more often few than many.
pub(crate) fn random(random: &mut Rng, most: usize) -> Vec<u8> {
    let most = most >> random.u32(0..8);
    let mut bytes = vec![0; random.usize(0..=most)];
    random.fill(&mut bytes);
    bytes
}

/// A seed with something changed, or random bytes.
pub(crate) fn input(generator: &mut Rng, seeds: &[Vec<u8>], most: usize) -> Vec<u8> {
    match generator.choice(seeds) {
        Some(seed) if generator.u8(..4) > 0 => {
            let mut bytes = seed.clone();
            mutate(generator, &mut bytes, seeds);
            bytes
        }
        _ => random(generator, most),
    }
}

/// A few changes anywhere; `others` is what parts are taken from.
pub(crate) fn mutate(random: &mut Rng, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..1 << random.u32(0..4) {
        change(random, bytes, others);
    }
}

fn change(random: &mut Rng, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    let at = random.usize(0..=bytes.len());
    let end = (at + 1 + (random.usize(0..256) >> random.u32(0..8))).min(bytes.len());
    match random.u8(0..9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(0..8),
        1 if at < bytes.len() => bytes[at] = ODD[random.usize(0..ODD.len())],
        2 if at < bytes.len() => bytes[at] = random.u8(..),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        5 if at < end => {
            let part = &bytes[at..end];
            let times = (1 << random.u32(0..14)).min(LONGEST / part.len());
            let repeated = part.repeat(times);
            bytes.splice(at..end, repeated);
        }
        6 if !others.is_empty() => {
            let other = &others[random.usize(0..others.len())];
            let from = random.usize(0..=other.len());
            let to = (from + (random.usize(0..512) >> random.u32(0..9))).min(other.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        7 => {
            let large = LARGE[random.usize(0..LARGE.len())];
            bytes.splice(at..end.min(at + 1), large.iter().copied());
        }
        8 if random.u8(0..4) == 0 => bytes.truncate(at),
        _ => bytes.insert(at, random.u8(..)),
    }
}
