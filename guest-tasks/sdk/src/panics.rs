//! Reports panics to the host, with their message and place; Rust prints them as usual.

/// Makes sure that panics are reported from now on. Cheap if that was done before.
#[inline(always)]
pub(crate) fn watch() {
    #[cfg(all(feature = "panics", target_family = "wasm"))]
    wasm::watch();
}

#[cfg(all(feature = "panics", target_family = "wasm"))]
mod wasm {
    use std::panic::{self, PanicHookInfo};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Only the beginning of a long message is reported; stderr has all of it.
    const MAX_MESSAGE: usize = 4096;

    static IS_WATCHED: AtomicBool = AtomicBool::new(false);

    #[inline(always)]
    pub(super) fn watch() {
        if !IS_WATCHED.load(Ordering::Relaxed) {
            install();
        }
    }

    #[cold]
    fn install() {
        IS_WATCHED.store(true, Ordering::Relaxed);
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            tell(panic);
            before(panic);
        }));
    }

    fn tell(panic: &PanicHookInfo<'_>) {
        let message = panic.payload_as_str().unwrap_or("a value that is not text");
        let message = &message[..message.floor_char_boundary(MAX_MESSAGE)];
        let (file, line, column) = match panic.location() {
            Some(place) => (place.file(), place.line(), place.column()),
            None => ("", 0, 0),
        };
        crate::host::panicked(message, file, line, column);
    }
}
