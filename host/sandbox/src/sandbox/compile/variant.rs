//! A `wasmtime::Engine` and its configuration. Each combination of settings that cannot be changed
//! per call (fuel, the class of the stack, determinism, and what a module demands) is a variant with its own compiled code. As there are few classes, no
//! jobs can use variants up.

use super::ticker::{Alarm, Ticker};
use crate::limits::Limits;
use crate::sandbox::module::Demands;
use serde::{Deserialize, Serialize};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;
use wasmtime::{
    Collector, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

/// What distinguishes the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[doc(hidden)]
pub struct VariantKey {
    /// Whether fuel is counted.
    pub(super) fuel: bool,
    /// Whether the few instructions that may differ between machines are made deterministic.
    pub(super) deterministic: bool,
    /// The bytes of a guest's stack.
    pub(super) stack: usize,
    /// Whether calls may be concurrent, which makes each call of a component slower.
    pub(in crate::sandbox) concurrent: bool,
    /// Whether code looks now and then whether it is to stop. Code that does not is faster, and its process has to be ended
    /// with it.
    stoppable: bool,
    /// Whether instances come from a pool, whose places have room for a fixed number of parts.
    pub(super) pooled: bool,
}

impl VariantKey {
    #[doc(hidden)]
    pub fn of(limits: &Limits, deterministic: bool) -> Self {
        Self {
            fuel: limits.fuel.is_some(),
            deterministic,
            stack: limits.stack_class().as_usize(),
            concurrent: false,
            stoppable: true,
            pooled: limits.table_elements <= POOLED_TABLE_ELEMENTS,
        }
    }

    /// The same for tasks whose process can be ended with them. Fuel stops code by itself and a clock that stands still has to
    /// be compared with another one, so both need code that looks.
    #[doc(hidden)]
    #[must_use]
    pub fn ended_with_its_process(self) -> Self {
        Self {
            stoppable: self.fuel || self.deterministic,
            ..self
        }
    }

    /// Whether code stops by itself when it is to.
    #[doc(hidden)]
    #[must_use]
    pub fn is_stoppable(self) -> bool {
        self.stoppable
    }

    /// The same for what runs nothing.
    pub(in crate::sandbox) fn without_pool(self) -> Self {
        Self {
            pooled: false,
            ..self
        }
    }

    /// The same for a module with these demands.
    pub(in crate::sandbox) fn with(self, demands: Demands) -> Self {
        let fits = demands.instances <= CORE_INSTANCES_PER_COMPONENT
            && demands.memories <= MEMORIES_PER_COMPONENT
            && demands.tables <= TABLES_PER_COMPONENT
            && demands.table_elements <= POOLED_TABLE_ELEMENTS as u64;
        Self {
            concurrent: demands.concurrency,
            // What a task of it left running would go on beside the next.
            stoppable: self.stoppable || demands.concurrency,
            // Each of its tasks may have a stack of its own, and a guest that has many would leave others none of a pool.
            pooled: self.pooled && fits && !demands.concurrency,
            ..self
        }
    }
}

/// The stack that host functions may take when a guest waits in them, beside the guest's own.
const HOST_STACK: usize = 1536 << 10;

/// One configured `wasmtime::Engine` and what advances its epoch.
pub(in crate::sandbox) struct Variant {
    pub(in crate::sandbox) key: VariantKey,
    pub(in crate::sandbox) engine: wasmtime::Engine,
    /// Whether there are addresses enough for a pool, and for memories without bounds checks; otherwise all is mapped as it
    /// is needed, which is slower.
    pub(in crate::sandbox) spacious: bool,
    ticker: Arc<Ticker>,
}

/// The most instances of an engine: two that are kept for reuse, and one that runs.
const INSTANCES_PER_ENGINE: u32 = 3;

/// Engines that were restarted and whose guests have not ended yet, which may take some milliseconds, or longer in a host
/// function. Beyond so many at the same time, tasks of those in their places may find no room.
const ENDING_ENGINES: u32 = 8;

/// The parts that one component or core module may have to run in a pool. Most have one to four modules; one with more
/// parts runs without a pool.
const CORE_INSTANCES_PER_COMPONENT: u32 = 32;
const MEMORIES_PER_COMPONENT: u32 = 4;
const TABLES_PER_COMPONENT: u32 = 16;

/// The parts of all instances of an engine, each with as many as it may have, so that kept instances cannot exhaust them.
/// With 1 024 engines and 4 GiB of addresses each, the memories are 48 TiB of 128 TiB of address space, and the tables
/// less than 1 TiB.
const MEMORIES_PER_ENGINE: u32 = INSTANCES_PER_ENGINE * MEMORIES_PER_COMPONENT;
const CORE_INSTANCES_PER_ENGINE: u32 = INSTANCES_PER_ENGINE * CORE_INSTANCES_PER_COMPONENT;
const TABLES_PER_ENGINE: u32 = INSTANCES_PER_ENGINE * TABLES_PER_COMPONENT;

/// Likewise, the heaps for exception objects: one for each instance.
const HEAPS_PER_ENGINE: u32 = INSTANCES_PER_ENGINE;

/// The largest table in a pool, whose places are as large as that: 8 MB of addresses.
const POOLED_TABLE_ELEMENTS: usize = 1_000_000;

/// What a slot keeps mapped between tasks: with `PAGEMAP_SCAN` only written pages are reset, which
/// makes a fresh instance three times cheaper than returning the pages.
const KEEP_RESIDENT: usize = 8 << 20;
const TABLE_KEEP_RESIDENT: usize = 512 << 10;

/// The metadata of one instance; large programs have tens of thousands of functions.
const MAX_INSTANCE_SIZE: usize = 16 << 20;

/// The addresses that there are for a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sandbox) enum Room {
    /// Tried out.
    #[default]
    Tried,
    /// None, whether or not there would be: for code that others run, or have made.
    Little,
}

