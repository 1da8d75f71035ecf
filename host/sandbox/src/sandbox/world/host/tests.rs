//! What guests ask of the host, by both lowerings; guests that ask for what cannot be; and the
//! functions of an embedder.

mod functions;

use crate::cancel::Cancel;
use crate::limits::Limits;
use crate::note::{Listener, LogLevel, MAX_PUBLISHED_NAMES, Notes, TaskNote};
use crate::outcome::FailureCode;
use crate::pushed::{PushedValue, PushedValues};
use crate::sandbox::tests::guest;
use crate::sandbox::*;
use rwasm_value::ids::{EngineId, TenantId};
use rwasm_value::units::ByteSize;
use rwasm_value::value::{Packed, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const DICTIONARY: &str = "example:dictionary/words@0.1.0";

/// A program with what its sandbox has to live as long as.
struct Bench {
    program: Program,
    runner: Runner,
    limits: Limits,
    surroundings: Surroundings,
    _sandbox: Sandbox,
}

impl Bench {
    fn new(module: &Module, lowering: Lowering, host: HostFunctions) -> Result<Self, String> {
        let sandbox = Sandbox::new(
            1,
            VariantKey::of(&Limits::default(), false),
            CodeSource::default(),
            lowering,
            false,
            host,
        )?;
        let limits = Limits::default();
        let program = sandbox
            .program(module, VariantKey::of(&limits, false), &limits, TenantId(0))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            program,
            runner: Runner::new().expect("a runner"),
            limits,
            surroundings: Surroundings {
                engine_count: 4,
                task: 42,
                ..Surroundings::of(EngineId(3))
            },
            _sandbox: sandbox,
        })
    }

    fn kept(
        &self,
        function: &str,
        arguments: &[Value],
        instance: Option<&mut Option<KeptInstance>>,
    ) -> Report {
        let functions = self.program.module.functions();
        let idx = functions
            .iter()
            .position(|known| known.name == function)
            .expect("the function is there");
        let arguments = arguments
            .iter()
            .zip(&functions[idx].params)
            .map(|(value, (_, ty))| Packed::pack(value, ty).expect("the argument fits"))
            .collect();
        let setting = Setting {
            keep_instance: instance.is_some(),
            ..Setting::under(self.limits.clone())
        };
        let request = Request {
            callee: Callee::Function(idx),
            arguments: &Arguments::Values(arguments),
            setting: &setting,
            cancel: &Cancel::default(),
            surroundings: &self.surroundings,
        };
        self.runner
            .run(&self.program, &request, instance.unwrap_or(&mut None))
    }

    fn run(&self, function: &str, arguments: &[Value]) -> Report {
        self.kept(function, arguments, None)
    }

    #[track_caller]
    fn value(&self, function: &str, arguments: &[Value]) -> Value {
        let packed = self.run(function, arguments).result.expect("a value");
        packed.unpack().expect("a value can be unpacked")
    }

    #[track_caller]
    fn failure(&self, function: &str, arguments: &[Value]) -> (FailureCode, String) {
        let failure = self.run(function, arguments).result.expect_err("a failure");
        (failure.code, failure.message)
    }
}

fn text(wat: &str) -> Module {
    Module::from_bytes("text", wat.to_owned()).expect("valid text")
}

/// The guest that uses all of the host's interface, by both lowerings.
fn hosted() -> [Bench; 2] {
    let module = guest("hosted.wasm");
    [Lowering::Core, Lowering::Component].map(|lowering| {
        let bench = Bench::new(&module, lowering, HostFunctions::new()).expect("a program");
        let compiled = bench.program.compiled().expect("it is compiled");
        let is_core = matches!(compiled.code, run::program::Code::Core(_));
        assert_eq!(is_core, lowering == Lowering::Core);
        bench
    })
}

/// A plain module that imports one function of the host and calls it with these core arguments.
fn caller(import: &str, call: &str) -> Module {
    text(&format!(
        r#"(module
            (import "rwasm:task/host@0.1.0" {import})
            (memory (export "memory") 1)
            (data (i32.const 16) "name")
            (data (i32.const 32) "\ff\fe")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
            (func (export "go") {call}))"#
    ))
}

const LOG: &str = r#""log" (func $f (param i32 i32 i32))"#;
const PROGRESS: &str = r#""progress" (func $f (param i64 i32 i64))"#;
const PUBLISH: &str = r#""publish" (func $f (param i32 i32 i32 i32))"#;
const PUSHED: &str = r#""pushed" (func $f (param i32 i32 i32))"#;

