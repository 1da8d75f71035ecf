//! The embedder's functions, as guests call them.

use super::*;

fn dictionary() -> HostFunctions {
    HostFunctions::new()
        .dynamic(DICTIONARY, "lookup", async |_, arguments| {
            let word = arguments[0].as_str().unwrap_or_default();
            let meaning = (word == "wasm").then(|| "a portable code".to_owned());
            Ok(Some(meaning.into()))
        })
        .dynamic(
            DICTIONARY,
            "entries",
            |call: HostCall, arguments| async move {
                // What a guest waits for, the engine's own runtime drives.
                tokio::time::sleep(Duration::from_millis(1)).await;
                let words = arguments[0].as_list().unwrap_or_default().to_vec();
                let entries = words.into_iter().map(|word| {
                    Value::Record(vec![
                        ("word".into(), word),
                        ("meanings".into(), Value::List(vec!["a".into(), "b".into()])),
                        ("rank".into(), Some(call.engine.0).into()),
                    ])
                });
                let entries = Value::List(entries.collect());
                Ok(Some(Value::Result(Ok(Some(Box::new(entries))))))
            },
        )
}

fn lookup(functions: HostFunctions) -> Bench {
    let module = guest("lookup.wasm");
    Bench::new(&module, Lowering::Core, functions).expect("a program")
}

#[test]
fn functions_of_the_embedder_answer_guests() {
    let bench = lookup(dictionary());
    let define = |word: &str| bench.value("define", &[word.into()]);
    assert_eq!(define("wasm"), Value::from(Some("a portable code")));
    assert_eq!(define("other"), Value::Option(None));
    let words = Value::List(vec!["x".into()]);
    let entries = bench.value("describe", &[words]);
    let Some([Value::Record(fields)]) = entries.as_list() else {
        panic!("one entry was wanted");
    };
    assert_eq!(fields[2].1, Value::from(Some(3_u32)));
}

#[test]
fn what_the_embedder_does_not_offer_fails_only_where_it_is_called() {
    let bench = lookup(HostFunctions::new());
    assert_eq!(bench.value("letters", &["wasm".into()]), 4_u64.into());
    let (code, message) = bench.failure("define", &["wasm".into()]);
    assert_eq!(code, FailureCode::ImportDenied);
    assert!(message.contains("`lookup`"), "{message}");
}

