//! Functions of a module by Rust's own types, checked once, and the dynamic ones beside them.

use crate::support::{cluster, component, module};
use rwasm_cluster::{
    Argument, ArgumentError, FunctionError, Module, SubmitError, Value, arguments,
};

/// Words with how often each occurs.
type Counts = Vec<(String, u64)>;

#[test]
fn functions_are_called_by_rusts_types() {
    let cluster = cluster(2);
    let view = cluster.blocking().load_balanced_view();
    let wordcount = module("wordcount");
    let mapper = wordcount
        .function::<(&str,), Vec<(String, u64)>>("mapper")
        .unwrap();
    let text = String::from("cat dog cat");
    let counts = view.apply(&mapper, (&text,)).unwrap();
    assert_eq!(counts, [("cat".to_owned(), 2), ("dog".to_owned(), 1)]);
    let reducer = wordcount
        .function::<(Vec<Counts>,), Counts>("reducer")
        .unwrap();
    let total = view
        .apply(&reducer, (vec![counts.clone(), counts],))
        .unwrap();
    assert_eq!(total, [("cat".to_owned(), 4), ("dog".to_owned(), 2)]);
    let greet = module("numbers")
        .function::<(&str, u32), String>("greet")
        .unwrap();
    assert_eq!(view.apply(&greet, ("ü", 2)).unwrap(), "hello, ü; hello, ü");
    assert_eq!(view.apply(&greet, ("", 0)).unwrap(), "");
}

#[test]
fn a_component_is_called_likewise() {
    let cluster = cluster(1);
    let numbers = Module::from_bytes("numbers", component("numbers")).unwrap();
    let add = numbers.function::<(u64, u64), u64>("add").unwrap();
    let divide = numbers.function::<(i64, i64), i64>("divide").unwrap();
    let view = cluster.blocking().load_balanced_view();
    assert_eq!(view.apply(&add, (u64::MAX, 1)).unwrap(), 0);
    assert_eq!(view.apply(&divide, (-7, 2)).unwrap(), -3);
    let error = view.apply(&divide, (i64::MIN, -1)).unwrap_err().to_string();
    assert!(error.contains("more than an s64 can hold"), "{error}");
}

#[test]
fn dynamic_functions_take_values() {
    let cluster = cluster(1);
    let greet = module("numbers").dynamic_function("greet").unwrap();
    let view = cluster.blocking().load_balanced_view();
    let value = view.apply(&greet, arguments!["you", 1_u32]).unwrap();
    assert_eq!(value, Value::from("hello, you"));
    let refused = |arguments: Vec<Argument>| match view.try_submit(&greet, arguments) {
        Err(SubmitError::Arguments { error, .. }) => *error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it should be refused"),
    };
    let count = refused(arguments!["you"]);
    assert!(matches!(count, ArgumentError::Count { found: 1, .. }));
    assert_eq!(
        count.to_string(),
        "expected 2 arguments (name: string, times: u32), found 1"
    );
    let kind = refused(arguments!["you", "often"]);
    assert!(matches!(kind, ArgumentError::Mismatch { position: 2, .. }));
    let text = kind.to_string();
    assert!(
        text.starts_with("argument 2 (`times`): expected u32, found "),
        "{text}"
    );
}

#[test]
fn what_does_not_fit_is_said_before_anything_runs() {
    let numbers = module("numbers");
    let missing = numbers.function::<(u64,), u64>("add-on").unwrap_err();
    assert!(matches!(missing, FunctionError::NotFound { .. }));
    let text = missing.to_string();
    assert!(
        text.contains("no function `add-on`") && text.contains("add-one"),
        "{text}"
    );
    let count = numbers.function::<(u64, u64), u64>("add-one").unwrap_err();
    assert!(matches!(
        count,
        FunctionError::Count {
            found: 1,
            wanted: 2,
            ..
        }
    ));
    let parameter = numbers.function::<(String,), u64>("add-one").unwrap_err();
    assert!(
        matches!(parameter, FunctionError::Parameter { position: 1, .. }),
        "{parameter}"
    );
    let result = numbers.function::<(u64,), String>("add-one").unwrap_err();
    assert!(matches!(result, FunctionError::Result { .. }), "{result}");
    let command = module("spin").dynamic_function("main").unwrap_err();
    assert!(
        matches!(command, FunctionError::Command { .. }),
        "{command}"
    );
}
