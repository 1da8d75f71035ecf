//! What isolation costs through the library, beside the floor: a raw wasmtime loop with the same
//! settings and the same number of threads, in one run, interleaved.
//!
//! Each task is one call of the word count's mapper on 43 bytes, in a fresh instance.
//! Run it with `cargo xtask bench`, or `cargo bench --bench isolated`.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark has one reader and small numbers"
)]

mod guests;

use guests::guest;
use rwasm_cluster::{ByteSize, Chunking, Cluster, Input, JobSpec, Merge, Module};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use wasmtime::{
    Config, Enabled, Engine, Func, InstanceAllocationStrategy, InstancePre, Linker, ModuleExport,
    PoolingAllocationConfig, Store, StoreLimits, StoreLimitsBuilder, UpdateDeadline,
};

/// A line as tasks get it.
const LINE: &[u8; 43] = b"the quick brown fox jumps over a lazy dog.\n";

const TASKS: usize = 100_000;
const ROUNDS: usize = 5;

fn main() {
    let wordcount = guest("wordcount.wasm");
    for threads in [1, 2] {
        let raw = Raw::new(&wordcount);
        let ours = Ours::new(&wordcount, threads);
        let (mut raw_best, mut ours_best) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            raw_best = raw_best.min(raw.run(threads));
            ours_best = ours_best.min(ours.run());
        }
        println!(
            "{threads} thread(s): raw wasmtime {:.0} tasks/s, rwasm-cluster {:.0} tasks/s, ratio {:.2}",
            rate(raw_best),
            rate(ours_best),
            raw_best.as_secs_f64() / ours_best.as_secs_f64(),
        );
    }
}

fn rate(time: Duration) -> f64 {
    TASKS as f64 / time.as_secs_f64()
}

/// Tasks through the library: chunks of 43 bytes, each a task in a fresh instance.
struct Ours {
    cluster: Cluster,
    module: Module,
    input: Vec<u8>,
}

impl Ours {
    fn new(module: &Path, engines: u32) -> Self {
        Self {
            cluster: Cluster::builder().engines(engines).start().unwrap(),
            module: Module::from_file(module).unwrap(),
            input: LINE.repeat(TASKS),
        }
    }

    fn run(&self) -> Duration {
        let mut spec = JobSpec::default();
        spec.merge = Merge::None;
        spec.chunking = Some(Chunking::Exact(ByteSize::new(LINE.len() as u64)));
        let input = vec![Input::bytes("lines", self.input.clone())];
        let begun = Instant::now();
        let mut job = self.cluster.run(&self.module, input, &spec).unwrap();
        let mut outcomes = 0;
        while let Some((_, outcome)) = job.next_outcome() {
            outcome.result.unwrap();
            outcomes += 1;
        }
        job.wait().unwrap();
        assert_eq!(outcomes, TASKS);
        begun.elapsed()
    }
}

/// The floor: what wasmtime itself takes for a fresh instance, the input and the call.
struct Raw {
    engine: Engine,
    instance: InstancePre<StoreLimits>,
    memory: ModuleExport,
    realloc: ModuleExport,
    mapper: ModuleExport,
    initialize: Option<ModuleExport>,
}

impl Raw {
    fn new(module: &Path) -> Self {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_memories(16)
            .total_core_instances(16)
            .linear_memory_keep_resident(8 << 20)
            .table_keep_resident(512 << 10)
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
            .epoch_interruption(true)
            .concurrency_support(false);
        let engine = Engine::new(&config).unwrap();
        let module = wasmtime::Module::from_file(&engine, module).unwrap();
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&module).unwrap();
        let instance = linker.instantiate_pre(&module).unwrap();
        let export = |name: &str| module.get_export_index(name);
        Self {
            memory: export("memory").unwrap(),
            realloc: export("cabi_realloc").unwrap(),
            mapper: export("mapper").unwrap(),
            initialize: export("_initialize"),
            engine,
            instance,
        }
    }

    fn run(&self, threads: u32) -> Duration {
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < TASKS {
                        self.task();
                    }
                });
            }
        });
        begun.elapsed()
    }

    fn task(&self) {
        let limits = StoreLimitsBuilder::new().memory_size(256 << 20).build();
        let mut store = Store::new(&self.engine, limits);
        store.limiter(|limits| limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
        let instance = self.instance.instantiate(&mut store).unwrap();
        let mut function = |export: &ModuleExport| -> Func {
            instance
                .get_module_export(&mut store, export)
                .unwrap()
                .into_func()
                .unwrap()
        };
        let initialize = self.initialize.as_ref().map(&mut function);
        let (realloc, mapper) = (function(&self.realloc), function(&self.mapper));
        let memory = instance
            .get_module_export(&mut store, &self.memory)
            .unwrap()
            .into_memory()
            .unwrap();
        let realloc = realloc.typed::<(u32, u32, u32, u32), u32>(&store).unwrap();
        let mapper = mapper.typed::<(u32, u32), u32>(&store).unwrap();
        if let Some(initialize) = initialize {
            initialize
                .typed::<(), ()>(&store)
                .unwrap()
                .call(&mut store, ())
                .unwrap();
        }
        let length = LINE.len() as u32;
        let place = realloc.call(&mut store, (0, 0, 1, length)).unwrap();
        memory.write(&mut store, place as usize, LINE).unwrap();
        let result = mapper.call(&mut store, (place, length)).unwrap();
        let mut list = [0; 8];
        memory.read(&store, result as usize, &mut list).unwrap();
        assert_ne!(list, [0; 8]);
    }
}