#[track_caller]
fn trapped(module: &Module) -> String {
    let mut bench = Bench::new(module, Lowering::Core, HostFunctions::new()).expect("a program");
    bench.surroundings.pushed = Some(Arc::new(values([("name", Value::from("pushed"))])));
    let (code, message) = bench.failure("go", &[]);
    assert_eq!(code, FailureCode::Trap, "{message}");
    message
}

fn values<const N: usize>(values: [(&str, Value); N]) -> PushedValues {
    values
        .into_iter()
        .map(|(name, value)| (name.into(), Arc::new(PushedValue::new(value))))
        .collect()
}

#[derive(Default)]
struct Heard(Mutex<Vec<(u64, TaskNote)>>);

impl Listener for Heard {
    fn note(&self, task: u64, note: TaskNote) {
        self.0.lock().unwrap().push((task, note));
    }
}

#[test]
fn a_guest_knows_where_it_runs() {
    for bench in hosted() {
        let here = Value::Tuple(vec![3_u32.into(), 4_u32.into()]);
        assert_eq!(bench.value("where-am-i", &[]), here);
    }
}

#[test]
fn what_a_guest_tells_is_kept_and_heard() {
    let [core, component] = hosted().map(|mut bench| {
        let heard = Arc::new(Heard::default());
        bench.surroundings.listener = Some(heard.clone());
        let report = bench.run("tell", &[2_u64.into()]);
        assert!(report.result.is_ok());
        let logs = report.logs.expect("it printed");
        assert_eq!(logs.stdout.kept, b"out 1\nout 2\n");
        assert_eq!(logs.stderr.kept, b"err 1\nerr 2\n");
        let notes = report.notes.expect("it told something");
        let heard = heard.0.lock().unwrap().clone();
        (notes, heard)
    });
    assert_eq!(core.0, component.0);
    let notes: Notes = *core.0;
    let log: Vec<(LogLevel, &str)> = notes
        .log
        .iter()
        .map(|line| (line.level, &line.message[..]))
        .collect();
    assert_eq!(
        log,
        [
            (LogLevel::Trace, "step 1 of 2"),
            (LogLevel::Debug, "step 2 of 2")
        ]
    );
    assert_eq!(notes.published("latest"), Some(&"2".into()));
    let progress = notes.progress.expect("it said how far it is");
    assert_eq!((progress.done, progress.total), (2, Some(2)));

    // Printing may come in other pieces, but in the same order.
    for heard in [core.1, component.1] {
        assert!(heard.iter().all(|(task, _)| *task == 42));
        let told: Vec<String> = heard
            .iter()
            .map(|(_, note)| match note {
                TaskNote::Stdout(bytes) | TaskNote::Stderr(bytes) => {
                    String::from_utf8_lossy(bytes).into_owned()
                }
                TaskNote::Log { message, .. } => format!("{message}\n"),
                TaskNote::Published { name, bytes } => format!("{name}={bytes:?}\n"),
                TaskNote::Progress { done, total } => format!("{done} of {total:?}\n"),
            })
            .collect();
        let steps = (1..=2)
            .map(|n| format!("step {n} of 2\nout {n}\nerr {n}\nlatest=b\"{n}\"\n{n} of Some(2)\n"));
        assert_eq!(told.concat(), steps.collect::<String>());
    }
}

#[test]
fn a_guest_reads_what_was_pushed() {
    let big = vec![7; 3 << 20];
    let pushed = Arc::new(values([
        ("text", "ä\n".into()),
        ("empty", "".into()),
        ("list", Value::List(vec![20_u64.into(), 22_u64.into()])),
        ("big", big.clone().into()),
    ]));
    for mut bench in hosted() {
        let nothing = bench.value("read-pushed", &["text".into()]);
        assert_eq!(nothing, Value::Option(None));
        bench.surroundings.pushed = Some(Arc::clone(&pushed));
        let some = |bytes: &[u8]| Value::from(Some(bytes.to_vec()));
        let read = |name: &str| bench.value("read-pushed", &[name.into()]);
        assert_eq!(read("text"), some("ä\n".as_bytes()));
        assert_eq!(read("empty"), some(b""));
        assert_eq!(read("list"), some(b"[20,22]"));
        assert_eq!(read("big"), some(&big));
        assert_eq!(read("other"), Value::Option(None));
        assert_eq!(bench.value("sum-pushed", &["list".into()]), 42_u64.into());
    }
}