impl Variant {
    /// Configures an engine for `engines` threads, or for none, to compile and to check. If the address space is too small for a pool,
    /// memories are allocated on demand, with explicit bounds checks.
    pub(in crate::sandbox) fn new(
        key: VariantKey,
        engines: u32,
        room: Room,
        ticker: Arc<Ticker>,
    ) -> wasmtime::Result<Self> {
        if room == Room::Little {
            let engine = wasmtime::Engine::new(&on_demand(key))?;
            ticker.advance(&engine);
            return Ok(Self {
                key,
                engine,
                spacious: false,
                ticker,
            });
        }
        let wanted = if engines == 0 {
            // Nothing runs in it, so it needs no room.
            let mut config = config(key);
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            config
        } else if key.pooled {
            pooled(key, engines)
        } else {
            config(key)
        };
        let (engine, spacious) = match wasmtime::Engine::new(&wanted) {
            Ok(engine) => (engine, true),
            Err(_) => (wasmtime::Engine::new(&on_demand(key))?, false),
        };
        ticker.advance(&engine);
        Ok(Self {
            key,
            engine,
            spacious,
            ticker,
        })
    }

    /// Wakes a call at a time by the clock, which need not be that of its runtime.
    pub(in crate::sandbox) fn wake_at(&self, when: Instant, waker: Waker) -> Alarm {
        self.ticker.wake_at(when, waker)
    }

    /// Returns a number that is the same for engines that can run each other's compiled code.
    pub(super) fn compatibility(&self) -> u64 {
        compatibility(&self.engine, self.key)
    }
}

/// Makes an engine that compiles for a variant of this key and runs nothing: it has no pool, but
/// its code is for one.
pub(super) fn compiling(key: VariantKey, spacious: bool) -> wasmtime::Result<wasmtime::Engine> {
    let mut config = if spacious {
        config(key)
    } else {
        on_demand(key)
    };
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    wasmtime::Engine::new(&config)
}

/// See [`Variant::compatibility`].
pub(super) fn compatibility(engine: &wasmtime::Engine, key: VariantKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    key.hash(&mut hasher);
    hasher.finish()
}

fn config(key: VariantKey) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(key.stoppable)
        .consume_fuel(key.fuel)
        .max_wasm_stack(key.stack)
        .async_stack_size(key.stack + HOST_STACK)
        .cranelift_nan_canonicalization(key.deterministic)
        .relaxed_simd_deterministic(key.deterministic)
        // The environment variable that would enable details is not ours to read.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_memory64(false)
        .wasm_exceptions(true)
        // For modules that are built with atomic instructions: no memory is shared.
        .wasm_threads(true)
        .wasm_component_model_map(true)
        .collector(Collector::DeferredReferenceCounting)
        .wasm_component_model_fixed_length_lists(true)
        .concurrency_support(key.concurrent)
        .memory_init_cow(true);
    if key.concurrent {
        config
            .wasm_component_model_async(true)
            .wasm_component_model_more_async_builtins(true)
            .wasm_component_model_async_stackful(true)
            .wasm_component_model_error_context(true);
    }
    config
}

fn pooled(key: VariantKey, engines: u32) -> Config {
    let warm = engines * INSTANCES_PER_ENGINE;
    let engines = engines + ENDING_ENGINES;
    let instances = engines * INSTANCES_PER_ENGINE;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(engines * CORE_INSTANCES_PER_ENGINE)
        .total_memories(engines * MEMORIES_PER_ENGINE)
        .total_tables(engines * TABLES_PER_ENGINE)
        .total_stacks(instances)
        .total_gc_heaps(engines * HEAPS_PER_ENGINE)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memories_per_module(MEMORIES_PER_COMPONENT)
        .max_tables_per_module(TABLES_PER_COMPONENT)
        .max_core_instance_size(MAX_INSTANCE_SIZE)
        .max_component_instance_size(MAX_INSTANCE_SIZE)
        .table_elements(POOLED_TABLE_ELEMENTS)
        .max_unused_warm_slots(warm)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    let mut config = config(key);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn on_demand(key: VariantKey) -> Config {
    let mut config = config(key);
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_reservation(0)
        .memory_guard_size(64 << 10)
        .memory_reservation_for_growth(1 << 20)
        .gc_heap_reservation(0)
        .gc_heap_guard_size(64 << 10);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Module;

    fn key_of(text: &str) -> VariantKey {
        let module = Module::from_bytes("test.wat", text.to_owned()).expect("it is a module");
        VariantKey::of(&Limits::default(), false).with(module.demands())
    }

    #[test]
    fn modules_that_are_not_concurrent_do_not_pay_for_those_that_are() {
        let usual = VariantKey::of(&Limits::default(), false);
        assert!(!usual.concurrent && usual.pooled);
        for text in [
            r#"(module (func (export "f")))"#,
            r#"(component
                (core module $m (func (export "f") (result i32) i32.const 1))
                (core instance $i (instantiate $m))
                (func (export "f") (result u32) (canon lift (core func $i "f"))))"#,
        ] {
            assert_eq!(key_of(text), usual, "{text}");
        }
        for text in [
            "(component (type (stream u8)))",
            "(component (type (func async)))",
            "(component (core func (canon context.get i32 0)))",
        ] {
            let key = key_of(text);
            assert!(key.concurrent, "{text}");
            let (concurrent, pooled) = (false, true);
            let otherwise = VariantKey {
                concurrent,
                pooled,
                ..key
            };
            assert_eq!(otherwise, usual, "{text}");
        }
    }
}
