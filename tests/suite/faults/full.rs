//! Streams with little room: whoever submits waits until there is some, and nothing is lost.

use super::{ACK_WAIT, assets, connect, engines, server};
use crate::support::{events_until, module, numbers, until};
use rwasm_cluster::{Callable, ClusterEvent, FailureCode};

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

/// It fits into a message, and not into the stream of results, which refuses it for ever.
#[test]
fn a_result_that_its_stream_never_takes_goes_by_the_object_store() {
    let mut assets = assets(ACK_WAIT);
    assets.max_bytes = Some(ROOM);
    let server = server(&assets);
    let _engines = engines(server.url(), 1);
    let cluster = connect(server.url());
    let greet = module("numbers").function::<(String, u32), String>("greet");
    let greet = greet.expect("it is there");
    let task = cluster
        .load_balanced_view()
        .try_submit(&greet, ("x".repeat(1000), 400));
    let greeting = task.expect("it is submitted").get().expect("it arrives");
    assert!(greeting.len() > 400_000);
}

/// What is larger than a message goes by the object store, which is as small.
#[test]
fn large_values_wait_for_room_and_leave_nothing_behind() {
    const ROOM: i64 = 8 << 20;
    const LARGE: usize = 3 << 20;
    let mut assets = assets(ACK_WAIT);
    assets.max_bytes = Some(ROOM);
    let server = server(&assets);
    let _engines = engines(server.url(), 2);
    let cluster = connect(server.url());
    let view = cluster.load_balanced_view().dispatch_size(1);
    let view = view.max_outstanding(20);
    let length: Callable<Vec<u8>, u64> = module("numbers").function("length").expect("it is there");
    // One alone is more than there will ever be room for.
    let error = view.try_submit(&length, vec![0; 9 << 20]);
    let error = error.expect("it is submitted").get();
    let error = error.expect_err("there is no room").to_string();
    assert!(
        error.contains("9.0MiB") && error.contains("--max-bytes"),
        "{error}"
    );
    // Of these there is room for two at a time.
    let inputs: Vec<Vec<u8>> = (0..20).map(|n| vec![n; LARGE]).collect();
    let lengths = view.map(&length, inputs).expect("it begins").get();
    assert_eq!(lengths.expect("all run"), [LARGE as u64; 20]);
    until("nothing is left of them", || {
        server.stored("OBJ_RWC_BLOBS") < 100 << 10
    });
}

#[test]
fn a_result_that_never_has_room_is_a_failure() {
    let mut assets = assets(ACK_WAIT);
    assets.max_bytes = Some(2 << 20);
    let server = server(&assets);
    let _engines = engines(server.url(), 1);
    let cluster = connect(server.url());
    let view = cluster.load_balanced_view();
    let greet = module("numbers").function::<(String, u32), String>("greet");
    let greet = greet.expect("it is there");
    // Short, and four million bytes long.
    let task = view.try_submit(&greet, ("x".repeat(1000), 4000));
    let error = task.expect("it is submitted").get();
    let error = error.expect_err("there is no room");
    let failure = &error.failure().expect("the task failed").failure;
    assert_eq!(failure.code, FailureCode::OutputLimit, "{error}");
    assert!(failure.message.contains("--max-bytes"), "{error}");
    let task = view.try_submit(&greet, ("you".to_owned(), 1));
    assert_eq!(
        task.expect("it is submitted").get().expect("it runs"),
        "hello, you"
    );
}

#[test]
fn whoever_waits_for_room_is_told_why() {
    let mut assets = assets(ACK_WAIT);
    assets.max_bytes = Some(ROOM);
    let server = server(&assets);
    // Nobody takes what is there.
    let cluster = connect(server.url());
    let mut events = cluster.events();
    let view = cluster.load_balanced_view().dispatch_size(1);
    // Of which three would be under way.
    let inputs: Vec<Vec<u8>> = (0..10).map(|n| vec![n; 100 << 10]).collect();
    let length: Callable<Vec<u8>, u64> = module("numbers").function("length").expect("it is there");
    let lengths = view.map(&length, inputs).expect("it begins");
    let stalled = events_until(&mut events, |event| {
        matches!(event, ClusterEvent::Stalled(_))
    });
    let Some(ClusterEvent::Stalled(reason)) = stalled.last() else {
        panic!("{stalled:?}")
    };
    assert!(reason.contains("task queue is full"), "{reason}");
    let _engines = engines(server.url(), 1);
    assert_eq!(lengths.get().expect("all run"), [100 << 10; 10]);
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
    let text = error.to_string();
    assert!(text.contains("--max-bytes"), "{text}");
    let task = view.try_submit(&numbers().add_one, 1);
    assert_eq!(task.expect("it is submitted").get().expect("it runs"), 2);
}

/// The store writes a mark before it removes an object's pieces, and a full store has no room for the mark.
#[test]
fn a_full_store_is_emptied_all_the_same() {
    const LARGE: usize = 3 << 20;
    let mut assets = assets(ACK_WAIT);
    assets.max_bytes = Some(8 << 20);
    let server = server(&assets);
    let cluster = connect(server.url());
    let input = vec![0; LARGE];
    let task = cluster
        .load_balanced_view()
        .try_submit(&numbers().length, &input)
        .expect("it is submitted");
    until("its input is stored", || {
        server.stored("OBJ_RWC_BLOBS") > LARGE as u64
    });
    fill_store(server.url());
    let full = server.stored("OBJ_RWC_BLOBS");
    let _engines = engines(server.url(), 1);
    assert_eq!(task.get().expect("it runs"), LARGE as u64);
    until("its input is removed", || {
        server.stored("OBJ_RWC_BLOBS") < full - LARGE as u64
    });
}

/// Stores what belongs to nobody, down to the last byte that there is room for.
fn fill_store(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let client = async_nats::connect(url).await.expect("it connects");
        let js = async_nats::jetstream::new(client);
        let mut size = 512 << 10;
        while size > 0 {
            let piece = vec![0; size].into();
            let sent = js.publish("$O.RWC_BLOBS.C.filler", piece).await;
            if sent.expect("it is sent").await.is_err() {
                size /= 2;
            }
        }
    });
}
