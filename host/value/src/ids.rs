//! The names of things: engines, jobs, dispatches and tasks.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// An engine of a cluster, counted from 0 and never reused.
    EngineId(u32)
}
id! {
    /// A job of a cluster, counted from 0.
    JobId(u64)
}
id! {
    /// One hand-over of tasks to an engine, counted within a cluster.
    DispatchId(u64)
}
id! {
    /// A chunk of a job's input, in input order from 0.
    ChunkIndex(u64)
}