#[test]
fn a_kept_instance_tells_of_each_task_by_itself() {
    for mut bench in hosted() {
        let heard = Arc::new(Heard::default());
        bench.surroundings.listener = Some(heard.clone());
        let mut instance = None;
        let first = bench.kept("tell", &[1_u64.into()], Some(&mut instance));
        assert!(instance.is_some());
        bench.surroundings.task = 43;
        bench.surroundings.engine_count = 9;
        bench.surroundings.pushed = Some(Arc::new(values([("n", 5_u64.into())])));
        let second = bench.kept("tell", &[1_u64.into()], Some(&mut instance));
        assert_eq!(first.notes, second.notes);
        let heard = heard.0.lock().unwrap();
        let of = |task: u64| heard.iter().filter(|(known, _)| *known == task).count();
        // The same, but for the pieces in which it is printed.
        assert!(of(42) >= 5 && of(43) >= 5 && of(42) + of(43) == heard.len());
        let here = bench.kept("where-am-i", &[], Some(&mut instance));
        let here = here.result.expect("a value").unpack().expect("a value");
        assert_eq!(here, Value::Tuple(vec![3_u32.into(), 9_u32.into()]));
        let sum = bench.kept("sum-pushed", &["n".into()], Some(&mut instance));
        let sum = sum.result.expect("a value").unpack().expect("a value");
        assert_eq!(sum, 5_u64.into());
    }
}

#[test]
fn what_is_too_much_is_dropped_and_the_guest_goes_on() {
    let numbers = |numbers: [u32; 3]| numbers.map(Value::from);
    let [core, component] = hosted().map(|mut bench| {
        bench.limits.output = ByteSize::kib(1);
        let notes = |report: Report| {
            assert!(report.result.is_ok());
            *report.notes.expect("it told something")
        };
        let many = notes(bench.run("flood", &numbers([1000, 4, 1])));
        assert_eq!(many.published.len(), MAX_PUBLISHED_NAMES);
        assert_eq!(many.published_dropped, 1000 - MAX_PUBLISHED_NAMES as u64);
        let large = notes(bench.run("flood", &numbers([4, 1, 511])));
        assert_eq!((large.published.len(), large.published_dropped), (2, 2));
        let long = notes(bench.run("flood", &numbers([2, 257, 1])));
        assert_eq!((long.published.len(), long.published_dropped), (0, 2));
        let wordy = notes(bench.run("chatter", &numbers([100, 10_000, 0])[..2]));
        assert!(wordy.size() <= bench.limits.logs.bytes());
        assert_eq!((wordy.log.len(), wordy.log_dropped), (7, 94));
        [many, large, long, wordy]
    });
    assert_eq!(core, component);
}

#[test]
fn pointers_are_not_trusted() {
    let log = |level: i64, place: i64, length: i64| {
        trapped(&caller(
            LOG,
            &format!("(call $f (i32.const {level}) (i32.const {place}) (i32.const {length}))"),
        ))
    };
    let outside = "beyond the end of a memory of 65536 bytes";
    assert!(log(0, 65_536, 1).ends_with(outside));
    assert!(log(0, 0, 65_537).ends_with(outside));
    assert!(log(0, 0xffff_ffff, 0xffff_ffff).ends_with(outside));
    assert_eq!(log(0, 32, 2), "the message of `log` is not UTF-8");
    assert_eq!(log(5, 16, 4), "`log` was called with an unknown level");
    assert_eq!(log(-1, 16, 4), "`log` was called with an unknown level");

    let publish = |numbers: [u32; 4]| {
        let numbers = numbers.map(|number| format!("(i32.const {number})"));
        trapped(&caller(PUBLISH, &format!("(call $f {})", numbers.concat())))
    };
    assert!(publish([65_535, 2, 0, 0]).starts_with("the name for `publish`"));
    assert!(publish([16, 4, 65_535, 2]).starts_with("the value for `publish`"));
    assert!(publish([32, 2, 0, 0]).ends_with("is not UTF-8"));

    let some = "(call $f (i64.const 1) (i32.const 2) (i64.const 3))";
    assert!(trapped(&caller(PROGRESS, some)).contains("neither none nor some"));

    let pushed = |place: u32| {
        let call = format!("(call $f (i32.const 16) (i32.const 4) (i32.const {place}))");
        trapped(&caller(PUSHED, &call))
    };
    assert!(pushed(65_528).ends_with(outside));
    assert!(pushed(0xffff_fffc).ends_with(outside));
    assert!(pushed(66).contains("not a multiple of 4"));
}

