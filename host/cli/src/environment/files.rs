//! How many files this process may have open: as many as it may allow itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for the most engines, and not so many that programs which look at each take long.
const ENOUGH: u64 = 65_536;

/// Raises the soft limit, which is often low for the sake of programs that do not expect many, as far as the hard one goes.
pub(crate) fn allow() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    if limit.current.is_some_and(|current| current < most) {
        let raised = Rlimit {
            current: Some(most),
            maximum: limit.maximum,
        };
        // With fewer it may work all the same.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}
