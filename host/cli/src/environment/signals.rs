//! Ctrl-C and SIGTERM: what runs is stopped, the terminal left sound, and the program ends with
//! the signal's code within a second, even where something does not answer.

#[cfg(feature = "nats")]
use crate::exit::CliError;
use crate::exit::Ending;
use rwasm_cluster::aside::abandon_all;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a stopped job may take to end before the program ends without it.
const GRACE: Duration = Duration::from_millis(700);

/// Listens for signals, and stops what runs.
#[derive(Clone, Default)]
pub(crate) struct Signals(Arc<Mutex<SignalState>>);

/// Stops what runs.
type Stop = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct SignalState {
    ending: Option<Ending>,
    /// Why the program ends, if no signal but something else ends it; none once that is reported.
    #[cfg(feature = "nats")]
    failed: Option<CliError>,
    stop: Option<Stop>,
    /// What is stopped may take as long as it wants; another signal ends the program.
    is_patient: bool,
}

/// Ends the program without its destructors.
fn exit(code: i32) -> ! {
    let _abandoned = abandon_all();
    std::process::exit(code)
}

impl Signals {
    /// Begins to listen. Where the system refuses, signals end the program as they always do.
    pub(crate) fn listen() -> Self {
        let signals = Self::default();
        let state = signals.clone();
        // A file that would grow beyond `ulimit -f` is an error of whoever writes it, which says so, instead of the end.
        let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
        if let Ok(mut received) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) {
            // The thread ends with the program: it has nothing to finish.
            let _ = std::thread::Builder::new()
                .name("rwasm-signals".to_owned())
                .spawn(move || {
                    for signal in received.forever() {
                        state.end(if signal == SIGTERM {
                            Ending::Terminated
                        } else {
                            Ending::Interrupted
                        });
                    }
                });
        }
        signals
    }

    /// Says how what runs is stopped when a signal comes.
    pub(crate) fn watch(&self, stop: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.ending.is_none() {
            state.stop = Some(Box::new(stop));
            return;
        }
        drop(state);
        stop();
    }

    /// The same, for what may take long to stop: the program ends when it has, or at another signal.
    #[cfg(feature = "nats")]
    pub(crate) fn watch_patiently(&self, stop: impl FnOnce() + Send + 'static) {
        self.lock().is_patient = true;
        self.watch(stop);
    }

    /// Does what the program is not to end in the middle of: a signal that comes meanwhile is heard after it. It is told
    /// of one that came before, and may ask nothing else here.
    #[cfg(feature = "nats")]
    pub(crate) fn unbroken<T>(&self, act: impl FnOnce(Option<Ending>) -> T) -> T {
        let state = self.lock();
        act(state.ending)
    }

    /// As if the signal had come.
    #[cfg(all(test, feature = "nats"))]
    pub(crate) fn came(&self, ending: Ending) {
        let stop = {
            let mut state = self.lock();
            state.ending = Some(ending);
            state.stop.take()
        };
        if let Some(stop) = stop {
            stop();
        }
    }

    /// Stops what runs because of this error: whoever settles it takes the error. Like a signal it ends the program even if
    /// something does not answer.
    #[cfg(feature = "nats")]
    pub(crate) fn fail(&self, error: CliError) {
        let mut state = self.lock();
        let code = i32::from(error.code());
        state.failed = Some(error);
        let stop = state.stop.take();
        drop(state);
        let last = self.clone();
        let _ = std::thread::Builder::new()
            .name("rwasm-last-resort".to_owned())
            .spawn(move || {
                std::thread::sleep(GRACE);
                // Otherwise it was taken, and is reported as the program ends.
                if let Some(error) = last.failure() {
                    let _ = error.report(false);
                    exit(code);
                }
            });
        if let Some(stop) = stop {
            stop();
        }
    }

    /// Takes the error by which it was stopped, if it was.
    #[cfg(feature = "nats")]
    pub(crate) fn failure(&self) -> Option<CliError> {
        self.lock().failed.take()
    }

    /// The signal that came, if one did.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.lock().ending
    }

    fn end(&self, ending: Ending) {
        let mut state = self.lock();
        state.ending = Some(ending);
        let code = i32::from(ending.code());
        let Some(stop) = state.stop.take() else {
            // Nothing to wait for, or asked twice.
            exit(code);
        };
        let is_patient = state.is_patient;
        drop(state);
        if is_patient {
            stop();
            return;
        }
        let last = self.clone();
        // Before what runs is stopped, which may take its time.
        let _ = std::thread::Builder::new()
            .name("rwasm-last-resort".to_owned())
            .spawn(move || {
                std::thread::sleep(GRACE);
                // Not in the middle of what must not be broken off.
                let _state = last.lock();
                exit(code);
            });
        stop();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SignalState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