#[test]
fn room_that_a_guest_makes_is_not_trusted() {
    let module = |realloc: &str, exports: &str| {
        text(&format!(
            r#"(module
                (import "rwasm:task/host@0.1.0" "pushed" (func $f (param i32 i32 i32)))
                (memory {exports} 1)
                (data (i32.const 16) "name")
                {realloc}
                (func $go (export "go") (call $f (i32.const 16) (i32.const 4) (i32.const 64))))"#
        ))
    };
    let memory = r#"(export "memory")"#;
    let realloc = |body: &str| {
        format!(r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {body})"#)
    };
    let message = trapped(&module(&realloc("(i32.const 65534)"), memory));
    assert!(message.contains("returned 65534 for 6 bytes"), "{message}");
    let message = trapped(&module(&realloc("(i32.const -1)"), memory));
    assert!(
        message.contains("returned 4294967295 for 6 bytes"),
        "{message}"
    );
    let message = trapped(&module("", memory));
    assert!(message.contains("exports no cabi_realloc"), "{message}");
    let message = trapped(&module("", ""));
    assert!(message.contains("exports no memory"), "{message}");
    let message = trapped(&module(&realloc("(call $go) (i32.const 0)"), memory));
    assert!(message.contains("was being allocated"), "{message}");
    // The same where the module may wait, and calls are futures one in the other.
    let waiting = r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (call $go) (i32.const 0))"#;
    let module = text(&format!(
        r#"(module
            (import "rwasm:task/host@0.1.0" "pushed" (func $f (param i32 i32 i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff"
                (func (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "name")
            {waiting}
            (func $go (export "go") (call $f (i32.const 16) (i32.const 4) (i32.const 64))))"#
    ));
    assert!(trapped(&module).contains("was being allocated"));
}

#[test]
fn a_plain_module_may_ask_too_in_any_patch_of_the_version() {
    // With the second, calls are futures.
    let waiting = r#"(import "wasi_snapshot_preview1" "poll_oneoff"
        (func (param i32 i32 i32 i32) (result i32)))"#;
    for more in ["", waiting] {
        let module = text(&format!(
            r#"(module
                (import "rwasm:task/host@0.1.9" "pushed" (func $pushed (param i32 i32 i32)))
                (import "rwasm:task/host@0.1.0" "engine-id" (func $id (result i32)))
                {more}
                (memory (export "memory") 1)
                (data (i32.const 16) "name")
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 128))
                (func (export "length") (result i32)
                    (call $pushed (i32.const 16) (i32.const 4) (i32.const 64))
                    (i32.load (i32.const 72)))
                (func (export "id") (result i32) (call $id)))"#
        ));
        assert!(module.imports().iter().all(|import| import.offered));
        let mut bench =
            Bench::new(&module, Lowering::Core, HostFunctions::new()).expect("a program");
        bench.surroundings.pushed = Some(Arc::new(values([("name", "12345".into())])));
        assert_eq!(bench.value("length", &[]), 5_i32.into());
        assert_eq!(bench.value("id", &[]), 3_i32.into());
    }
}

#[test]
fn imports_of_other_types_than_the_interface_has_are_refused() {
    let refused = |import: &str| {
        let module = caller(import, "");
        Bench::new(&module, Lowering::Core, HostFunctions::new())
            .err()
            .expect("it is refused")
    };
    let message = refused(r#""log" (func $f (param i32 i64 i32))"#);
    assert!(
        message.contains("its import `log` of `rwasm:task/host@0.1.0` does not fit: expected ("),
        "{message}"
    );
    let message = refused(r#""log" (global i32)"#);
    assert!(
        message.contains("it imports the global `log` of `rwasm:task/host@0.1.0`"),
        "{message}"
    );
}

#[test]
fn another_version_of_the_interface_is_not_offered() {
    let module = text(
        r#"(component
            (import "rwasm:task/host@0.3.0" (instance
                (export "engine-id" (func (result u32))))))"#,
    );
    assert!(!module.imports()[0].offered);
    let module = text(
        r#"(component
            (import "rwasm:task/host@0.1.3" (instance
                (export "engine-id" (func (result u32))))))"#,
    );
    assert!(module.imports()[0].offered);
    assert!(Bench::new(&module, Lowering::Core, HostFunctions::new()).is_ok());
    // What is not in the version is stood in for, beside what is.
    let module = text(
        r#"(component
            (import "rwasm:task/host@0.1.3" (instance
                (export "engine-id" (func (result u32)))
                (export "engine-name" (func (result string))))))"#,
    );
    let told = |import: &crate::sandbox::Import| (import.name.clone(), import.offered);
    let imports: Vec<_> = module.imports().iter().map(told).collect();
    let wanted = [(String::new(), true), ("engine-name".to_owned(), false)];
    assert_eq!(imports, wanted);
    assert!(Bench::new(&module, Lowering::Core, HostFunctions::new()).is_ok());
    let module = text(
        r#"(component
            (import "rwasm:task/host@0.1.3" (instance
                (export "engine-id" (func (result string))))))"#,
    );
    let message = Bench::new(&module, Lowering::Core, HostFunctions::new())
        .err()
        .expect("it is refused");
    assert!(message.contains("engine-id"), "{message}");
}
