//! Functions of the embedding program, called by tasks of views.

use crate::support::{SOON, bounded, code, module, until};
use rwasm_cluster::{Callable, Cluster, EngineId, FailureCode, HostError, HostFunctions};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DICTIONARY: &str = "example:dictionary/words@0.1.0";

/// Counts those that are under way.
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn offering(under_way: &Arc<AtomicUsize>) -> Cluster {
    let under_way = Arc::clone(under_way);
    let lookup = move |_, (word,): (String,)| {
        let under_way = UnderWay::new(&under_way);
        async move {
            let _under_way = under_way;
            match word.as_str() {
                "never" => std::future::pending().await,
                "closed" => Err(HostError::new("the library is closed")),
                "panic" => panic!("the host function of a test panics on purpose"),
                word => Ok(Some(word.to_uppercase())),
            }
        }
    };
    let functions = HostFunctions::new().function(DICTIONARY, "lookup", lookup);
    bounded(Cluster::builder().engines(2).host_functions(functions))
        .start()
        .expect("it goes well")
}

fn define() -> Callable<&'static str, Option<String>> {
    module("lookup").function("define").expect("it goes well")
}

#[test]
fn a_task_asks_and_is_answered() {
    let count = Arc::default();
    let cluster = offering(&count);
    let view = cluster.load_balanced_view();
    let map = view.map(&define(), ["a", "b", "c"]).unwrap();
    let wanted = ["A", "B", "C"].map(|word| Some(word.to_owned()));
    assert_eq!(map.get().unwrap(), wanted);
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn a_call_is_dropped_with_its_task() {
    let count = Arc::default();
    let cluster = offering(&count);
    let view = cluster.load_balanced_view();
    let under_way = || count.load(Ordering::SeqCst);
    let task = view.try_submit(&define(), "never").unwrap();
    until("it is called", || under_way() == 1);
    task.abort();
    until("it is dropped", || under_way() == 0);
    drop(view.try_submit(&define(), "never").unwrap());
    let task = view
        .clone()
        .timeout(Duration::from_millis(20))
        .try_submit(&define(), "never");
    let task = task.unwrap();
    assert_eq!(code(task.get_timeout(SOON)), FailureCode::Timeout);
    until("it is dropped", || under_way() == 0);
    assert!(task.info().unwrap().usage.run_time >= Duration::from_millis(20));
    let task = view.try_submit(&define(), "never").unwrap();
    until("it is called", || under_way() == 1);
    cluster.shutdown(Duration::ZERO);
    assert_eq!(under_way(), 0);
    assert_eq!(code(task.get()), FailureCode::Cancelled);
}

#[test]
fn one_that_fails_or_panics_fails_its_task_alone() {
    let count = Arc::default();
    let cluster = offering(&count);
    let view = cluster.load_balanced_view();
    let outcomes = view
        .map(&define(), ["closed", "a", "panic", "b"])
        .unwrap()
        .outcomes();
    let ok: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [false, true, false, true]);
    let text = outcomes[0].as_ref().unwrap_err().to_string();
    assert!(text.contains("the library is closed"), "{text}");
    assert_eq!(code(outcomes[2].clone()), FailureCode::Trap);
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn engines_that_cannot_end_yet_leave_room_for_those_in_their_place() {
    let (release, held) = channel::<()>();
    let (enter, entered) = channel();
    let held: Arc<Mutex<Receiver<()>>> = Arc::new(Mutex::new(held));
    let lookup = move |_, (word,): (String,)| {
        let (held, enter) = (Arc::clone(&held), enter.clone());
        async move {
            if word == "blocks" {
                // The test may have failed by now.
                let _ = enter.send(());
                // It keeps its thread, as a host function should not, until the test lets go.
                let _ = held.lock().map(|held| held.recv());
            }
            Ok(Some(word.to_uppercase()))
        }
    };
    let functions = HostFunctions::new().function(DICTIONARY, "lookup", lookup);
    let cluster = Cluster::builder().engines(1).host_functions(functions);
    let cluster = cluster.start().expect("it goes well");
    let view = cluster.load_balanced_view();
    // More than the instances that one engine may have.
    for _ in 0..4 {
        let blocked = view.try_submit(&define(), "blocks").unwrap();
        entered.recv_timeout(SOON).expect("it is called");
        cluster.restart_engine(EngineId(0)).unwrap();
        assert_eq!(code(blocked.get_timeout(SOON)), FailureCode::EngineLost);
    }
    let task = view.try_submit(&define(), "a").unwrap();
    assert_eq!(task.get_timeout(SOON).unwrap().as_deref(), Some("A"));
    drop(release);
}
