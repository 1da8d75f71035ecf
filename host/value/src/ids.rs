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

/// A tenant: on whose account tasks run. 0 is the cluster itself, which has what is on nobody else's.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u64);

/// The most letters of a name.
const LONGEST_NAME: usize = 64;

/// Returns whether a text can be the name of a lane, a key, a profile or a durable job: it is then a token of a subject
/// on a server, and part of a file's name on any system.
#[doc(hidden)]
pub fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= LONGEST_NAME && text.bytes().all(fits)
}

/// Returns what is wrong with a text that is not a name; `what` it should name, such as `lane`.
#[doc(hidden)]
pub fn not_a_name(what: &str, text: &str) -> String {
    format!(
        "`{text}` is not a valid {what}: write at most {LONGEST_NAME} letters, digits, `-` and `_`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_few_plain_letters() {
        for name in ["a", "gpu-2_B", "0", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for other in ["", "a.b", "a b", "a/b", "é", "a\n", &"x".repeat(65)] {
            assert!(!is_name(other), "{other}");
        }
    }
}
