//! Panics are told to the host, with their message and place; what Rust prints of them is printed as ever.

/// Sees to it that panics from now on are told. Cheap where it has been done.
#[inline(always)]
pub(crate) fn watch() {
    #[cfg(all(feature = "panics", target_family = "wasm"))]
    wasm::watch();
}

#[cfg(all(feature = "panics", target_family = "wasm"))]
mod wasm {
    use std::panic::{self, PanicHookInfo};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Of longer messages only the beginning is told; stderr has them whole.
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
