//! Engines that die for real: by a panic of ours outside of any task.

use super::{Backend, Local, LocalSettings};
use crate::dispatch::{Answer, DispatchPreset, DispatchedTask, Owner, Reply, Reuse, TaskInput};
use crate::events::{ClusterEvent, EventSender};
use crate::placement::{Eligible, Policy};
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::FailureCode;
use rwasm_sandbox::sandbox::{
    Arguments, Callee, CodeSource, HostFunctions, Lowering, Module, Program, Sandbox, Setting,
    VariantKey,
};
use rwasm_value::ids::{DispatchId, EngineId, JobId, TenantId};
use rwasm_value::value::{Packed, Type, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What ends at once has ended by then, on any machine.
const SOON: Duration = Duration::from_secs(20);

/// Gives its argument, but computes for ever for 0.
const GUEST: &str = r#"(module (func (export "f") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (loop (br 0))))
    (local.get 0)))"#;

type Heard = (DispatchId, usize, Result<Value, FailureCode>);

/// Passes on what it is told, but panics the first time if it is to.
struct Teller {
    heard: Sender<Heard>,
    panics: AtomicBool,
}

impl Reply for Teller {
    fn answer(&self, answer: Answer) {
        assert!(!self.panics.swap(false, Ordering::Relaxed), "on purpose");
        for (idx, outcome) in answer.outcomes.into_iter().enumerate() {
            let value = outcome.result.map(|value| value.unpack().expect("a value"));
            let value = value.map_err(|failure| failure.code);
            // The test may have failed by now.
            let _ = self
                .heard
                .send((answer.dispatch, answer.first + idx, value));
        }
    }
}

fn key() -> VariantKey {
    VariantKey::of(&limits(), false)
}

struct Bench {
    backend: Local,
    program: Arc<Program>,
    sender: Sender<Heard>,
    heard: Receiver<Heard>,
}

impl Bench {
    fn new(events: EventSender) -> Self {
        let settings = LocalSettings {
            isolation: crate::engine::Isolation::default(),
            engines: 2,
            first_engine: 0,
            max_engines: 2,
            policy: Policy::default(),
            hwm: 1,
            seed: 1,
        };
        let sandbox = Sandbox::new(
            2,
            key(),
            CodeSource::default(),
            Lowering::Core,
            false,
            HostFunctions::new(),
        );
        let module = Module::from_bytes("guest", GUEST).expect("it is a module");
        let program =
            sandbox
                .expect("wasmtime runs here")
                .program(&module, key(), &limits(), TenantId(0));
        let (sender, heard) = channel();
        Self {
            backend: Local::start(&settings, events).expect("it starts"),
            program: Arc::new(program.expect("it compiles")),
            sender,
            heard,
        }
    }

    /// A dispatch of one task for each argument.
    fn submit(&self, id: u64, engine: u32, arguments: &[i32], panics: bool) {
        let task = |(index, argument): (usize, &i32)| DispatchedTask {
            input: TaskInput::Ready(Arguments::Values(vec![
                Packed::pack(&Value::S32(*argument), &Type::S32).expect("it fits"),
            ])),
            index: index as u64,
            attempt: 1,
            start_by: None,
        };
        let preset = DispatchPreset {
            job: JobId(id),
            account: Arc::default(),
            priority: 0,
            program: Arc::clone(&self.program),
            setting: Arc::new(Setting::under(limits())),
            reuse: Reuse::None,
            owner: Owner::default(),
            span: tracing::Span::none(),
            observer: None,
        };
        let tasks = arguments.iter().enumerate().map(task).collect();
        let teller = Teller {
            heard: self.sender.clone(),
            panics: AtomicBool::new(panics),
        };
        let (id, callee) = (DispatchId(id), Callee::Function(0));
        let mut dispatch = preset.dispatch(id, callee, tasks, Arc::new(teller));
        dispatch.eligible = Eligible::One(EngineId(engine));
        self.backend.submit(Arc::new(dispatch));
    }

    fn hear(&self, count: usize) -> Vec<Heard> {
        let next = || self.heard.recv_timeout(SOON).expect("all are answered");
        let mut heard: Vec<Heard> = std::iter::repeat_with(next).take(count).collect();
        heard.sort_by_key(|(dispatch, idx, _)| (dispatch.0, *idx));
        heard
    }
}

/// So short that an engine answers each task that ends by it at once, and not together with the next.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.time = Duration::from_millis(30);
    limits
}

#[test]
fn an_engine_that_dies_is_replaced_and_what_it_had_is_lost() {
    let events = EventSender::new(None);
    let mut told = events.subscribe();
    let bench = Bench::new(events);
    // The engine dies when it answers the first task.
    bench.submit(1, 0, &[0, 5, 6], true);
    bench.submit(2, 0, &[7], false);
    bench.submit(3, 1, &[8, 9], false);
    let lost = || Err(FailureCode::EngineLost);
    let heard = bench.hear(5);
    let wanted = [
        (DispatchId(1), 1, lost()),
        (DispatchId(1), 2, lost()),
        (DispatchId(2), 0, Ok(Value::S32(7))),
        (DispatchId(3), 0, Ok(Value::S32(8))),
        (DispatchId(3), 1, Ok(Value::S32(9))),
    ];
    assert_eq!(heard, wanted);
    assert_eq!(bench.backend.engines(), [EngineId(0), EngineId(1)]);
    // Again and again.
    for id in 4..10 {
        bench.submit(id, 0, &[0, 1], true);
        assert_eq!(bench.hear(1), [(DispatchId(id), 1, lost())]);
    }
    bench.submit(10, 0, &[2], false);
    assert_eq!(bench.hear(1), [(DispatchId(10), 0, Ok(Value::S32(2)))]);
    bench.backend.shutdown();
    let mut counts = (0, 0);
    while let Some(event) = told.try_next() {
        match event {
            ClusterEvent::EngineLost { engine, reason } => {
                assert!(engine == EngineId(0) && reason.contains("died"), "{reason}");
                counts.0 += 1;
            }
            ClusterEvent::EngineReplaced(EngineId(0)) => counts.1 += 1,
            _ => {}
        }
    }
    assert_eq!(counts, (7, 7));
}
