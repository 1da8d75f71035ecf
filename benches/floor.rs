//! The floor that benchmarks compare with: what wasmtime itself takes for a fresh instance of the word count, its input
//! and the call, with each limit compiled in and armed or not.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use wasmtime::{
    Config, Enabled, Engine, Func, InstanceAllocationStrategy, InstancePre, Linker, ModuleExport,
    PoolingAllocationConfig, ResourceLimiter, Store, UpdateDeadline,
};

/// What is compiled into the code.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Compiled {
    /// Checks of the epoch, in every loop and at the beginning of every function.
    pub(crate) epochs: bool,
    /// Counting of fuel.
    pub(crate) fuel: bool,
}

impl Compiled {
    pub(crate) const PLAIN: Self = Self {
        epochs: false,
        fuel: false,
    };
    pub(crate) const WITH_EPOCHS: Self = Self {
        epochs: true,
        fuel: false,
    };
    pub(crate) const WITH_FUEL: Self = Self {
        epochs: true,
        fuel: true,
    };
}

/// What each task is armed with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Armed {
    /// Memories and tables are summed and bounded.
    pub(crate) memory: bool,
    /// The epoch's callback reads a deadline and a wish to cancel.
    pub(crate) time: bool,
}

impl Armed {
    pub(crate) const NOTHING: Self = Self {
        memory: false,
        time: false,
    };
    pub(crate) const LIMITED: Self = Self {
        memory: true,
        time: true,
    };
}

/// The word count, ready to run.
pub(crate) struct Floor {
    compiled: Compiled,
    engine: Engine,
    instance: InstancePre<Sums>,
    memory: ModuleExport,
    realloc: ModuleExport,
    mapper: ModuleExport,
    initialize: Option<ModuleExport>,
}

/// What a task has taken, as the library sums it, and when it must be through.
struct Sums {
    memory: usize,
    elements: usize,
    deadline: Instant,
    cancelled: AtomicUsize,
}

impl ResourceLimiter for Sums {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.memory = self.memory - current + desired;
        Ok(self.memory <= 256 << 20)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.elements = self.elements - current + desired;
        Ok(self.elements <= 100_000)
    }
}

impl Floor {
    pub(crate) fn new(module: &Path, compiled: Compiled) -> Self {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_memories(16)
            .total_core_instances(16)
            .linear_memory_keep_resident(8 << 20)
            .table_keep_resident(512 << 10)
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
            .epoch_interruption(compiled.epochs)
            .consume_fuel(compiled.fuel)
            .concurrency_support(false);
        let engine = Engine::new(&config).unwrap();
        let module = wasmtime::Module::from_file(&engine, module).unwrap();
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&module).unwrap();
        let instance = linker.instantiate_pre(&module).unwrap();
        let export = |name: &str| module.get_export_index(name);
        Self {
            compiled,
            memory: export("memory").unwrap(),
            realloc: export("cabi_realloc").unwrap(),
            mapper: export("mapper").unwrap(),
            initialize: export("_initialize"),
            engine,
            instance,
        }
    }

    /// The time of `tasks` tasks on `threads` threads, each with its input, while the epoch goes on as it does in the
    /// library.
    pub(crate) fn run<'a>(
        &self,
        threads: u32,
        tasks: usize,
        armed: Armed,
        input: impl Fn(usize) -> &'a [u8] + Sync,
    ) -> Duration {
        let (next, is_over) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        loop {
                            let task = next.fetch_add(1, Ordering::Relaxed);
                            if task >= tasks {
                                break;
                            }
                            self.task(armed, input(task));
                        }
                    })
                })
                .collect();
            if armed.time {
                scope.spawn(|| {
                    while is_over.load(Ordering::Relaxed) == 0 {
                        std::thread::park_timeout(Duration::from_millis(5));
                        self.engine.increment_epoch();
                    }
                });
            }
            for worker in workers {
                worker.join().unwrap();
            }
            is_over.store(1, Ordering::Relaxed);
        });
        begun.elapsed()
    }

    fn task(&self, armed: Armed, input: &[u8]) {
        let sums = Sums {
            memory: 0,
            elements: 0,
            deadline: Instant::now() + Duration::from_secs(30),
            cancelled: AtomicUsize::new(0),
        };
        let mut store = Store::new(&self.engine, sums);
        if armed.memory {
            store.limiter(|sums| sums);
        }
        if self.compiled.epochs {
            store.set_epoch_deadline(if armed.time { 1 } else { u64::MAX >> 1 });
        }
        if armed.time {
            store.epoch_deadline_callback(|context| {
                let sums = context.data();
                let is_cancelled = sums.cancelled.load(Ordering::Relaxed) != 0;
                assert!(!is_cancelled && Instant::now() < sums.deadline);
                Ok(UpdateDeadline::Continue(1))
            });
        }
        if self.compiled.fuel {
            store.set_fuel(u64::MAX).unwrap();
        }
        let instance = self.instance.instantiate(&mut store).unwrap();
        let mut function = |export: &ModuleExport| -> Func {
            let export = instance.get_module_export(&mut store, export);
            export.unwrap().into_func().unwrap()
        };
        let initialize = self.initialize.as_ref().map(&mut function);
        let (realloc, mapper) = (function(&self.realloc), function(&self.mapper));
        let memory = instance.get_module_export(&mut store, &self.memory);
        let memory = memory.unwrap().into_memory().unwrap();
        let realloc = realloc.typed::<(u32, u32, u32, u32), u32>(&store).unwrap();
        let mapper = mapper.typed::<(u32, u32), u32>(&store).unwrap();
        if let Some(initialize) = initialize {
            let initialize = initialize.typed::<(), ()>(&store).unwrap();
            initialize.call(&mut store, ()).unwrap();
        }
        let length = u32::try_from(input.len()).unwrap();
        let place = realloc.call(&mut store, (0, 0, 1, length)).unwrap();
        memory.write(&mut store, place as usize, input).unwrap();
        let result = mapper.call(&mut store, (place, length)).unwrap();
        let mut list = [0; 8];
        memory.read(&store, result as usize, &mut list).unwrap();
        assert_ne!(list, [0; 8]);
    }
}
