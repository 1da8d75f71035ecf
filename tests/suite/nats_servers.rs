//! That the servers the other tests of clusters use do what those tests want of them.

use crate::support::{Server, Servers, until};
use async_nats::jetstream::{self, stream};
use std::future::Future;
use std::time::Duration;

/// Runs a client to its end.
fn with_client<T>(act: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime is built");
    runtime.block_on(act)
}

async fn client(url: &str) -> jetstream::Context {
    let servers: Vec<async_nats::ServerAddr> = url
        .split(',')
        .map(|url| url.parse().expect("the server gives a URL"))
        .collect();
    let client = async_nats::connect(servers).await.expect("it connects");
    jetstream::new(client)
}

/// Makes a stream named `S` of the subjects `s.*`.
async fn stream(url: &str, replicas: usize) -> jetstream::Context {
    let js = client(url).await;
    js.get_or_create_stream(stream::Config {
        name: "S".to_owned(),
        subjects: vec!["s.*".to_owned()],
        num_replicas: replicas,
        ..stream::Config::default()
    })
    .await
    .expect("a stream is made");
    js
}

async fn published(js: &jetstream::Context) -> bool {
    match js.publish("s.a", "text".into()).await {
        Ok(acknowledged) => acknowledged.await.is_ok(),
        Err(_) => false,
    }
}

async fn messages(js: &jetstream::Context) -> u64 {
    let mut stream = js.get_stream("S").await.expect("the stream is there");
    stream.info().await.expect("it is known").state.messages
}

#[test]
fn a_server_that_was_killed_has_what_it_stored() {
    let mut server = Server::start();
    let url = server.url().to_owned();
    with_client(async {
        let js = stream(&url, 1).await;
        assert!(published(&js).await);
        assert!(server.dir().join("js").is_dir());
        let killed = server.pid();
        server.kill();
        server.restart();
        assert_ne!(server.pid(), killed);
        assert_eq!(server.url(), url);
        let js = client(&url).await;
        assert_eq!(messages(&js).await, 1);
    });
}

#[test]
fn a_frozen_server_does_not_answer_and_goes_on_later() {
    let server = Server::start();
    with_client(async {
        let js = stream(server.url(), 1).await;
        server.freeze();
        let asked = tokio::time::timeout(Duration::from_millis(300), js.query_account());
        let asked = asked.await;
        assert!(asked.is_err(), "a frozen server answers: {asked:?}");
        server.thaw();
        js.query_account().await.expect("a thawed server answers");
    });
}

#[test]
fn three_servers_bear_the_loss_of_one() {
    let mut servers = Servers::three();
    with_client(async {
        let js = stream(&servers.url(), 3).await;
        assert!(published(&js).await);
        let first = servers.leader("S", None).expect("the stream has a leader");
        servers.node(first).kill();
        let mut next = None;
        until("another server leads the stream", || {
            next = servers.leader("S", None);
            next.is_some_and(|next| next != first)
        });
        while !published(&js).await {}
        servers.node(first).restart();
        servers.await_whole();
        let next = next.expect("it was found");
        servers.node(next).freeze();
        let mut last = None;
        until("a server that is not frozen leads the stream", || {
            last = servers.leader("S", None);
            last.is_some_and(|last| last != next)
        });
        // A client does not see for minutes that its server is frozen.
        let leader = servers.node(last.expect("it was found"));
        let js = client(leader.url()).await;
        while !published(&js).await {}
        servers.node(next).thaw();
        servers.await_whole();
        // One that was published without an answer may be there twice.
        assert!(messages(&js).await >= 3);
    });
}
