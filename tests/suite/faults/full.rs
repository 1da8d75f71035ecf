//! Streams with little room: whoever submits waits until there is some, and nothing is lost.

use super::{ACK_WAIT, assets, connect, engines, server};
use crate::support::{module, numbers};
use rwasm_cluster::{Callable, FailureCode};

/// Room for a few dozen of the messages below.
const ROOM: i64 = 256 << 10;

#[test]
fn more_than_the_streams_hold_waits_and_arrives() {
    let mut assets = assets(ACK_WAIT);
    assets.max_bytes = Some(ROOM);
    let server = server(&assets);
    let _engines = engines(server.url(), 2);
    let cluster = connect(server.url());
    let view = cluster.load_balanced_view().dispatch_size(1);
    // Tasks of 8 KiB, of which more are under way than there is room for.
    let inputs: Vec<Vec<u8>> = (0..200).map(|n| vec![n; 8 << 10]).collect();
    let length: Callable<Vec<u8>, u64> = module("numbers").function("length").expect("it is there");
    let view = view.max_outstanding(200);
    let lengths = view.map(&length, inputs).expect("it begins").get();
    assert_eq!(lengths.expect("all run"), [8 << 10; 200]);
    // Results of 8 KiB, together eight times what there is room for.
    let greet = module("numbers").function::<(String, u32), String>("greet");
    let inputs = (0..250).map(|n| (format!("{n:0>1000}"), 8));
    let map = view.map(&greet.expect("it is there"), inputs);
    let greetings = map.expect("it begins").get().expect("all run");
    assert_eq!(greetings.len(), 250);
    for (n, greeting) in greetings.iter().enumerate() {
        assert!(greeting.starts_with(&format!("hello, {n:0>1000}; hello")));
    }
}

#[test]
fn a_task_that_never_has_room_fails_at_once() {
    let mut assets = assets(ACK_WAIT);
    assets.max_bytes = Some(ROOM);
    let server = server(&assets);
    let _engines = engines(server.url(), 1);
    let cluster = connect(server.url());
    let view = cluster.load_balanced_view();
    let large = vec![0; 300 << 10];
    let task = view.try_submit(&numbers().length, &large);
    let error = task.expect("it is submitted").get();
    let error = error.expect_err("there is no room");
    let failure = error.failure().expect("the task failed");
    assert_eq!(failure.failure.code, FailureCode::InputLimit, "{error}");
    let told = error.to_string();
    assert!(told.contains("--max-bytes"), "{told}");
    let task = view.try_submit(&numbers().add_one, 1);
    assert_eq!(task.expect("it is submitted").get().expect("it runs"), 2);
}
