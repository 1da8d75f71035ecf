//! What is said on stderr beside errors: warnings, and with `-v` where time goes.

use crate::text::duration;
use rwasm_cluster::plain::visible;
use std::io::Write as _;
use std::time::Instant;

/// Warns of something that does not end the program.
pub(crate) fn warn(text: &str) {
    print(&format!("warning: {}\n", visible(text)));
}

/// Says what goes on, in a line.
pub(crate) fn note(text: &str) {
    print(&format!("{}\n", visible(text)));
}

/// Prints a text that is made for people as it is, in one write: what others write there comes before or after it.
pub(crate) fn print(text: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Says with `-v` where the time goes.
pub(crate) struct Steps {
    verbose: bool,
    last: Instant,
}

impl Steps {
    pub(crate) fn new(verbose: bool) -> Self {
        Self {
            verbose,
            last: Instant::now(),
        }
    }

    pub(crate) fn done(&mut self, step: &str) {
        if self.verbose {
            let took = duration(self.last.elapsed());
            print(&format!("{step} in {took}\n"));
        }
        self.last = Instant::now();
    }
}
