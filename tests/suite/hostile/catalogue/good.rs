//! Good tasks: what hostile ones must not harm.

use rwasm_cluster::{Callable, Cluster, EngineId, Module};
use std::path::Path;

/// Good tasks, of which the results are known.
pub(crate) struct Good {
    fib: Callable<(u32,), u64>,
    count: Callable<(&'static str,), Vec<(String, u64)>>,
}

impl Good {
    /// `built` is where compiled guests are.
    pub(crate) fn new(built: &Path) -> Self {
        let module = |name: &str| {
            let path = built.join(name).with_extension("wasm");
            Module::from_file(path).expect("it is built by `cargo xtask guests`")
        };
        Self {
            fib: module("numbers").function("fib").expect("it is there"),
            count: module("wordcount").function("mapper").expect("it is there"),
        }
    }

    /// Runs them on this engine.
    #[track_caller]
    pub(crate) fn is_right_on(&self, cluster: &Cluster, engine: EngineId) {
        let view = cluster.blocking().direct_view(engine).expect("it is there");
        assert_eq!(view.apply(&self.fib, (15,)).expect("it goes well"), [610]);
        let counts = view.apply(&self.count, ("good words beside words",));
        let mut counts = counts.expect("it goes well").remove(0);
        counts.sort_unstable();
        let wanted = [("beside", 1), ("good", 1), ("words", 2)];
        let wanted = wanted.map(|(word, count)| (word.to_owned(), count));
        assert_eq!(counts, wanted);
    }
}
