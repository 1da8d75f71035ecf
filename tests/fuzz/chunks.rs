//! `chunks`: however an input is cut, its chunks are the input, and lie the same whether it is in memory, in a file or
//! comes as a stream.

use crate::tasks::cluster;
use crate::{Fuzz, Target, bytes, lowering};
use arbitrary::{Arbitrary, Unstructured};
use fastrand::Rng;
use rwasm_cluster::format::{Format, WriteOptions, write_value};
use rwasm_cluster::{ByteSize, Chunking, Cluster, Input, JobSpec, Lowering, Merge, Module};
use std::io::{self, Cursor, Read};
use std::num::NonZeroU64;
use std::ops::Range;

pub(crate) const TARGET: Target = Target {
    name: "chunks",
    about: "any bytes cut in any way, from memory, files and streams",
    runs: 1500,
    start: || {
        let wit = "package a:b; world w { export mapper: func(data: list<u8>) -> list<u8>; }";
        let module = lowering::typed(wit, |_, _| {
            Some(
                "(param i32 i32) (result i32)
                 (i32.store (i32.const 16) (local.get 0))
                 (i32.store (i32.const 20) (local.get 1))
                 (i32.const 16)"
                    .to_owned(),
            )
        });
        Box::new(Chunks {
            cluster: cluster(Lowering::Core),
            module: Module::from_bytes("echo", module).expect("it is a module"),
            seeds: bytes::seeds("chunks"),
            folder: tempfile::tempdir().expect("a temporary directory can be made"),
        })
    },
};

struct Chunks {
    cluster: Cluster,
    module: Module,
    seeds: Vec<Vec<u8>>,
    folder: tempfile::TempDir,
}

impl Fuzz for Chunks {
    fn input(&mut self, random: &mut Rng) -> Vec<u8> {
        let mut input = bytes::input(random, &self.seeds, 1 << 14);
        if random.u8(0..4) == 0 {
            // Larger than what is read at once.
            input = input.repeat(1 << random.u32(0..8));
            input.truncate(1 << 18);
        }
        input
    }

    fn run(&mut self, input: &[u8]) {
        // How it is cut follows from its own bytes.
        let mut bytes = Unstructured::new(input);
        let chunking = chunking(&mut bytes).expect("bytes that are used up are zeros");
        let steps: Vec<u8> = Arbitrary::arbitrary(&mut bytes).unwrap_or_default();
        let in_memory = self.cut(Input::bytes("input", input.to_vec()), chunking, input);

        let path = self.folder.path().join("input");
        std::fs::write(&path, input).expect("a temporary file can be written");
        let in_file = self.cut(Input::path(&path), chunking, input);
        assert_eq!(in_file, in_memory, "{chunking} of a file");

        let reader = Steps {
            rest: Cursor::new(input.to_vec()),
            sizes: steps,
            at: 0,
        };
        let in_stream = self.cut(Input::reader("input", reader), chunking, input);
        assert_eq!(in_stream, in_memory, "{chunking} of a stream");
    }
}

impl Chunks {
    /// Where the chunks lie; that they are the input is checked.
    fn cut(&self, input: Input, chunking: Chunking, whole: &[u8]) -> Vec<Range<u64>> {
        let mut spec = JobSpec::default();
        spec.merge = Merge::None;
        spec.chunking = Some(chunking);
        let mut job = self
            .cluster
            .run(&self.module, vec![input], &spec)
            .expect("the job begins");
        let (mut ranges, mut joined) = (Vec::new(), Vec::new());
        while let Some((origin, outcome)) = job.next_outcome() {
            let range = origin.range().expect("it is a chunk");
            let value = outcome
                .result
                .unwrap_or_else(|failure| panic!("{chunking}: {origin}: {failure}"));
            let value = value.unpack().expect("it is well formed");
            let before = joined.len();
            write_value(&mut joined, &value, Format::Raw, WriteOptions::default())
                .expect("memory can be written");
            assert_eq!(before as u64..joined.len() as u64, range, "{chunking}");
            ranges.push(range);
        }
        job.wait().expect("the job ends well");
        assert_eq!(joined, whole, "{chunking}");
        ranges
    }
}

fn chunking(bytes: &mut Unstructured) -> arbitrary::Result<Chunking> {
    // Small ones, so that there are many borders, but not more than a few hundred.
    let size = bytes.int_in_range(64..=1 << 14)?;
    Ok(match bytes.int_in_range(0..=4)? {
        0 => Chunking::Auto,
        1 => Chunking::Size(ByteSize::new(size)),
        2 => Chunking::Lines(NonZeroU64::new(size).unwrap_or(NonZeroU64::MIN)),
        3 => Chunking::File,
        _ => Chunking::Exact(ByteSize::new(size)),
    })
}

/// A stream that gives a few bytes at a time.
struct Steps {
    rest: Cursor<Vec<u8>>,
    sizes: Vec<u8>,
    at: usize,
}

impl Read for Steps {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let step = self.sizes.get(self.at).copied().unwrap_or(u8::MAX);
        self.at = (self.at + 1) % (self.sizes.len() + 1);
        // Even a stream that has more gives at least one byte: none is its end.
        let most = buffer.len().min(usize::from(step).pow(2).max(1));
        self.rest.read(&mut buffer[..most])
    }
}
