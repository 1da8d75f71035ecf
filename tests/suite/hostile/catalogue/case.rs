//! One case: how a guest is called, and what must become of it.

use rwasm_cluster::{ByteSize, FailureCode, Grants, Limits, Lowering, Reuse};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// A guest's case. [`Case::row`] begins one.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The behaviour it shows: its number in `ROWS`.
    pub(crate) row: u8,
    pub(crate) limits: Limits,
    pub(crate) grants: Grants,
    pub(crate) reuse: Reuse,
    pub(crate) lowerings: &'static [Lowering],
    pub(crate) loaded: Loaded,
    /// Done one after the other, on the same engine and by the same view.
    pub(crate) steps: Vec<Step>,
    /// A value that is pushed to the engine before: its name and its text.
    pub(crate) pushed: Option<(&'static str, &'static str)>,
    /// What it is granted, made anew for each round, and what holds that.
    pub(crate) granted: Option<fn() -> (TempDir, Grants)>,
    /// What must hold there after each round.
    pub(crate) afterwards: Option<fn(&Path)>,
    /// What it is granted of a server, which runs from the first round on.
    pub(crate) served: Option<fn() -> Grants>,
    /// Whether the module is a program that is to be run as a component too.
    pub(crate) as_component: bool,
    /// Whether it is too large or slow to be one of ten thousand.
    pub(crate) is_heavy: bool,
}

/// What becomes of the module before anything runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// It can be run.
    Yes,
    /// It is refused, with these words.
    Refused(&'static [&'static str]),
    /// It can be run, or is refused: either, but soon.
    Either,
}

/// One task.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) call: Call,
    pub(crate) expected: Expected,
}

#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// The program, or a function that is mapped, on this input.
    Run {
        map: Option<&'static str>,
        input: &'static str,
    },
    /// The function, with arguments as a line of `map` has them.
    Function {
        name: &'static str,
        arguments: &'static str,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// The task goes well and gives this: text as it is, any other value as WAVE.
    Value(&'static str),
    /// It goes well, whatever it gives.
    Success,
    /// It fails so, with these words in its message.
    Failure(FailureCode, &'static [&'static str]),
    /// The call is refused before it is a task, with these words.
    Impossible(&'static [&'static str]),
}

/// For what does not end by itself: short, so that a case is soon over.
const TIME: Duration = Duration::from_millis(300);

/// For what ends by itself: more than it takes on the busiest machine.
const AMPLE: Duration = Duration::from_mins(1);

impl Case {
    /// A case of that row: a fresh instance for each task, by either lowering.
    pub(crate) fn row(row: u8) -> Self {
        let mut limits = Limits::default();
        limits.time = AMPLE;
        Self {
            row,
            limits,
            grants: Grants::none(),
            reuse: Reuse::None,
            lowerings: &[Lowering::Core],
            loaded: Loaded::Yes,
            steps: Vec::new(),
            pushed: None,
            granted: None,
            served: None,
            afterwards: None,
            as_component: false,
            is_heavy: false,
        }
    }

    /// With a time limit of 300 ms: it does not end by itself.
    pub(crate) fn endless(mut self) -> Self {
        self.limits.time = TIME;
        self
    }

    /// Whether it ends by its time limit alone.
    pub(crate) fn is_endless(&self) -> bool {
        self.limits.time == TIME
    }

    pub(crate) fn memory(mut self, memory: ByteSize) -> Self {
        self.limits.memory = memory;
        self
    }

    pub(crate) fn output(mut self, output: ByteSize) -> Self {
        self.limits.output = output;
        self
    }

    pub(crate) fn fuel(mut self, fuel: u64) -> Self {
        self.limits.fuel = Some(fuel);
        self
    }

    /// It may reach this; without it, nothing.
    pub(crate) fn grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    pub(crate) fn reuse(mut self, reuse: Reuse) -> Self {
        self.reuse = reuse;
        self
    }

    pub(crate) fn pushed(mut self, name: &'static str, value: &'static str) -> Self {
        self.pushed = Some((name, value));
        self
    }

    /// By both lowerings: what becomes of it is the same.
    pub(crate) fn both_ways(mut self) -> Self {
        self.lowerings = &[Lowering::Core, Lowering::Component];
        self
    }

    pub(crate) fn granted(mut self, granted: fn() -> (TempDir, Grants)) -> Self {
        self.granted = Some(granted);
        self
    }

    pub(crate) fn served(mut self, served: fn() -> Grants) -> Self {
        self.served = Some(served);
        self
    }

    pub(crate) fn afterwards(mut self, check: fn(&Path)) -> Self {
        self.afterwards = Some(check);
        self
    }

    /// As a component too, which reaches its files by preview 2.
    pub(crate) fn too_as_component(mut self) -> Self {
        self.as_component = true;
        self
    }

    pub(crate) fn files(mut self, files: usize) -> Self {
        self.limits.files = files;
        self
    }

    pub(crate) fn handles(mut self, handles: usize) -> Self {
        self.limits.handles = handles;
        self
    }

    pub(crate) fn written(mut self, written: ByteSize) -> Self {
        self.limits.written = written;
        self
    }

    pub(crate) fn heavy(mut self) -> Self {
        self.is_heavy = true;
        self
    }

    /// Runs it as a program.
    pub(crate) fn run(self) -> Unfinished {
        self.run_on("")
    }

    /// Runs it as a program with this stdin.
    pub(crate) fn run_on(self, input: &'static str) -> Unfinished {
        self.step(Call::Run { map: None, input })
    }

    /// Maps the function over this input.
    pub(crate) fn map(self, function: &'static str, input: &'static str) -> Unfinished {
        self.step(Call::Run {
            map: Some(function),
            input,
        })
    }

    /// Calls the function.
    pub(crate) fn call(self, name: &'static str, arguments: &'static str) -> Unfinished {
        self.step(Call::Function { name, arguments })
    }

    fn step(self, call: Call) -> Unfinished {
        Unfinished { case: self, call }
    }

    /// It is refused before anything runs.
    pub(crate) fn refused(mut self, parts: &'static [&'static str]) -> Self {
        self.loaded = Loaded::Refused(parts);
        self
    }

    /// Whether it is refused is the host's affair, as long as it says so soon.
    pub(crate) fn perhaps_refused(mut self) -> Self {
        self.loaded = Loaded::Either;
        self
    }
}

/// A case whose last call has no end yet.
#[must_use = "what must become of the call is yet to be said"]
pub(crate) struct Unfinished {
    case: Case,
    call: Call,
}

impl Unfinished {
    pub(crate) fn gives(self, value: &'static str) -> Case {
        self.ends(Expected::Value(value))
    }

    pub(crate) fn succeeds(self) -> Case {
        self.ends(Expected::Success)
    }

    pub(crate) fn fails(self, code: FailureCode, parts: &'static [&'static str]) -> Case {
        self.ends(Expected::Failure(code, parts))
    }

    pub(crate) fn times_out(self) -> Case {
        self.fails(
            FailureCode::Timeout,
            &["time limit of 300ms", "`Limits::time`"],
        )
    }

    pub(crate) fn impossible(self, parts: &'static [&'static str]) -> Case {
        self.ends(Expected::Impossible(parts))
    }

    pub(crate) fn ends(self, expected: Expected) -> Case {
        let Self { mut case, call } = self;
        case.steps.push(Step { call, expected });
        case
    }
}
