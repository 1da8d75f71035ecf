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
    /// The id of an engine in a cluster: counted from 0, never reused.
    EngineId(u32)
}
id! {
    /// The id of a job in a cluster: counted from 0.
    JobId(u64)
}
id! {
    /// The id of one dispatch, the handing over of tasks to an engine: counted within a cluster.
    DispatchId(u64)
}
id! {
    /// The index of a chunk in a job's input: counted from 0 in input order.
    ChunkIndex(u64)
}