#[test]
fn strict_imports_ask_the_embedders_functions_too() {
    let module = guest("lookup.wasm");
    let load = |functions: HostFunctions| {
        let sandbox = Sandbox::new(
            1,
            VariantKey::of(&Limits::default(), false),
            CodeSource::default(),
            Lowering::Core,
            true,
            functions,
        )
        .expect("a sandbox");
        let program = sandbox.program(
            &module,
            VariantKey::of(&Limits::default(), false),
            &Limits::default(),
            TenantId(0),
        );
        program.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(load(dictionary()), Ok(()));
    let message = load(HostFunctions::new()).unwrap_err();
    assert!(message.contains("does not provide"), "{message}");
    let half = HostFunctions::new().dynamic(DICTIONARY, "lookup", async |_, _| Ok(None));
    let message = load(half).unwrap_err();
    assert!(message.contains("`entries`"), "{message}");
}

/// The dictionary with a lookup of that kind.
fn looking_up<A>(
    function: impl Fn(HostCall, Vec<Value>) -> A + Send + Sync + 'static,
) -> HostFunctions
where
    A: Future<Output = Result<Option<Value>, HostError>> + Send + 'static,
{
    dictionary().dynamic(DICTIONARY, "lookup", function)
}

#[test]
fn a_function_that_fails_fails_the_task() {
    let failing = |functions| lookup(functions).failure("define", &["wasm".into()]);
    let name = format!("`lookup` of `{DICTIONARY}`");

    let (code, message) = failing(looking_up(async |_, _| Err(HostError::new("it is closed"))));
    assert_eq!(code, FailureCode::Trap);
    assert_eq!(message, format!("{name} failed: it is closed"));

    let (code, message) = failing(looking_up(async |_, arguments| {
        panic!("it knows no {:?}", arguments[0].as_str())
    }));
    assert_eq!(code, FailureCode::Trap);
    assert_eq!(
        message,
        format!("{name} panicked: it knows no Some(\"wasm\")")
    );

    let (code, message) = failing(looking_up(async |_, _| Ok(Some(7_u32.into()))));
    assert_eq!(code, FailureCode::Trap);
    assert!(
        message.ends_with("expected option<string>, found u32"),
        "{message}"
    );

    let (_, message) = failing(looking_up(async |_, _| Ok(None)));
    assert!(
        message.ends_with("expected option<string>, found nothing"),
        "{message}"
    );
}

/// Says when it is dropped.
struct Watched(Arc<AtomicBool>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_task_times_out_while_the_embedder_is_asked() {
    let dropped = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&dropped);
    let mut bench = lookup(looking_up(move |_, _| {
        let watched = Watched(Arc::clone(&seen));
        async move {
            std::future::pending::<()>().await;
            drop(watched);
            Ok(None)
        }
    }));
    bench.limits.time = Duration::from_millis(20);
    let (code, _) = bench.failure("define", &["wasm".into()]);
    assert_eq!(code, FailureCode::Timeout);
    assert!(dropped.load(Ordering::SeqCst), "the future is dropped");
}

#[test]
fn a_task_is_cancelled_while_the_embedder_is_asked() {
    let cancel = Cancel::default();
    let wish = cancel.clone();
    let bench = lookup(looking_up(move |_, _| {
        let wish = wish.clone();
        async move {
            wish.cancel();
            std::future::pending::<()>().await;
            Ok(None)
        }
    }));
    let functions = bench.program.module.functions();
    let idx = functions.iter().position(|known| known.name == "define");
    let ty = &functions[idx.expect("it is there")].params[0].1;
    let argument = Packed::pack(&"wasm".into(), ty).expect("it fits");
    let setting = Setting::under(Limits::default());
    let request = Request {
        callee: Callee::Function(idx.expect("it is there")),
        arguments: &Arguments::Values(vec![argument]),
        setting: &setting,
        cancel: &cancel,
        surroundings: &bench.surroundings,
    };
    let report = bench.runner.run(&bench.program, &request, &mut None);
    let failure = report.result.expect_err("a failure");
    assert_eq!(failure.code, FailureCode::Cancelled);
}

#[test]
fn what_the_embedder_gives_is_bounded() {
    let mut bench = lookup(looking_up(async |_, _| {
        Ok(Some(Some("x".repeat(2000)).into()))
    }));
    bench.limits.output = ByteSize::kib(1);
    let (code, message) = bench.failure("define", &["wasm".into()]);
    assert_eq!(code, FailureCode::Trap);
    assert!(message.contains("output limit"), "{message}");
}

#[test]
fn typed_functions_answer_and_their_types_are_checked_first() {
    let bench = lookup(dictionary().function(
        DICTIONARY,
        "lookup",
        async |call: HostCall, (word,): (String,)| {
            assert_eq!((call.engine, call.task), (EngineId(3), 42));
            Ok((word == "wasm").then(|| word.to_uppercase()))
        },
    ));
    let define = |word: &str| bench.value("define", &[word.into()]);
    assert_eq!(define("wasm"), Value::from(Some("WASM")));
    assert_eq!(define("other"), Value::Option(None));

    let refused = |functions| {
        let bench = Bench::new(&guest("lookup.wasm"), Lowering::Core, functions);
        bench.err().expect("it is refused")
    };
    let message = refused(HostFunctions::new().function(
        DICTIONARY,
        "lookup",
        async |_, (_,): (u64,)| Ok(Some(String::new())),
    ));
    let wanted = format!(
        "its import `lookup` of `{DICTIONARY}` is func(word: string) -> option<string>, but the host's function is func(u64) -> option<string>"
    );
    assert!(message.ends_with(&wanted), "{message}");
    let message = refused(HostFunctions::new().function(
        DICTIONARY,
        "lookup",
        async |_, (_, _): (String, u32)| Ok(()),
    ));
    assert!(
        message.ends_with("the host's function is func(string, u32)"),
        "{message}"
    );
}

#[test]
fn a_function_may_give_nothing() {
    let module = text(
        r#"(component
            (import "a:b/c@1.0.0" (instance $i (export "f" (func (param "n" u32)))))
            (core func $f (canon lower (func $i "f")))
            (core module $m
                (import "" "f" (func $f (param i32)))
                (func (export "go") (call $f (i32.const 7))))
            (core instance $m (instantiate $m
                (with "" (instance (export "f" (func $f))))))
            (func (export "go") (canon lift (core func $m "go"))))"#,
    );
    let seen = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let put = Arc::clone(&seen);
    let functions = HostFunctions::new().function("a:b/c@1.2.0", "f", move |_, (n,): (u32,)| {
        put.store(n, Ordering::SeqCst);
        async { Ok(()) }
    });
    let bench = Bench::new(&module, Lowering::Core, functions).expect("a program");
    assert!(bench.run("go", &[]).result.is_ok());
    assert_eq!(seen.load(Ordering::SeqCst), 7);
}
